//! What the contract says of tasks, sentence by sentence.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use poppo_core::{
    Cancelled, CheckedIn, Checkin, Checkout, Claim, Corrupt, Effect, Enqueue, EventKind, Evict, Heartbeat, Instant,
    IssueNumber, Liveness, Millis, Name, Next, Now, Outcome, Pid, Priority, Project, Refusal, Repair, RepairOutcome,
    RunView, Setting, Status, TaskId, TaskState, Tasks, Text, Token,
};

fn name(name: &str) -> Name<'_> {
    Name::parse(name.as_bytes()).unwrap()
}

fn text(text: &str) -> Text<'_> {
    Text::parse(text.as_bytes()).unwrap()
}

fn issue(number: u64) -> IssueNumber {
    IssueNumber::try_from(number).unwrap()
}

fn level(level: &str) -> Option<Priority> {
    Some(Priority::parse(level.as_bytes()).unwrap())
}

const NEXT: Option<Next<'static>> = Some(Next { request: None, may_claim: true, chosen: None });

/// A project and a clock that goes only where it is sent.
struct Desk {
    project: Project,
    millis: u64,
}

impl Desk {
    fn new() -> Self {
        let mut desk = Self { project: Project::new(Instant::from_micros(0)), millis: 1_000_000 };
        desk.project = Project::new(desk.now().at);
        desk
    }

    fn with(settings: &[(Setting, u64)]) -> Self {
        let mut desk = Self::new();
        desk.set(settings);
        desk
    }

    fn set(&mut self, settings: &[(Setting, u64)]) {
        self.project.configure(self.now(), settings);
    }

    fn now(&self) -> Now {
        Now::primary(Instant::from_micros(self.millis * 1_000))
    }

    fn wait(&mut self, millis: u64) {
        self.millis += millis;
    }

    fn enqueue(&mut self, request: Enqueue<'_>) -> bool {
        self.project.enqueue(self.now(), &request).unwrap().0
    }

    /// Tasks of these issues, one behind another.
    fn queue(&mut self, issues: impl IntoIterator<Item = u64>) {
        for number in issues {
            assert!(self.enqueue(Enqueue::new(issue(number))));
        }
    }

    fn urgent(&mut self, number: u64, priority: &str) {
        assert!(self.enqueue(Enqueue { priority: level(priority), ..Enqueue::new(issue(number)) }));
    }

    fn delayed(&mut self, number: u64, delay: u64) {
        assert!(self.enqueue(Enqueue { delay: Millis(delay), ..Enqueue::new(issue(number)) }));
    }

    fn claim_by(&mut self, request: Claim<'_>) -> Option<IssueNumber> {
        self.project.claim(self.now(), &request).unwrap().map(|claimed| claimed.issue)
    }

    fn claim(&mut self) -> Option<u64> {
        self.claim_by(Claim::new(name("w"))).map(IssueNumber::get)
    }

    /// All that can be claimed, in order.
    fn claim_all(&mut self) -> Vec<u64> {
        std::iter::from_fn(|| self.claim()).collect()
    }

    /// All that can be claimed where each issue is free again before the next claim: ids.
    fn work_all(&mut self) -> Vec<String> {
        let mut ids = Vec::new();
        while let Some(number) = self.claim() {
            ids.push(self.task(number));
            self.checkin(number, Outcome::Completed);
        }
        ids
    }

    /// The task that runs.
    fn task(&self, number: u64) -> String {
        self.project.claimed(issue(number)).expect("a task runs").task.to_owned()
    }

    fn attempts(&self, number: u64) -> u16 {
        self.project.claimed(issue(number)).expect("a task runs").attempts
    }

    fn token(&self, number: u64) -> Token {
        self.project.get(self.now(), issue(number)).unwrap().token
    }

    fn status(&self, number: u64) -> Status {
        self.project.get(self.now(), issue(number)).unwrap().status
    }

    fn checkout(&mut self, number: u64) -> Token {
        self.project.checkout(self.now(), &Checkout::new(issue(number), name("w"))).unwrap().token
    }

    fn check_in(&mut self, request: Checkin<'_>) -> Option<u64> {
        self.project.checkin(self.now(), &request).unwrap().next.map(IssueNumber::get)
    }

    fn checkin(&mut self, number: u64, outcome: Outcome) {
        self.check_in(Checkin::new(issue(number), name("w"), outcome));
    }

    fn retry(&mut self, number: u64, delay: u64) {
        let failed = Checkin::new(issue(number), name("w"), Outcome::Error);
        self.check_in(Checkin { retry: Some(Millis(delay)), ..failed });
    }

    fn requeue(&mut self, number: u64) -> Status {
        let evict = Evict { issue: issue(number), token: None, requeue: true, reason: None };
        self.project.evict(self.now(), &evict).unwrap().0
    }

    fn revive(&mut self, id: &str) -> Effect {
        self.project.revive(self.now(), TaskId::parse(id.as_bytes()).unwrap())
    }

    fn list(&self, which: Tasks) -> Vec<String> {
        let page = self.project.list_tasks(self.now(), which, 0, 100);
        assert_eq!(page.next, None);
        page.rows.into_iter().map(|task| task.id.to_owned()).collect()
    }

    fn bytes(&self) -> Vec<Vec<u8>> {
        self.project.pieces().collect()
    }

    fn restart(&mut self) {
        let pieces = self.bytes();
        self.project = Project::load(&pieces[0]).unwrap();
        pieces[1..].iter().for_each(|piece| self.project.load_next(piece).unwrap());
        assert_eq!(self.bytes(), pieces);
    }
}

#[test]
fn tasks_of_one_priority_are_served_first_in_first_out_whatever_the_clock_does() {
    for step in [0, 1, 5_000] {
        for back in [false, true] {
            let mut desk = Desk::new();
            for number in [5, 3, 9, 1, 7] {
                desk.queue([number]);
                desk.millis = if back { desk.millis - step } else { desk.millis + step };
            }
            assert_eq!(desk.list(Tasks::Waiting), ["5:issue", "3:issue", "9:issue", "1:issue", "7:issue"]);
            assert_eq!(desk.claim_all(), [5, 3, 9, 1, 7], "step {step}, back {back}");
        }
    }
}

#[test]
fn a_higher_priority_is_served_first_however_long_others_wait() {
    let mut desk = Desk::new();
    for (number, priority) in
        [(1, "deferred"), (2, "low"), (3, "normal"), (4, "high"), (5, "dogfooding"), (6, "urgent")]
    {
        desk.urgent(number, priority);
        desk.wait(86_400_000);
    }
    desk.urgent(7, "51");
    desk.urgent(8, "0");
    assert_eq!(desk.claim_all(), [6, 5, 4, 7, 3, 2, 1, 8]);
}

#[test]
fn a_priority_that_is_given_again_may_rise_but_not_fall_and_nothing_else_changes() {
    let mut desk = Desk::new();
    desk.queue([1, 2, 3]);
    let raise = |number, priority| Enqueue {
        priority: level(priority),
        title: Some(text("another")),
        payload: Some(text("1")),
        delay: Millis(5_000),
        again: true,
        ..Enqueue::new(issue(number))
    };
    desk.wait(10);
    let before = desk.bytes();
    assert!(!desk.enqueue(raise(3, "low")) && !desk.enqueue(raise(3, "normal")));
    assert!(!desk.enqueue(Enqueue::new(issue(3))));
    assert_eq!(desk.bytes(), before, "what changes nothing changes no byte");
    assert_eq!(desk.project.enqueue(desk.now(), &raise(3, "high")), Ok((false, Effect::Changed)));
    let page = desk.project.list_tasks(desk.now(), Tasks::Waiting, 0, 10);
    let raised = page.rows[2];
    assert_eq!((raised.id, raised.priority.get(), raised.title, raised.payload), ("3:issue", 75, None, None));
    assert_eq!(raised.state, TaskState::Waiting { since: Instant::from_micros(1_000_000_000), held: false });
    assert_eq!(desk.project.totals().tasks.enqueued, 3);
    assert_eq!(desk.project.last_event(), 3, "it is no event");
    assert_eq!(desk.claim_all(), [3, 1, 2]);
}

#[test]
fn the_priority_of_a_delayed_task_may_rise_and_it_stays_delayed() {
    let mut desk = Desk::new();
    desk.queue([1]);
    desk.delayed(2, 5_000);
    desk.enqueue(Enqueue { priority: level("urgent"), ..Enqueue::new(issue(2)) });
    assert_eq!(desk.list(Tasks::Delayed), ["2:issue"]);
    assert_eq!(desk.claim(), Some(1));
    assert_eq!(desk.claim(), None);
    desk.wait(5_000);
    desk.queue([3]);
    desk.enqueue(Enqueue { priority: level("normal"), ..Enqueue::new(issue(2)) });
    assert_eq!(desk.claim_all(), [2, 3]);
}

#[test]
fn with_aging_a_point_of_priority_is_worth_so_much_waiting() {
    let mut desk = Desk::with(&[(Setting::QueueAging, 1_000)]);
    desk.urgent(1, "25");
    desk.wait(24_999);
    desk.urgent(2, "50");
    desk.wait(2);
    desk.urgent(3, "50");
    desk.urgent(4, "1000");
    // 25 points are 25 s: the second came a little sooner than that, the third a little later.
    assert_eq!(desk.claim_all(), [4, 2, 1, 3]);
}

#[test]
fn with_aging_a_steady_stream_of_urgent_tasks_starves_nobody_also_after_the_setting_changed() {
    for set_late in [false, true] {
        let mut desk = Desk::new();
        let aging = [(Setting::QueueAging, 100)];
        if !set_late {
            desk.set(&aging);
        }
        desk.urgent(1, "low");
        let mut claims = 0;
        for number in 2..2_000 {
            desk.urgent(number, "urgent");
            if set_late && number == 500 {
                desk.set(&aging);
                desk.restart();
            }
            claims += 1;
            if desk.claim() == Some(1) {
                break;
            }
            desk.wait(100);
        }
        // 975 points at 100 ms each, and one task each 100 ms.
        assert!((975..980).contains(&claims), "{claims}");
    }
}

#[test]
fn without_aging_again_priority_is_strict_again() {
    let mut desk = Desk::with(&[(Setting::QueueAging, 1)]);
    desk.urgent(1, "low");
    desk.wait(5_000);
    desk.urgent(2, "urgent");
    desk.urgent(3, "low");
    let mut other = Desk { project: desk.project.clone(), millis: desk.millis };
    assert_eq!(desk.claim_all(), [1, 2, 3]);
    other.set(&[(Setting::QueueAging, 0)]);
    assert_eq!(other.claim_all(), [2, 1, 3]);
}

#[test]
fn a_task_whose_issue_is_held_does_not_block_those_behind_it() {
    let mut desk = Desk::new();
    desk.checkout(1);
    desk.urgent(1, "urgent");
    desk.queue([2]);
    assert_eq!(desk.claim_all(), [2]);
    let waits = desk.project.list_tasks(desk.now(), Tasks::Waiting, 0, 10).rows[0].state;
    assert!(matches!(waits, TaskState::Waiting { held: true, .. }));
    assert!(!desk.project.has_task_for(desk.now(), &[]));
    desk.checkin(1, Outcome::Completed);
    assert!(desk.project.has_task_for(desk.now(), &[]));
    desk.queue([3]);
    assert_eq!(desk.claim_all(), [1, 3]);
}

#[test]
fn an_issue_has_one_task_running_at_a_time_and_the_others_come_in_their_order() {
    let mut desk = Desk::new();
    for (id, kind, priority) in [
        ("a", "fix", "low"),
        ("b", "docs", "normal"),
        ("c", "fix", "high"),
        ("d", "review", "normal"),
        ("e", "fix", "low"),
    ] {
        let task =
            Enqueue { id: Some(name(id)), kind: Some(name(kind)), priority: level(priority), ..Enqueue::new(issue(1)) };
        assert!(desk.enqueue(task));
    }
    assert_eq!(desk.project.task_counts(issue(1)), (5, 0));
    assert_eq!(desk.claim(), Some(1));
    assert_eq!(desk.claim(), None, "one lease at a time");
    assert_eq!(desk.task(1), "c");
    desk.checkin(1, Outcome::Completed);
    assert_eq!(desk.work_all(), ["b", "d", "a", "e"]);
}

#[test]
fn types_choose_among_tasks_and_are_kept_for_next() {
    let mut desk = Desk::new();
    for (number, kind) in [(1, "docs"), (2, "fix"), (3, "docs"), (4, "review"), (5, "fix")] {
        assert!(desk.enqueue(Enqueue { kind: Some(name(kind)), ..Enqueue::new(issue(number)) }));
    }
    let types = [name("review"), name("fix"), name("review")];
    let unheard_of = [name("unheard-of")];
    let claim = |types| Claim { types, ..Claim::new(name("w")) };
    assert_eq!(desk.claim_by(claim(&unheard_of)), None);
    assert_eq!(desk.claim_by(claim(&types)), Some(issue(2)));
    let next = |number| Checkin { next: NEXT, ..Checkin::new(issue(number), name("w"), Outcome::Completed) };
    desk.restart();
    assert_eq!(desk.check_in(next(2)), Some(4), "review or fix, as it claimed before");
    assert_eq!(desk.check_in(next(4)), Some(5));
    assert_eq!(desk.check_in(next(5)), None, "there are docs only");
    assert_eq!(desk.claim(), Some(1), "any");
    assert_eq!(desk.check_in(next(1)), Some(3));
}

#[test]
fn a_type_that_only_a_running_task_has_gives_no_task() {
    let mut desk = Desk::new();
    desk.enqueue(Enqueue { kind: Some(name("fix")), ..Enqueue::new(issue(1)) });
    desk.queue([2]);
    assert_eq!(desk.claim(), Some(1));
    assert_eq!(desk.claim_by(Claim { types: &[name("fix")], ..Claim::new(name("w")) }), None);
}

#[test]
fn delayed_tasks_fall_due_in_order_and_wait_behind_those_that_wait_already() {
    let mut desk = Desk::new();
    desk.delayed(1, 300);
    desk.delayed(2, 100);
    desk.delayed(3, 200);
    desk.wait(50);
    desk.queue([4]);
    assert_eq!(desk.list(Tasks::Delayed), ["1:issue", "2:issue", "3:issue"]);
    assert_eq!(desk.project.next_due(desk.now()), Some(Millis(51)));
    let stats = desk.project.stats(desk.now()).queue;
    assert_eq!((stats.waiting, stats.delayed, stats.oldest), (1, 3, Some(Millis(0))));
    desk.wait(49);
    assert_eq!(desk.claim_all(), [4]);
    desk.wait(1);
    let stats = desk.project.stats(desk.now()).queue;
    assert_eq!((stats.waiting, stats.delayed, stats.oldest), (1, 2, Some(Millis(0))), "noticed by nobody, and due");
    desk.wait(120);
    desk.queue([5]);
    desk.wait(500);
    assert_eq!(desk.list(Tasks::Delayed), Vec::<String>::new());
    assert_eq!(desk.claim_all(), [2, 3, 5, 1]);
    assert_eq!(desk.project.next_due(desk.now()), None);
}

#[test]
fn what_a_claim_waited_counts_from_when_it_was_queued_fell_due_or_came_back() {
    let mut desk = Desk::new();
    desk.delayed(1, 500);
    desk.wait(700);
    let waited = |desk: &Desk| desk.project.claimed(issue(1)).unwrap().waited;
    assert_eq!(desk.claim(), Some(1));
    assert_eq!(waited(&desk), Millis(200));
    desk.wait(1_000);
    assert_eq!(waited(&desk), Millis(200));
    desk.retry(1, 0);
    desk.wait(30);
    assert_eq!(desk.claim(), Some(1));
    assert_eq!(waited(&desk), Millis(30));
    let wait = desk.project.stats(desk.now()).wait;
    assert_eq!((wait.count, wait.mean), (2, Millis(115)));
}

#[test]
fn a_delayed_task_is_delayed_although_later_ones_were_due_before_the_clock_stepped_back() {
    let mut desk = Desk::new();
    desk.checkout(9);
    desk.delayed(9, 100);
    desk.wait(3_600_000);
    assert_eq!(desk.claim(), None, "it was noticed, and waits for its issue");
    desk.millis -= 3_600_000;
    desk.delayed(1, 50);
    assert_eq!(desk.claim(), None);
    assert_eq!(desk.list(Tasks::Delayed), ["9:issue", "1:issue"]);
    // What was noticed may be claimed all the same, for nobody unsees it; a restart does.
    desk.checkin(9, Outcome::Completed);
    let mut restarted = Desk { project: desk.project.clone(), millis: desk.millis };
    restarted.restart();
    assert_eq!(restarted.claim(), None);
    assert_eq!(desk.claim_all(), [9]);
    desk.wait(50);
    assert_eq!(desk.claim_all(), [1]);
}

#[test]
fn more_tasks_that_fall_due_at_once_than_a_look_notices_are_all_served() {
    let mut desk = Desk::new();
    for number in 1..=700 {
        let kind = if number == 700 { "rare" } else { "common" };
        assert!(desk.enqueue(Enqueue { kind: Some(name(kind)), delay: Millis(number), ..Enqueue::new(issue(number)) }));
    }
    desk.wait(10_000);
    assert_eq!(desk.project.stats(desk.now()).queue.waiting, 700);
    assert_eq!(desk.claim_by(Claim { types: &[name("rare")], ..Claim::new(name("v")) }), Some(issue(700)));
    assert_eq!(desk.claim_all(), (1..700).collect::<Vec<_>>());
}

#[test]
fn no_more_issues_are_in_processing_by_claims_than_max_running() {
    let mut desk = Desk::with(&[(Setting::MaxRunning, 2)]);
    desk.queue([1, 2, 3]);
    desk.checkout(9);
    assert_eq!(desk.claim_all(), [1], "the checkout by number counts");
    assert!(!desk.project.has_task_for(desk.now(), &[]));
    desk.checkout(8);
    desk.checkin(9, Outcome::Completed);
    assert_eq!(desk.claim(), None, "two are in processing still");
    let next = Checkin { next: NEXT, ..Checkin::new(issue(8), name("w"), Outcome::Completed) };
    assert_eq!(desk.check_in(next), Some(2), "one ends, one begins");
    desk.set(&[(Setting::MaxRunning, 0)]);
    assert_eq!(desk.claim_all(), [3]);
}

#[test]
fn while_a_project_is_drained_nothing_is_claimed_and_beats_say_so() {
    let mut desk = Desk::new();
    desk.queue([1, 2]);
    desk.checkout(9);
    assert_eq!(desk.project.drain(desk.now(), true), Effect::Changed);
    let drained = desk.bytes();
    assert_eq!(desk.project.drain(desk.now(), true), Effect::Unchanged);
    assert_eq!(desk.claim(), None);
    assert_eq!(desk.bytes(), drained);
    desk.restart();
    let beat = Heartbeat { process: name("w"), incarnation: None, ttl: None, progress: None };
    let drain = |desk: &mut Desk| desk.project.heartbeat(desk.now(), &beat).unwrap().drain();
    assert!(drain(&mut desk));
    let next = Checkin { next: NEXT, ..Checkin::new(issue(9), name("w"), Outcome::Completed) };
    assert_eq!(desk.check_in(next), None);
    desk.checkout(1);
    assert_eq!(desk.task(1), "1:issue", "a checkout by number works");
    assert!(desk.project.stats(desk.now()).queue.drain);
    assert_eq!(desk.project.drain(desk.now(), false), Effect::Changed);
    assert!(!drain(&mut desk));
    assert_eq!(desk.claim(), Some(2));
}

#[test]
fn a_repeated_req_answers_the_same_lease_while_it_is_held_and_renews_the_heartbeat() {
    let mut desk = Desk::with(&[(Setting::HeartbeatTtl, 1_000)]);
    desk.queue([1, 2, 3]);
    let claim = |request| Claim { request: Some(name(request)), ..Claim::new(name("w")) };
    assert_eq!(desk.claim_by(claim("r1")), Some(issue(1)));
    let token = desk.token(1);
    desk.wait(900);
    desk.restart();
    let again = desk.project.claim(desk.now(), &claim("r1")).unwrap().unwrap();
    assert!(again.renewed && again.issue == issue(1) && desk.token(1) == token);
    desk.wait(900);
    assert_eq!(desk.project.orphan_count(desk.now()), 0, "it was a beat");
    // Another life's REQ is another's.
    let other = Claim { process: name("v"), ..claim("r1") };
    assert_eq!(desk.claim_by(other), Some(issue(2)));
    assert_eq!(desk.claim_by(claim("r2")), Some(issue(3)));
    assert_eq!(desk.claim_by(claim("r1")), None, "only the last one counts");
    assert_eq!(desk.claim_by(claim("r2")), Some(issue(3)));
    desk.checkin(3, Outcome::Completed);
    assert_eq!(desk.claim_by(claim("r2")), None, "it is held no more");
    desk.queue([4]);
    assert_eq!(desk.claim_by(claim("r2")), Some(issue(4)), "so it is a new claim");
}

#[test]
fn a_claim_without_req_leaves_the_last_req_the_last() {
    let mut desk = Desk::new();
    desk.queue([1, 2, 3, 4]);
    let claim = Claim { request: Some(name("r1")), ..Claim::new(name("w")) };
    assert_eq!(desk.claim_by(claim), Some(issue(1)));
    assert_eq!(desk.claim(), Some(2));
    assert_eq!(desk.claim_by(claim), Some(issue(1)));
    let next = Checkin { next: NEXT, ..Checkin::new(issue(2), name("w"), Outcome::Completed) };
    assert_eq!(desk.check_in(next), Some(3));
    assert_eq!(desk.claim_by(claim), Some(issue(1)));
}

#[test]
fn a_req_does_not_answer_a_lease_that_was_taken_over_or_given_anew() {
    let mut desk = Desk::new();
    desk.queue([1]);
    let claim = Claim { request: Some(name("r1")), ..Claim::new(name("w")) };
    assert_eq!(desk.claim_by(claim), Some(issue(1)));
    assert_eq!(desk.requeue(1), Status::Queued);
    assert_eq!(desk.claim_by(Claim::new(name("v"))), Some(issue(1)));
    assert_eq!(desk.claim_by(claim), None);
    // The same issue and the same life, but another lease.
    assert_eq!(desk.requeue(1), Status::Queued);
    desk.checkout(1);
    let other = desk.project.claim(desk.now(), &claim).unwrap();
    assert_eq!(other, None);
}

#[test]
fn req_of_next_is_a_req_like_any_other() {
    let mut desk = Desk::new();
    desk.queue([1, 2]);
    assert_eq!(desk.claim(), Some(1));
    let next = Some(Next { request: Some(name("r7")), may_claim: true, chosen: None });
    assert_eq!(desk.check_in(Checkin { next, ..Checkin::new(issue(1), name("w"), Outcome::Completed) }), Some(2));
    let again = Claim { request: Some(name("r7")), ..Claim::new(name("w")) };
    assert_eq!(desk.claim_by(again), Some(issue(2)));
}

#[test]
fn a_repeated_check_in_with_next_answers_the_same_lease_while_it_is_held() {
    let mut desk = Desk::new();
    desk.queue([1, 2, 3]);
    assert_eq!(desk.claim(), Some(1));
    let token = Some(desk.token(1));
    let done = Checkin { token, next: NEXT, ..Checkin::new(issue(1), name("w"), Outcome::Completed) };
    assert_eq!(desk.check_in(done), Some(2));
    let before = desk.bytes();
    for _ in 0..2 {
        let again = CheckedIn { effect: Effect::Unchanged, next: Some(issue(2)) };
        assert_eq!(desk.project.checkin(desk.now(), &done), Ok(again));
        assert_eq!(desk.check_in(Checkin { next: None, ..done }), None);
        assert_eq!(desk.bytes(), before, "it claims nothing new");
        desk.restart();
    }
    desk.checkin(2, Outcome::Completed);
    assert_eq!(desk.check_in(done), None, "held no more, and there is no second claim");
    // Held again, but by another lease.
    desk.checkout(2);
    assert_eq!(desk.check_in(done), None);
}

#[test]
fn a_check_in_whose_next_got_nothing_gets_nothing_when_repeated() {
    let mut desk = Desk::new();
    let token = Some(desk.checkout(1));
    let done = Checkin { token, next: NEXT, ..Checkin::new(issue(1), name("w"), Outcome::Completed) };
    assert_eq!(desk.check_in(done), None);
    desk.queue([2]);
    assert_eq!(desk.check_in(done), None);
    assert_eq!(desk.claim(), Some(2));
}

#[test]
fn a_repeated_check_in_whose_next_was_of_the_same_issue_answers_that_lease() {
    let mut desk = Desk::new();
    let first = desk.checkout(1);
    desk.queue([1]);
    let done = Checkin { token: Some(first), next: NEXT, ..Checkin::new(issue(1), name("w"), Outcome::Error) };
    assert_eq!(desk.check_in(done), Some(1));
    let second = desk.token(1);
    assert!(second > first);
    let before = desk.bytes();
    assert_eq!(
        desk.project.checkin(desk.now(), &done),
        Ok(CheckedIn { effect: Effect::Unchanged, next: Some(issue(1)) })
    );
    desk.restart();
    assert_eq!(desk.check_in(Checkin { next: None, ..done }), None);
    assert_eq!(desk.bytes(), before);
    // As another status, or by another process, it is stale: the current lease is another one.
    let otherwise = Checkin { outcome: Outcome::Completed, ..done };
    assert!(matches!(desk.project.checkin(desk.now(), &otherwise), Err(Refusal::Stale { .. })));
    let stranger = Checkin { process: name("v"), ..done };
    assert!(matches!(desk.project.checkin(desk.now(), &stranger), Err(Refusal::Stale { .. })));
    assert_eq!(desk.status(1), Status::Processing);
    desk.checkin(1, Outcome::Completed);
    assert!(matches!(desk.project.checkin(desk.now(), &done), Err(Refusal::Stale { .. })));
}

#[test]
fn next_is_a_claim_by_the_life_that_held_the_lease() {
    let mut desk = Desk::new();
    desk.queue([5, 6]);
    desk.checkout(1);
    let newer = Checkout { incarnation: Some(name("second")), ..Checkout::new(issue(2), name("w")) };
    desk.project.checkout(desk.now(), &newer).unwrap();
    let done = |number| Checkin { next: NEXT, ..Checkin::new(issue(number), name("w"), Outcome::Completed) };
    assert_eq!(desk.check_in(done(1)), None, "a newer life took the name");
    assert_eq!(desk.check_in(done(2)), Some(5));
    let no_room = Some(Next { request: None, may_claim: false, chosen: None });
    assert_eq!(desk.check_in(Checkin { next: no_room, ..done(5) }), None);
    assert_eq!(desk.claim(), Some(6));
}

#[test]
fn a_retried_task_waits_again_after_its_delay_and_its_issue_is_queued() {
    let mut desk = Desk::new();
    let full = Enqueue {
        priority: level("high"),
        title: Some(text("Crash")),
        payload: Some(text("{}")),
        ..Enqueue::new(issue(1))
    };
    desk.enqueue(full);
    assert_eq!(desk.claim(), Some(1));
    desk.retry(1, 500);
    assert_eq!(desk.status(1), Status::Queued);
    desk.wait(499);
    assert_eq!(desk.claim(), None);
    desk.wait(1);
    assert_eq!(desk.claim(), Some(1));
    let task = desk.project.claimed(issue(1)).unwrap();
    assert_eq!((task.task, task.attempts, task.payload, task.title), ("1:issue", 1, Some("{}"), Some("Crash")));
    desk.retry(1, 0);
    assert_eq!(desk.list(Tasks::Waiting), ["1:issue"]);
    assert_eq!(desk.project.totals().tasks.retried, 2);
}

#[test]
fn a_task_that_failed_max_attempts_times_is_dead_retry_or_not() {
    for most in [1, 3] {
        let mut desk = Desk::with(&[(Setting::MaxAttempts, most)]);
        desk.queue([1]);
        for attempt in 0..most {
            assert_eq!(desk.claim(), Some(1));
            assert_eq!(u64::from(desk.attempts(1)), attempt);
            desk.retry(1, 0);
        }
        assert_eq!((desk.claim(), desk.status(1)), (None, Status::Error));
        let page = desk.project.list_tasks(desk.now(), Tasks::Dead, 0, 10);
        assert_eq!((page.rows[0].id, u64::from(page.rows[0].attempts)), ("1:issue", most));
        assert_eq!(desk.project.task_counts(issue(1)), (0, 1));
        let events: Vec<_> = desk.project.events(0).events.map(|event| (event.what, event.status)).collect();
        let error = Some(Status::Error);
        assert_eq!(events[events.len() - 2..], [(EventKind::Checkin, error), (EventKind::Dead, error)]);
    }
}

#[test]
fn an_error_without_retry_is_the_death_of_its_task() {
    let mut desk = Desk::new();
    desk.queue([1]);
    assert_eq!(desk.claim(), Some(1));
    let failed = Checkin { reason: Some(text("no such branch")), ..Checkin::new(issue(1), name("w"), Outcome::Error) };
    desk.check_in(failed);
    let at = desk.now().at;
    let page = desk.project.list_tasks(desk.now(), Tasks::Dead, 0, 10);
    assert_eq!(page.rows[0].state, TaskState::Dead { at, reason: Some("no such branch") });
    assert_eq!((page.rows[0].attempts, page.rows[0].orphans), (1, 0));
    assert!(!desk.enqueue(Enqueue::new(issue(1))), "it is there already");
    assert!(desk.enqueue(Enqueue { again: true, payload: Some(text("2")), ..Enqueue::new(issue(1)) }));
    assert_eq!(desk.list(Tasks::Dead), Vec::<String>::new());
    assert_eq!(desk.claim(), Some(1));
    let task = desk.project.claimed(issue(1)).unwrap();
    assert_eq!((task.attempts, task.payload), (0, Some("2")));
}

#[test]
fn a_lease_without_a_task_gets_one_where_it_is_retried_or_requeued() {
    let mut desk = Desk::new();
    let fix = Checkout { kind: Some(name("fix")), ..Checkout::new(issue(1), name("w")) };
    desk.project.checkout(desk.now(), &fix).unwrap();
    desk.retry(1, 0);
    desk.checkout(2);
    assert_eq!(desk.requeue(2), Status::Queued);
    let page = desk.project.list_tasks(desk.now(), Tasks::Waiting, 0, 10);
    let rows: Vec<_> = page.rows.iter().map(|task| (task.id, task.kind, task.attempts, task.orphans)).collect();
    assert_eq!(rows, [("1:fix", "fix", 1, 0), ("2:issue", "issue", 0, 1)]);
    // Without RETRY or REQUEUE there is none.
    desk.checkout(3);
    desk.checkin(3, Outcome::Error);
    assert_eq!((desk.list(Tasks::Waiting).len(), desk.list(Tasks::Dead).len()), (2, 0));
}

#[test]
fn a_lease_without_a_task_comes_back_by_the_task_that_waits_already() {
    let mut desk = Desk::new();
    desk.checkout(1);
    desk.queue([1]);
    desk.retry(1, 60_000);
    assert_eq!((desk.status(1), desk.list(Tasks::Waiting)), (Status::Queued, vec!["1:issue".to_owned()]));
    assert_eq!(desk.claim(), Some(1));
}

#[test]
fn a_task_gets_another_id_where_its_own_is_another_issues() {
    let mut desk = Desk::new();
    desk.enqueue(Enqueue { id: Some(name("1:issue")), ..Enqueue::new(issue(7)) });
    desk.enqueue(Enqueue { id: Some(name("1:issue+2")), ..Enqueue::new(issue(8)) });
    desk.checkout(1);
    desk.retry(1, 0);
    assert_eq!(desk.list(Tasks::Waiting), ["1:issue", "1:issue+2", "1:issue+3"]);
    assert_eq!(desk.claim_all(), [7, 8, 1]);
}

#[test]
fn a_task_that_was_requeued_max_orphans_times_before_is_poison() {
    let mut desk = Desk::with(&[(Setting::MaxOrphans, 2)]);
    desk.queue([1]);
    for _ in 0..2 {
        assert_eq!(desk.claim(), Some(1));
        assert_eq!(desk.requeue(1), Status::Queued);
    }
    assert_eq!(desk.claim(), Some(1));
    let token = desk.token(1);
    desk.wait(1_800_000);
    let outcome = RepairOutcome::AwaitingResponse;
    let repair = Repair { issue: issue(1), token, outcome, requeue: true, reason: None };
    let (status, effect) = desk.project.repair(desk.now(), &repair).unwrap();
    assert_eq!((status, effect), (Status::AwaitingResponse, Effect::Changed));
    let page = desk.project.list_tasks(desk.now(), Tasks::Dead, 0, 10);
    assert_eq!((page.rows[0].orphans, page.rows[0].attempts), (3, 0));
    assert!(matches!(page.rows[0].state, TaskState::Dead { reason: Some("expired"), .. }));
    assert_eq!(desk.project.repair(desk.now(), &repair), Ok((Status::AwaitingResponse, Effect::Unchanged)));
    assert_eq!(desk.project.totals().tasks.requeued, 2);
}

#[test]
fn a_repair_without_requeue_is_the_death_of_its_task() {
    let mut desk = Desk::with(&[(Setting::HeartbeatTtl, 1_000)]);
    desk.queue([1]);
    assert_eq!(desk.claim(), Some(1));
    let token = desk.token(1);
    desk.wait(1_000);
    let repair = Repair { issue: issue(1), token, outcome: RepairOutcome::Error, requeue: false, reason: None };
    assert_eq!(desk.project.repair(desk.now(), &repair), Ok((Status::Error, Effect::Changed)));
    assert_eq!(desk.list(Tasks::Dead), ["1:issue"]);
}

#[test]
fn a_repeated_requeue_answers_the_same_and_queues_nothing_twice() {
    let mut desk = Desk::with(&[(Setting::HeartbeatTtl, 1_000)]);
    desk.queue([1]);
    assert_eq!(desk.claim(), Some(1));
    let token = desk.token(1);
    desk.wait(1_000);
    let repair = Repair { issue: issue(1), token, outcome: RepairOutcome::Error, requeue: true, reason: None };
    assert_eq!(desk.project.repair(desk.now(), &repair), Ok((Status::Queued, Effect::Changed)));
    let before = desk.bytes();
    assert_eq!(desk.project.repair(desk.now(), &repair), Ok((Status::Queued, Effect::Unchanged)));
    assert_eq!(desk.bytes(), before);
    assert_eq!(desk.list(Tasks::Waiting), ["1:issue"]);
}

#[test]
fn a_holder_that_was_asked_to_stop_is_told_and_its_task_does_not_come_back() {
    for requeue in [false, true] {
        let mut desk = Desk::new();
        desk.queue([1, 2]);
        assert_eq!(desk.claim_all(), [1, 2]);
        let at = desk.now().at;
        let cancel = |desk: &mut Desk, why| desk.project.cancel(desk.now(), issue(1), why);
        assert_eq!(cancel(&mut desk, Some(text("wrong"))), (Cancelled::Asked, Effect::Changed));
        desk.wait(5);
        assert_eq!(cancel(&mut desk, Some(text("again"))), (Cancelled::Asked, Effect::Unchanged));
        let record = desk.project.get(desk.now(), issue(1)).unwrap();
        assert!(matches!(record.run, RunView::Held { asked, .. } if asked == Some((at, Some("wrong")))));
        desk.restart();
        let beat = Heartbeat { process: name("w"), incarnation: None, ttl: None, progress: None };
        let told: Vec<_> = desk.project.heartbeat(desk.now(), &beat).unwrap().cancel().collect();
        assert_eq!(told, [issue(1)]);
        if requeue {
            assert_eq!(desk.requeue(1), Status::Cancelled);
        } else {
            desk.retry(1, 0);
        }
        assert_eq!((desk.status(1), desk.claim()), (Status::Cancelled, None));
        assert_eq!(desk.project.task_count(), (0, 0));
        assert_eq!(desk.project.totals().tasks.cancelled, 1);
        assert_eq!(desk.project.heartbeat(desk.now(), &beat).unwrap().cancel().count(), 0);
        assert!(desk.enqueue(Enqueue::new(issue(1))), "it was not finished");
    }
}

#[test]
fn a_holder_that_was_asked_may_finish_or_fail_all_the_same() {
    for (outcome, dead) in [(Outcome::Completed, 0), (Outcome::Error, 1), (Outcome::Cancelled, 0)] {
        let mut desk = Desk::new();
        desk.queue([1]);
        assert_eq!(desk.claim(), Some(1));
        desk.project.cancel(desk.now(), issue(1), None);
        desk.checkin(1, outcome);
        assert_eq!(desk.status(1), Status::from(outcome));
        assert_eq!(desk.list(Tasks::Dead).len(), dead);
        assert_eq!(desk.enqueue(Enqueue::new(issue(1))), outcome == Outcome::Cancelled);
    }
}

#[test]
fn cancelling_removes_what_waits_or_is_delayed_and_nothing_of_other_issues() {
    let mut desk = Desk::new();
    for (number, id, delay) in [(1, "a", 0), (2, "b", 0), (1, "c", 9_000), (1, "d", 0), (10, "e", 0)] {
        assert!(desk.enqueue(Enqueue { id: Some(name(id)), delay: Millis(delay), ..Enqueue::new(issue(number)) }));
    }
    let cancel = |desk: &mut Desk, number| desk.project.cancel(desk.now(), issue(number), None);
    assert_eq!(cancel(&mut desk, 1), (Cancelled::Removed, Effect::Changed));
    assert_eq!(cancel(&mut desk, 1), (Cancelled::Nothing, Effect::Unchanged));
    assert_eq!(desk.list(Tasks::Waiting), ["b", "e"]);
    let removed: Vec<_> = desk.project.events(5).events.map(|event| event.task.unwrap().to_owned()).collect();
    assert_eq!(removed, ["a", "d", "c"]);
    let last = desk.project.events(7).events.next().unwrap();
    assert_eq!((last.from, last.status), (Some(Status::Queued), None), "nothing is known of the issue any more");
    assert_eq!(desk.project.forget(desk.now(), issue(1)), Ok(Effect::Unchanged));
    desk.wait(10_000);
    assert_eq!(desk.claim_all(), [2, 10]);
}

#[test]
fn an_issue_whose_last_queued_task_is_cancelled_is_cancelled_and_its_label_is_behind() {
    let mut desk = Desk::new();
    desk.queue([1]);
    assert_eq!(desk.claim(), Some(1));
    desk.retry(1, 1_000);
    let behind = desk.project.unlabelled().next().unwrap();
    assert_eq!(desk.project.labelled(desk.now(), issue(1), behind.version), Effect::Changed);
    assert_eq!(desk.project.cancel(desk.now(), issue(1), None).0, Cancelled::Removed);
    assert_eq!(desk.status(1), Status::Cancelled);
    let behind = desk.project.unlabelled().next().unwrap();
    assert_eq!((behind.status, behind.version), (Status::Cancelled, desk.project.last_event()));
}

#[test]
fn what_was_finished_is_not_queued_again_unless_it_is_said() {
    for outcome in [Outcome::Completed, Outcome::AwaitingResponse] {
        let mut desk = Desk::new();
        let comment = Enqueue { id: Some(name("comment-1")), ..Enqueue::new(issue(1)) };
        assert!(desk.enqueue(comment));
        assert!(!desk.enqueue(comment), "it waits");
        assert_eq!(desk.claim(), Some(1));
        assert!(!desk.enqueue(Enqueue { again: true, ..comment }), "it runs");
        desk.checkin(1, outcome);
        desk.restart();
        let before = desk.bytes();
        assert!(!desk.enqueue(comment), "it was finished");
        assert_eq!(desk.bytes(), before);
        // Per issue: the same id may be another issue's.
        assert!(desk.enqueue(Enqueue { issue: issue(2), ..comment }));
        assert_eq!(desk.work_all(), ["comment-1"]);
        assert!(desk.enqueue(Enqueue { again: true, ..comment }));
        desk.project.cancel(desk.now(), issue(1), None);
        assert!(desk.enqueue(comment), "that it was finished is forgotten");
    }
}

#[test]
fn the_newest_finished_ids_are_remembered_and_no_more_than_finished_kept() {
    let mut desk = Desk::with(&[(Setting::FinishedKept, 3)]);
    desk.queue(1..=5);
    assert_eq!(desk.work_all().len(), 5);
    let queued: Vec<u64> = (1..=5).filter(|number| desk.enqueue(Enqueue::new(issue(*number)))).collect();
    assert_eq!(queued, [1, 2]);
    // What is finished again is the newest again.
    desk.enqueue(Enqueue { again: true, ..Enqueue::new(issue(3)) });
    assert_eq!(desk.work_all().len(), 3);
    assert!(desk.enqueue(Enqueue::new(issue(4))), "of 5, 1, 2 and 3 three are kept: 1, 2 and 3");
    assert!(desk.enqueue(Enqueue::new(issue(5))));
    assert!(!desk.enqueue(Enqueue::new(issue(3))));
}

#[test]
fn a_run_that_failed_is_not_finished() {
    let mut desk = Desk::new();
    desk.queue([1]);
    assert_eq!(desk.claim(), Some(1));
    desk.checkin(1, Outcome::Cancelled);
    assert!(desk.enqueue(Enqueue::new(issue(1))), "dropped, so it can come again");
}

#[test]
fn the_id_of_a_task_is_unique_across_issues_wherever_the_task_is() {
    let mut desk = Desk::new();
    let comment = |number| Enqueue { id: Some(name("c")), again: true, ..Enqueue::new(issue(number)) };
    let refused = |desk: &mut Desk| {
        let before = desk.bytes();
        let refusal = desk.project.enqueue(desk.now(), &comment(2)).unwrap_err();
        assert_eq!(refusal, Refusal::OtherIssue { task: "c".to_owned(), issue: issue(1) });
        assert_eq!(desk.bytes(), before);
    };
    desk.enqueue(Enqueue { delay: Millis(10), ..comment(1) });
    refused(&mut desk);
    desk.wait(10);
    refused(&mut desk);
    assert_eq!(desk.claim(), Some(1));
    refused(&mut desk);
    desk.checkin(1, Outcome::Error);
    refused(&mut desk);
    assert_eq!(desk.project.forget(desk.now(), issue(1)), Ok(Effect::Changed));
    assert!(desk.enqueue(comment(2)));
}

#[test]
fn a_checkout_by_number_adopts_its_task_be_it_waiting_or_delayed() {
    for delay in [0, 60_000] {
        let mut desk = Desk::new();
        let fix = Enqueue { kind: Some(name("fix")), ..Enqueue::new(issue(1)) };
        desk.enqueue(Enqueue { delay: Millis(delay), payload: Some(text("7")), ..fix });
        desk.queue([1]);
        let checkout = Checkout { kind: Some(name("fix")), ..Checkout::new(issue(1), name("w")) };
        desk.project.checkout(desk.now(), &checkout).unwrap();
        assert_eq!(desk.task(1), "1:fix");
        assert!(!desk.enqueue(fix), "it runs");
        assert_eq!(desk.project.claimed(issue(1)).unwrap().payload, Some("7"));
        assert_eq!(desk.project.totals().tasks.claimed, 0, "it was not claimed");
        desk.checkin(1, Outcome::Completed);
        assert!(!desk.enqueue(fix), "it was finished");
        desk.checkout(1);
        assert_eq!(desk.task(1), "1:issue");
    }
}

#[test]
fn a_checkout_by_number_takes_no_task_of_another_issue() {
    let mut desk = Desk::new();
    desk.enqueue(Enqueue { id: Some(name("1:issue")), ..Enqueue::new(issue(7)) });
    desk.checkout(1);
    assert!(desk.project.claimed(issue(1)).is_none());
    assert_eq!(desk.claim(), Some(7));
    assert_eq!(desk.task(7), "1:issue");
}

#[test]
fn a_takeover_carries_the_orphans_task_and_counts_the_orphan() {
    let mut desk = Desk::with(&[(Setting::HeartbeatTtl, 1_000), (Setting::MaxOrphans, 1)]);
    desk.enqueue(Enqueue { kind: Some(name("fix")), payload: Some(text("7")), ..Enqueue::new(issue(1)) });
    assert_eq!(desk.claim(), Some(1));
    desk.wait(1_000);
    let takeover = Checkout { takeover: true, kind: Some(name("docs")), ..Checkout::new(issue(1), name("v")) };
    desk.project.checkout(desk.now(), &takeover).unwrap();
    let record = desk.project.get(desk.now(), issue(1)).unwrap();
    let RunView::Held { task: Some(task), .. } = record.run else { panic!("a task runs: {record:?}") };
    assert_eq!((task.id, task.kind, task.orphans, task.payload), ("1:fix", "fix", 1, Some("7")));
    assert_eq!(record.process, "v");
    assert_eq!(desk.project.stats(desk.now()).queue.running, 1);
    assert_eq!(desk.requeue(1), Status::Error, "that was one orphan already");
    assert_eq!(desk.list(Tasks::Dead), ["1:fix"]);
}

#[test]
fn a_revived_task_waits_anew_with_its_counts_at_zero() {
    let mut desk = Desk::with(&[(Setting::MaxAttempts, 1)]);
    desk.enqueue(Enqueue { payload: Some(text("7")), priority: level("high"), ..Enqueue::new(issue(1)) });
    assert_eq!(desk.claim(), Some(1));
    assert_eq!(desk.requeue(1), Status::Queued);
    assert_eq!(desk.claim(), Some(1));
    desk.checkin(1, Outcome::Error);
    desk.wait(100);
    desk.urgent(2, "high");
    assert_eq!(desk.revive("no-such-task"), Effect::Unchanged);
    assert_eq!(desk.revive("2:issue"), Effect::Unchanged, "it waits");
    assert_eq!(desk.revive("1:issue"), Effect::Changed);
    assert_eq!(desk.revive("1:issue"), Effect::Unchanged);
    let page = desk.project.list_tasks(desk.now(), Tasks::Waiting, 0, 10);
    let revived = page.rows[1];
    assert_eq!((revived.id, revived.attempts, revived.orphans, revived.payload), ("1:issue", 0, 0, Some("7")));
    assert_eq!(revived.state, TaskState::Waiting { since: desk.now().at, held: false });
    assert_eq!(desk.claim_all(), [2, 1], "behind those that wait already");
}

#[test]
fn an_issue_that_only_has_tasks_is_queued_and_can_be_forgotten() {
    let mut desk = Desk::new();
    desk.queue([1]);
    assert!(desk.project.get(desk.now(), issue(1)).is_none());
    assert_eq!(desk.project.forget(desk.now(), issue(1)), Ok(Effect::Changed));
    assert_eq!(desk.project.forget(desk.now(), issue(1)), Ok(Effect::Unchanged));
    assert_eq!((desk.project.task_count(), desk.claim()), ((0, 0), None));
    let events: Vec<_> = desk.project.events(0).events.map(|event| (event.what, event.from, event.status)).collect();
    let queued = Some(Status::Queued);
    assert_eq!(events, [(EventKind::Enqueue, None, queued), (EventKind::Forget, queued, None)]);
}

#[test]
fn forgetting_an_issue_forgets_its_dead_and_finished_tasks_and_no_others() {
    let mut desk = Desk::new();
    for number in [1, 2] {
        for (kind, outcome) in [("dead", Outcome::Error), ("done", Outcome::Completed)] {
            desk.enqueue(Enqueue { kind: Some(name(kind)), ..Enqueue::new(issue(number)) });
            assert_eq!(desk.claim(), Some(number));
            desk.checkin(number, outcome);
        }
        desk.delayed(number, 1_000);
    }
    assert_eq!(desk.project.forget(desk.now(), issue(1)), Ok(Effect::Changed));
    desk.restart();
    assert_eq!(
        (desk.list(Tasks::Dead), desk.list(Tasks::Delayed)),
        (vec!["2:dead".to_owned()], vec!["2:issue".to_owned()])
    );
    let kind = |number, kind| Enqueue { kind: Some(name(kind)), ..Enqueue::new(issue(number)) };
    assert!(desk.enqueue(kind(1, "dead")) && desk.enqueue(kind(1, "done")));
    assert!(!desk.enqueue(kind(2, "dead")) && !desk.enqueue(kind(2, "done")));
}

#[test]
fn a_claim_of_a_newer_life_ends_the_older_one_and_is_refused_while_that_is_attested() {
    let mut desk = Desk::new();
    desk.queue([1, 2]);
    let (host, pid) = (name("h"), Pid::try_from(7).unwrap());
    let first = Claim { host: Some(host), pid: Some(pid), incarnation: Some(name("x")), ..Claim::new(name("w")) };
    assert_eq!(desk.claim_by(first), Some(issue(1)));
    let word = Liveness { process: name("w"), alive: true, host, pid, incarnation: None };
    desk.project.liveness(desk.now(), &word);
    let second = Claim { incarnation: Some(name("y")), ..Claim::new(name("w")) };
    let before = desk.bytes();
    assert!(matches!(desk.project.claim(desk.now(), &second), Err(Refusal::InUse { .. })));
    assert_eq!(desk.bytes(), before);
    desk.wait(60_000);
    assert_eq!(desk.claim_by(second), Some(issue(2)));
    let orphans: Vec<_> = desk.project.orphans(desk.now(), None).map(|orphan| orphan.issue).collect();
    assert_eq!(orphans, [issue(1)]);
}

#[test]
fn a_claim_on_a_replica_takes_the_task_that_its_primary_chose() {
    let mut desk = Desk::new();
    desk.queue([1, 2]);
    desk.delayed(3, 1_000);
    let replay = Now::replay(desk.now().at);
    for (id, expected) in [("2:issue", Some(2)), ("3:issue", Some(3)), ("no-such-task", None)] {
        let chosen = Some(TaskId::parse(id.as_bytes()).unwrap());
        let mut replica = desk.project.clone();
        let claimed = replica.claim(replay, &Claim { chosen, ..Claim::new(name("w")) }).unwrap();
        assert_eq!(claimed.map(|claimed| claimed.issue.get()), expected);
    }
    assert_eq!(desk.project.clone().claim(replay, &Claim::new(name("w"))).unwrap(), None, "null was null");
}

#[test]
fn the_title_of_a_task_is_its_issues_and_that_of_the_claim_counts_where_it_has_none() {
    let mut desk = Desk::new();
    desk.enqueue(Enqueue { title: Some(text("its own")), ..Enqueue::new(issue(1)) });
    desk.queue([2]);
    let claim = Claim { title: Some(text("the claim's")), ..Claim::new(name("w")) };
    assert_eq!((desk.claim_by(claim), desk.claim_by(claim)), (Some(issue(1)), Some(issue(2))));
    let title = |number| desk.project.claimed(issue(number)).unwrap().title;
    assert_eq!((title(1), title(2)), (Some("its own"), Some("the claim's")));
}

#[test]
fn the_figures_of_the_queue_are_what_is_there() {
    let mut desk = Desk::new();
    desk.urgent(1, "urgent");
    desk.wait(10);
    desk.queue([2, 3, 4]);
    desk.delayed(5, 1_000);
    assert_eq!(desk.claim(), Some(1));
    assert_eq!(desk.claim(), Some(2));
    desk.checkin(2, Outcome::Error);
    desk.wait(90);
    desk.urgent(6, "low");
    let queue = desk.project.stats(desk.now()).queue;
    assert_eq!((queue.waiting, queue.delayed, queue.running, queue.dead), (3, 1, 1, 1));
    assert_eq!(queue.oldest, Some(Millis(90)));
    let depth: Vec<_> = queue.depth.iter().map(|(priority, count)| (priority.get(), *count)).collect();
    assert_eq!(depth, [(50, 2), (25, 1)]);
}

#[test]
fn what_falls_due_while_nothing_can_be_claimed_is_noticed_so_that_nobody_looks_for_it_again_and_again() {
    let mut desk = Desk::new();
    desk.checkout(9);
    for number in 1..=3 {
        desk.delayed(number, number * 1_000);
    }
    desk.wait(1_000);
    desk.project.drain(desk.now(), true);
    desk.wait(1_000);
    assert_eq!(desk.project.next_due(desk.now()), Some(Millis(1)));
    assert!(!desk.project.has_task_for(desk.now(), &[]));
    assert_eq!(desk.project.next_due(desk.now()), Some(Millis(1_001)), "the third");
    desk.project.drain(desk.now(), false);
    desk.set(&[(Setting::MaxRunning, 1)]);
    desk.wait(1_000);
    assert!(!desk.project.has_task_for(desk.now(), &[]));
    assert_eq!(desk.project.next_due(desk.now()), None);
    desk.checkin(9, Outcome::Completed);
    assert_eq!(desk.work_all(), ["1:issue", "2:issue", "3:issue"]);
}

#[test]
fn the_texts_of_a_task_are_counted_once_wherever_it_is_and_no_longer() {
    let mut desk = Desk::with(&[(Setting::EventsKept, 0)]);
    let json = format!("\"{}\"", "x".repeat(60_000));
    let payload = Some(text(&json));
    // What a project without that text takes in the same state.
    let mut other = Desk { project: desk.project.clone(), millis: desk.millis };
    let more = |desk: &Desk, other: &Desk| desk.project.memory() - other.project.memory();
    desk.enqueue(Enqueue { payload, delay: Millis(10), ..Enqueue::new(issue(1)) });
    other.enqueue(Enqueue { payload: Some(text("1")), delay: Millis(10), ..Enqueue::new(issue(1)) });
    let length = json.len() - 1;
    assert_eq!(more(&desk, &other), length, "delayed");
    for desk in [&mut desk, &mut other] {
        desk.wait(10);
        assert_eq!(desk.claim(), Some(1));
    }
    assert_eq!(more(&desk, &other), length, "running");
    for desk in [&mut desk, &mut other] {
        desk.project.cancel(desk.now(), issue(1), None);
    }
    assert_eq!(more(&desk, &other), length, "asked");
    for desk in [&mut desk, &mut other] {
        desk.checkin(1, Outcome::Error);
    }
    assert_eq!(more(&desk, &other), length, "dead");
    for desk in [&mut desk, &mut other] {
        assert_eq!(desk.revive("1:issue"), Effect::Changed);
    }
    assert_eq!(more(&desk, &other), length, "waiting");
    for desk in [&mut desk, &mut other] {
        assert_eq!(desk.work_all(), ["1:issue"]);
    }
    assert_eq!(more(&desk, &other), 0, "finished");
}

#[test]
fn a_running_task_has_its_type_although_its_lease_was_given_another() {
    let mut desk = Desk::with(&[(Setting::EventsKept, 0)]);
    desk.enqueue(Enqueue { kind: Some(name("rare")), ..Enqueue::new(issue(1)) });
    assert_eq!(desk.claim(), Some(1));
    let renewed = Checkout { kind: Some(name("docs")), ..Checkout::new(issue(1), name("w")) };
    assert!(desk.project.checkout(desk.now(), &renewed).unwrap().renewed);
    // The log forgets the type, too, and other names come.
    for process in ["a", "b", "c"] {
        desk.project.checkout(desk.now(), &Checkout::new(issue(9), name(process))).ok();
        desk.project.evict(desk.now(), &Evict { issue: issue(9), token: None, requeue: false, reason: None }).unwrap();
    }
    assert_eq!(desk.project.claimed(issue(1)).unwrap().kind, "rare");
    desk.restart();
    assert_eq!(desk.project.claimed(issue(1)).unwrap().kind, "rare");
}

#[test]
fn no_two_tasks_that_are_read_have_one_id_wherever_they_are() {
    let begin = |desk: &mut Desk| desk.enqueue(Enqueue { id: Some(name("one")), ..Enqueue::new(issue(1)) });
    let end = |desk: &mut Desk, outcome| {
        assert_eq!(desk.claim(), Some(1));
        desk.checkin(1, outcome);
    };
    // One project with lives, whose only task of that id is in turn running, waiting and dead.
    let pieces = [0, 1, 2].map(|place| {
        let mut desk = Desk::new();
        desk.checkout(9);
        begin(&mut desk);
        end(&mut desk, Outcome::Error);
        desk.revive("one");
        match place {
            0 => assert_eq!(desk.claim(), Some(1)),
            1 => {}
            _ => end(&mut desk, Outcome::Error),
        }
        desk.bytes()
    });
    let of_kind = |place: usize, kind: u8| pieces[place].iter().find(|piece| piece[1] == kind).unwrap();
    let (issues, tasks, dead) = (2, 3, 4);
    // The last head counts as many as any of the others.
    let mut project = Project::load(&pieces[2][0]).unwrap();
    project.load_next(of_kind(2, 1)).unwrap();
    let mut running = project.clone();
    running.load_next(of_kind(0, issues)).unwrap();
    assert_eq!(running.load_next(of_kind(1, tasks)), Err(Corrupt::Value("a task's id")));
    assert_eq!(running.load_next(of_kind(2, dead)), Err(Corrupt::Value("a dead task's id")));
    project.load_next(of_kind(1, tasks)).unwrap();
    assert_eq!(project.load_next(of_kind(2, dead)), Err(Corrupt::Value("a dead task's id")));
}

#[test]
fn tasks_are_cancelled_in_the_same_order_whatever_else_the_project_has_seen() {
    let removed = |desk: &mut Desk| {
        for kind in ["b", "a", "c"] {
            desk.enqueue(Enqueue { kind: Some(name(kind)), ..Enqueue::new(issue(1)) });
        }
        let before = desk.project.last_event();
        desk.project.cancel(desk.now(), issue(1), None);
        desk.project.events(before).events.map(|event| event.task.unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(removed(&mut Desk::new()), ["1:b", "1:a", "1:c"]);
    let mut seen = Desk::new();
    for kind in ["c", "a", "b"] {
        seen.enqueue(Enqueue { kind: Some(name(kind)), ..Enqueue::new(issue(2)) });
    }
    assert_eq!(removed(&mut seen), ["1:b", "1:a", "1:c"]);
}
