//! No task is lost or done twice, whoever crashes, stalls, or loses an answer.
//!
//! Two tests look for it, and none of them says what has to happen when: they let much happen, and have
//! `poppo_tests::audit` decide from the log and from the notes of all who were there. `POPPO_SEED` begins elsewhere (a
//! failure says with which seed), `POPPO_CHAOS=seconds` goes on with further seeds for so long.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use poppo_tests::audit::{Census, Ledger, Note, Picture, read_notes};
use poppo_tests::worker::{Caller, Step, Worker};
use poppo_tests::{Connection, DEADLINE, Random, Reply as _, Server, artifacts, command, seed, wait_until};
use redis::Value;
use rustix::process::Signal;

/// For how long to look for trouble beyond the usual.
fn further() -> Duration {
    let seconds = std::env::var("POPPO_CHAOS").map(|text| text.parse().expect("POPPO_CHAOS is a number of seconds"));
    Duration::from_secs(seconds.unwrap_or(0))
}

/// Who queues tasks, and notes which; and who does to them what people and daemons do.
struct Operator {
    caller: Caller,
    random: Random,
    project: String,
    notes: Vec<Note>,
    issues: usize,
    /// How many tasks to queue in all.
    tasks: usize,
    /// The tasks that were queued so far: the arguments of each.
    queued: Vec<(i64, String, Vec<String>)>,
}

impl Operator {
    fn new(caller: Caller, project: &str, seed: u64, issues: usize, tasks: usize) -> Self {
        let (project, random) = (project.to_owned(), Random::new(seed));
        Self { caller, random, project, notes: Vec::new(), issues, tasks, queued: Vec::new() }
    }

    fn call(&mut self, words: &[&str]) -> Option<Value> {
        self.caller.call(&mut self.random, words)
    }

    /// A command that is repeated until it is answered.
    fn insist(&mut self, words: &[&str]) -> Value {
        let start = Instant::now();
        loop {
            if let Some(answer) = self.call(words) {
                return answer;
            }
            assert!(start.elapsed() < DEADLINE, "nobody answers {words:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn some_issue(&mut self) -> String {
        (1 + self.random.below(self.issues)).to_string()
    }

    /// Queues a new task, or one that was queued before. What is not answered is asked again, as people do.
    fn enqueue(&mut self) {
        if self.queued.len() < self.tasks && !self.random.one_in(5) {
            let number = self.queued.len();
            let issue = 1 + self.random.below(self.issues) as i64;
            let kind = *self.random.pick(&["fix", "review", "issue"]);
            let mut options = vec!["TYPE".to_owned(), kind.to_owned()];
            // Comments have ids of their own, of which each belongs to one issue.
            let default = format!("{issue}:{kind}");
            let task = if self.random.one_in(3) { default } else { format!("comment-{number}") };
            if task.starts_with("comment") {
                options.extend(["ID".to_owned(), task.clone()]);
            }
            if self.random.one_in(3) {
                let level = *self.random.pick(&["urgent", "high", "low", "deferred", "7"]);
                options.extend(["PRIORITY".to_owned(), level.to_owned()]);
            }
            if self.random.one_in(5) {
                options.extend(["DELAY".to_owned(), (1 + self.random.below(300)).to_string()]);
            }
            if self.random.one_in(5) {
                options.extend(["PAYLOAD".to_owned(), format!("{{\"comment\":{number}}}")]);
            }
            self.queued.push((issue, task, options));
        }
        if self.queued.is_empty() {
            return;
        }
        // The newest one, or again one from some time ago.
        let newest = self.queued.len() - 1;
        let which = if self.random.one_in(5) { self.random.below(newest + 1) } else { newest };
        let (issue, task, options) = self.queued[which].clone();
        let delay = options.iter().position(|option| option == "DELAY").map_or("0", |at| &options[at + 1]);
        let delay = delay.parse().unwrap();
        let (project, issue) = (self.project.clone(), issue.to_string());
        let mut words = vec!["POPPO.ENQUEUE", &project, &issue];
        words.extend(options.iter().map(String::as_str));
        for _ in 0..2 {
            let answer = self.call(&words);
            if let Some(error) = answer.as_ref().and_then(|answer| answer.error()) {
                panic!("{words:?}: {error}");
            }
            let answer = answer.map(|answer| answer.number() == 1);
            self.notes.push(Note::Enqueue { task: task.clone(), delay, answer });
            if answer.is_some() {
                break;
            }
        }
    }

    /// What the daemon does: finds orphans, and has their tasks wait again.
    fn repair(&mut self) {
        let project = self.project.clone();
        let Some(orphans) = self.call(&["POPPO.ORPHANS", &project, "COUNT", "100"]) else { return };
        for row in orphans.rows() {
            let (issue, token) = (row.count("issue").to_string(), row.count("token").to_string());
            let mut words = vec!["POPPO.REPAIR", &project, &issue, "TOKEN", &token];
            match self.random.below(20) {
                0 => {}
                1 => words.extend(["STATUS", "awaiting-response"]),
                _ => words.push("REQUEUE"),
            }
            let answer = self.call(&words);
            self.ended(row.count("token"), "repair", answer);
        }
    }

    fn evict(&mut self) {
        let (project, issue) = (self.project.clone(), self.some_issue());
        let Some(record) = self.call(&["POPPO.GET", &project, &issue]) else { return };
        let Some(token) = record.get("token").map(|token| token.number()) else { return };
        let text = token.to_string();
        let mut words = vec!["POPPO.EVICT", &project, &issue, "TOKEN", &text, "REASON", "wrong branch"];
        if !self.random.one_in(4) {
            words.push("REQUEUE");
        }
        let answer = self.call(&words);
        self.ended(token, "evict", answer);
    }

    /// Notes what was granted. A lease may have ended by itself, or have come back to life.
    fn ended(&mut self, token: i64, what: &str, answer: Option<Value>) {
        let Some(answer) = answer else { return };
        match answer.error() {
            None => self.notes.push(Note::Ended { token, what: what.to_owned(), answer: answer.text().unwrap() }),
            Some(error) => {
                let known = ["STALE", "ALIVE", "NOTHELD"].iter().any(|code| error.starts_with(code));
                assert!(known, "{what} of {token}: {error}");
            }
        }
    }

    fn cancel(&mut self) {
        let (project, issue) = (self.project.clone(), self.some_issue());
        self.call(&["POPPO.CANCEL", &project, &issue, "REASON", "changed our minds"]);
    }

    fn revive(&mut self) {
        let project = self.project.clone();
        let Some(answer) = self.call(&["POPPO.LIST", &project, "DEAD", "COUNT", "1"]) else { return };
        if let Some(row) = answer.rows()[1].rows().first() {
            self.call(&["POPPO.REVIVE", &project, &row.field("task")]);
        }
    }

    fn drain(&mut self) {
        let project = self.project.clone();
        self.insist(&["POPPO.DRAIN", &project, "ON"]);
        self.insist(&["POPPO.DRAIN", &project, "OFF"]);
    }

    /// The host agent's word; a false one, where the process lives.
    fn call_dead(&mut self, (name, pid, incarnation): (String, String, String)) {
        let project = self.project.clone();
        let process = [&name, "DEAD", "HOST", "h", "PID", &pid, "INCARNATION", &incarnation];
        self.call(&[&["POPPO.LIVENESS", &project], process.as_slice()].concat());
    }

    /// Something that happens to a queue now and then.
    fn meddle(&mut self) {
        match self.random.below(12) {
            0..5 => self.cancel(),
            5..9 => self.evict(),
            9..11 => self.revive(),
            _ => self.drain(),
        }
    }
}

/// Has a finished task of each queued again: a comment is handled once, however often it is queued.
fn assert_not_replayed(connection: &mut Connection, project: &str, picture: &Picture) {
    for (issue, task) in picture.finished() {
        assert_eq!(connection.int(&format!("POPPO.ENQUEUE {project} {issue} ID {task}")), 0, "{task} was finished");
    }
    let after = Picture::take(connection, project).unwrap();
    assert!(after.is_quiet(), "something finished waits again");
}

// ---------------------------------------------------------------------------------------------------------------------
// Real processes.

const PROJECT: &str = "p";

/// A process that is killed at the end, whatever happens.
struct Killed(Child);

impl Killed {
    fn signal(&self, signal: Signal) {
        command::signal(&self.0, signal);
    }

    fn kill(&mut self) {
        let _gone = self.0.kill();
        self.0.wait().unwrap();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            self.kill();
        }
    }
}

/// A place for a worker process: one runs there, is killed, and another is started under the same name.
struct Post {
    number: usize,
    life: usize,
    process: Killed,
    stopped_until: Option<Instant>,
}

/// How many of them there are, and how many of these, the last ones, run `poppo work`.
const POSTS: usize = 8;
const CLIENTS: usize = 2;

/// How often the server is killed.
const RESTARTS: usize = 4;

/// What runs where, and where they keep their notes.
struct Shop {
    dir: PathBuf,
    port: u16,
    url: String,
    seed: u64,
}

impl Shop {
    fn of(server: &Server, seed: u64) -> Self {
        Self { dir: server.dir().to_owned(), port: server.port(), url: server.url(), seed }
    }

    fn ledger(&self, number: usize) -> PathBuf {
        self.dir.join(format!("ledger-{number}"))
    }

    fn log(&self, number: usize) -> PathBuf {
        self.dir.join(format!("worker-{number}.log"))
    }

    fn output(&self, number: usize) -> PathBuf {
        self.dir.join(format!("work-{number}.json"))
    }

    fn spawn(&self, number: usize, life: usize) -> Killed {
        let append = |path: PathBuf| File::options().create(true).append(true).open(path).unwrap();
        let mut command = if number < POSTS - CLIENTS {
            let mut command = Command::new(env!("CARGO_BIN_EXE_chaos-worker"));
            let seed = self.seed.wrapping_mul(1_000).wrapping_add((number * 100 + life) as u64);
            let (port, name) = (self.port.to_string(), format!("worker-{number}"));
            command.args([&port, PROJECT, &name, &life.to_string(), &seed.to_string()]).arg(self.ledger(number));
            command.stdin(Stdio::piped());
            command
        } else {
            // Its jobs keep the notes. One in five fails, one in ten waits for people.
            let script = "echo did $POPPO_ISSUE $POPPO_TOKEN $POPPO_TASK >> \"$LEDGER\"; sleep 0.0$((POPPO_TOKEN % 7)); \
                          case $((POPPO_TOKEN % 10)) in 0|1) exit 1;; 2) exit 3;; esac";
            let mut command = Command::new(artifacts::poppo());
            command
                .args(["--url", &self.url, "--project", PROJECT, "--json", "work", "--jobs", "2"])
                .args(["--process", &format!("poppo-{number}"), "--ttl", "1s", "--awaiting-exit", "3"])
                .args(["--retry=base=50ms,max=200ms", "--", "sh", "-c", script])
                .env("LEDGER", self.ledger(number))
                // Who is killed leaves files behind.
                .env("TMPDIR", &self.dir)
                .env_remove("POPPO_PROCESS")
                .stdin(Stdio::null());
            command
        };
        command.stdout(append(self.output(number))).stderr(append(self.log(number)));
        Killed(command.spawn().unwrap())
    }

    /// What all of them noted; what `poppo work` printed says how its check-ins were answered.
    fn notes(&self) -> Vec<Note> {
        let mut notes: Vec<Note> = (0..POSTS).flat_map(|number| read_notes(&self.ledger(number))).collect();
        for number in POSTS - CLIENTS..POSTS {
            let text = std::fs::read_to_string(self.output(number)).unwrap_or_default();
            for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
                let done: serde_json::Value =
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                let (status, retry) = match done["status"].as_str().unwrap() {
                    "queued" | "dead" => ("error", Some(0)),
                    status @ ("completed" | "awaiting-response" | "cancelled") => (status, None),
                    _ => continue,
                };
                let (issue, token) = (done["issue"].as_i64().unwrap(), done["token"].as_i64().unwrap());
                notes.push(Note::Asked { issue, token, status: status.to_owned(), retry });
                notes.push(Note::Told { issue, token, answer: "OK".to_owned() });
            }
        }
        notes
    }

    fn logs(&self) -> String {
        (0..POSTS).map(|number| std::fs::read_to_string(self.log(number)).unwrap_or_default()).collect()
    }
}

/// Tells the seed when a test fails.
struct Seeded(u64);

impl Drop for Seeded {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was POPPO_SEED={}", self.0);
        }
    }
}

/// Some seconds of everything at once. Answers what happened, as the log tells it.
fn live(seed: u64, tasks: usize) -> Census {
    let _told = Seeded(seed);
    let mut random = Random::new(seed);
    let preamble = if seed.is_multiple_of(2) { "yes" } else { "no" };
    let mut server = Server::builder()
        .durable()
        .arg("aof-use-rdb-preamble", preamble)
        .module_arg("restart-grace")
        .module_arg(200)
        .start();
    let mut connection = server.connect();
    connection.ok(&format!("POPPO.CONFIG {PROJECT} SET events-kept 1000000 heartbeat-ttl 1000 max-attempts 4"));
    // Few issues for the tasks: most wait for another one of their issue.
    let mut operator = Operator::new(Caller::new(server.port(), 30), PROJECT, seed, tasks / 6, tasks);
    let mut repairer = Operator::new(Caller::new(server.port(), 0), PROJECT, seed + 1, tasks / 6, 0);

    let shop = Shop::of(&server, seed);
    let stop = AtomicBool::new(false);
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    std::thread::scope(|scope| {
        let stopping = Stop(&stop);
        let repairs = scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                repairer.repair();
                std::thread::sleep(Duration::from_millis(20));
            }
            repairer.notes
        });
        let mut posts: Vec<Post> = (0..POSTS)
            .map(|number| Post { number, life: 0, process: shop.spawn(number, 0), stopped_until: None })
            .collect();
        let mut restarts = 0;
        while operator.queued.len() < tasks {
            match random.below(100) {
                // More than the workers can do at the time, so that whoever is killed has something to lose.
                0..70 => (0..=random.below(4)).for_each(|_| operator.enqueue()),
                70..78 => operator.meddle(),
                78..86 => {
                    let post = &mut posts[random.below(POSTS)];
                    post.process.kill();
                    post.life += 1;
                    post.stopped_until = None;
                    post.process = shop.spawn(post.number, post.life);
                }
                86..94 => {
                    let post = &mut posts[random.below(POSTS)];
                    if post.stopped_until.is_none() {
                        post.process.signal(Signal::STOP);
                        // Mostly for longer than its leases last.
                        let pause = Duration::from_millis(700 + random.below(1_500) as u64);
                        post.stopped_until = Some(Instant::now() + pause);
                    }
                }
                // Refused where one is on already.
                94..96 => drop(operator.call(&["BGREWRITEAOF"])),
                _ => {}
            }
            if restarts < RESTARTS && operator.queued.len() * (RESTARTS + 1) > tasks * (restarts + 1) {
                restarts += 1;
                server.kill9();
                server.start_again();
                let picture = Picture::take(&mut server.connect(), PROJECT).unwrap();
                picture.audit().unwrap_or_else(|wrong| panic!("after restart {restarts}: {wrong}"));
            }
            for post in &mut posts {
                if post.stopped_until.is_some_and(|until| until < Instant::now()) {
                    post.process.signal(Signal::CONT);
                    post.stopped_until = None;
                }
            }
            std::thread::sleep(Duration::from_millis(random.below(20) as u64));
        }
        for post in posts.iter_mut().filter(|post| post.stopped_until.is_some()) {
            post.process.signal(Signal::CONT);
        }
        let mut connection = server.connect();
        let start = Instant::now();
        let picture = loop {
            let picture = Picture::take(&mut connection, PROJECT).unwrap();
            if picture.is_quiet() {
                break picture;
            }
            if start.elapsed() > DEADLINE {
                let wrong = picture.audit_end(&[]).expect_err("something waits");
                let held = connection.ok(&format!("POPPO.LIST {PROJECT} PROCESSES"));
                panic!("it does not end: {wrong}{}{}", poppo_tests::transcript::show(&held), shop.logs());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_not_replayed(&mut connection, PROJECT, &picture);
        // Those that are told to end do so by themselves, and report before that.
        for post in &mut posts[POSTS - CLIENTS..] {
            post.process.signal(Signal::TERM);
            wait_until("poppo work has drained", || post.process.0.try_wait().unwrap().is_some());
        }
        posts.iter_mut().for_each(|post| post.process.kill());
        drop(stopping);
        let repairs = repairs.join().unwrap();
        server.kill9();
        server.start_again();
        let mut connection = server.connect();
        let picture = Picture::take(&mut connection, PROJECT).unwrap();
        let mut notes = shop.notes();
        notes.append(&mut operator.notes);
        notes.extend(repairs);
        let census = picture.audit_end(&notes);
        let census = census.unwrap_or_else(|wrong| panic!("{wrong}{}", shop.logs()));
        assert!(!shop.logs().contains("panicked"), "a worker saw what cannot be: {}", shop.logs());
        assert_not_replayed(&mut connection, PROJECT, &picture);
        assert_eq!(connection.info("poppo", "poppo_apply_failures"), "0", "{}", server.log());
        assert_eq!(connection.info("poppo", "poppo_panics"), "0", "{}", server.log());
        census
    })
}

#[test]
fn no_task_is_lost_or_done_twice_while_workers_and_the_server_are_killed() {
    let start = Instant::now();
    for seed in seed(1).. {
        let census = live(seed, 300);
        println!("seed {seed}: {census:?} in {:?}", start.elapsed());
        assert!(census.finished > 100 && census.taken > 5 && census.unsure > 5, "too little happened: {census:?}");
        if start.elapsed() >= further() {
            break;
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Many short histories.

/// One history: some workers and an operator take turns, as the seed says. They crash, are believed dead while they
/// live, lose answers; some are silent for longer than their lease lasts.
fn tell(port: u16, seed: u64) -> Census {
    let _told = Seeded(seed);
    let project = format!("h{seed}");
    let mut random = Random::new(seed);
    let issues = 1 + random.below(6);
    let mut operator = Operator::new(Caller::new(port, 12), &project, seed, issues, 4 + random.below(12));
    let (attempts, orphans) = (1 + random.below(4), 1 + random.below(3));
    operator.insist(&[
        "POPPO.CONFIG",
        &project,
        "SET",
        "events-kept",
        "100000",
        "max-attempts",
        &attempts.to_string(),
        "max-orphans",
        &orphans.to_string(),
        "queue-aging",
        ["0", "5"][random.below(2)],
        "max-running",
        ["0", "0", "2"][random.below(3)],
    ]);
    let mut workers: Vec<(Worker, Option<Instant>)> = (0..2 + random.below(3))
        .map(|number| {
            let ledger = Ledger::Memory(Vec::new());
            let caller = Caller::new(port, 12);
            let mut worker = Worker::new(caller, &project, &format!("w{number}"), 0, random.bits(), ledger);
            worker.roam(issues as i64);
            // Some wait in the server for what falls due.
            (if random.one_in(4) { worker.blocking(Duration::from_millis(5)) } else { worker }, None)
        })
        .collect();
    let is_patient = random.one_in(8);
    let steps = 100 + random.below(200);
    let start = Instant::now();
    let mut step = 0;
    let picture = loop {
        step += 1;
        let over = step > steps && operator.queued.len() == operator.tasks;
        let number = random.below(workers.len());
        match random.below(100) {
            0..15 if !over => operator.enqueue(),
            15..20 if !over => operator.meddle(),
            20..30 => operator.repair(),
            30..33 if !over => {
                let before = workers[number].0.identity();
                workers[number].0.crash();
                // Its host's agent sees it, or nobody does until another life takes its name, or it is silent for long.
                if random.one_in(2) {
                    operator.call_dead(before);
                }
            }
            // It lives, and will learn that it was believed dead when it is too late.
            33..35 if !over => operator.call_dead(workers[number].0.identity()),
            35 if !over && is_patient => workers[number].1 = Some(Instant::now() + Duration::from_millis(1_100)),
            36..100 => match &mut workers[number] {
                (_, Some(silent)) if *silent > Instant::now() => std::thread::sleep(Duration::from_millis(1)),
                (worker, silent) => {
                    *silent = None;
                    if worker.step() == Step::Away {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            },
            _ => {}
        }
        if over {
            workers.iter_mut().for_each(|(worker, _)| worker.roam(0));
            if step % 20 == 0
                && let Ok(mut connection) = Connection::try_to(port)
                && let Ok(picture) = Picture::take(&mut connection, &project)
            {
                let checked = if picture.is_quiet() { Ok(Census::default()) } else { picture.audit() };
                checked.unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}{}", picture.tell(|_| true)));
                if picture.is_quiet() {
                    break picture;
                }
            }
            assert!(start.elapsed() < DEADLINE, "seed {seed} does not end\n{}", operator.story());
        }
    };
    let mut notes = std::mem::take(&mut operator.notes);
    notes.extend(workers.into_iter().flat_map(|(worker, _)| worker.into_notes()));
    let census = picture.audit_end(&notes);
    let census = census.unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}{}", picture.tell(|_| true)));
    for (issue, task) in picture.finished() {
        let answer = operator.insist(&["POPPO.ENQUEUE", &project, &issue.to_string(), "ID", &task]);
        assert_eq!(answer, Value::Int(0), "seed {seed}: {task} was finished");
    }
    operator.insist(&["DEL", &project]);
    census
}

impl Operator {
    /// The whole log, for people.
    fn story(&mut self) -> String {
        let picture = Connection::try_to(self.caller.port()).and_then(|mut c| Picture::take(&mut c, &self.project));
        picture.map_or_else(|error| error.to_string(), |picture| picture.tell(|_| true))
    }
}

#[test]
fn no_task_is_lost_or_done_twice_over_hundreds_of_short_histories() {
    const HISTORIES: u64 = 250;
    const AT_A_TIME: usize = 24;
    let start = Instant::now();
    let mut server = Server::builder().durable().module_arg("restart-grace").module_arg(100).start();
    let first = seed(1_000);
    let next = AtomicU64::new(first);
    let total = Mutex::new(Census::default());
    let left = AtomicU64::new(AT_A_TIME as u64);
    /// Says that a thread has ended, however.
    struct Leaving<'a>(&'a AtomicU64);
    impl Drop for Leaving<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let port = server.port();
    let mut restarts = 0;
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                let _leaving = Leaving(&left);
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= first + HISTORIES && start.elapsed() >= further() {
                        break;
                    }
                    let census = tell(port, seed);
                    *total.lock().unwrap() += census;
                }
            });
        }
        let mut random = Random::new(first);
        while left.load(Ordering::SeqCst) > 0 {
            std::thread::sleep(Duration::from_millis(100));
            match random.below(20) {
                0 => {
                    server.kill9();
                    server.start_again();
                    restarts += 1;
                }
                1 => drop(server.connect().cmd("BGREWRITEAOF")),
                2 => drop(server.connect().cmd("DEBUG RELOAD")),
                _ => {}
            }
        }
    });
    let total = total.into_inner().unwrap();
    let histories = next.into_inner() - first - AT_A_TIME as u64;
    println!("{histories} histories from seed {first}, {restarts} restarts: {total:?} in {:?}", start.elapsed());
    let enough = total.finished > 500 && total.taken > 100 && total.stale > 50 && total.dead > 50 && restarts > 0;
    assert!(enough, "too little happened: {total:?}");
}
