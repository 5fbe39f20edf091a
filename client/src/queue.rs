//! The queue's commands, one method each, in the order of `docs/commands.md`. What they take is in `requests`, what they
//! answer in `answers`.

pub(crate) mod answers;
pub(crate) mod requests;

use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::answers::{Claimed, Task};
use self::requests::{Claim, Enqueue, TaskState};
use crate::answers::Page;
use crate::project::{Project, ROWS_PER_CALL};
use crate::requests::{Checkin, option};
use crate::types::{Block, Cancelled, Cursor, IssueNumber};
use crate::{Backoff, Error, decode};

/// For how long the server is asked to wait for a task at a time. Then it is asked again, so that a connection that leads
/// nowhere is noticed.
pub(crate) const SLICE: Duration = Duration::from_secs(30);
/// The pause after an answer that came without any waiting.
pub(crate) const EARLY: Duration = Duration::from_secs(1);

impl Project {
    /// Queues a task: false where one of this id waits, runs or is dead already, or was finished before. Asked again, it
    /// queues nothing twice.
    ///
    /// ```no_run
    /// # use poppo::{Enqueue, Error, IssueNumber, Project};
    /// # async fn handle(project: Project) -> Result<(), Error> {
    /// let mut task = Enqueue::new(IssueNumber::try_from(123)?);
    /// // A comment is handled once, however often it is seen.
    /// task.id = Some("IC_kwDOA1b2c3".to_owned());
    /// task.priority = Some("high".parse()?);
    /// task.payload = Some(r#"{"comment":"please rebase"}"#.to_owned());
    /// let is_new = project.enqueue(&task).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::BadArgument`] where the id is another issue's task; [`Error::Server`] (`OOM`) where the server is full.
    pub async fn enqueue(&self, enqueue: &Enqueue) -> Result<bool, Error> {
        self.client().ask("POPPO.ENQUEUE", &enqueue.command(self.key()), decode::yes).await
    }

    /// Takes the first task whose issue is free, and its issue with it: the lease is held from then on. None where there
    /// was none for as long as `block` allows, or where the project is drained.
    ///
    /// With `block` it waits in the server, in rounds of at most 30 s on a connection of its own, and asks again where the
    /// server goes away, restarts or changes its role meanwhile: under the same id, so that no answer that was lost on the
    /// way leaves a lease behind. Without, a failure is answered at once; to repeat such a claim safely, give it an id with
    /// [`Claim::numbered`].
    ///
    /// The server remembers one id for each life of a process, the last. So let one process have one claim under way at a
    /// time.
    ///
    /// Dropped before its end, the call closes its connection, and the server gives it nothing any more; what it gave in
    /// that very moment shows in the next [`heartbeat`](Project::heartbeat).
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use poppo::{Block, Checkin, Claim, Error, Life, Outcome, Project};
    /// # async fn work(project: Project) -> Result<(), Error> {
    /// let mut claim = Claim::new("worker-1").by(&Life::current());
    /// claim.types = vec!["fix".to_owned()];
    /// claim.block = Block::AtMost(Duration::from_secs(300));
    /// while let Some(task) = project.claim(&claim).await? {
    ///     // … work on it, with a `project.heartbeat(…)` now and then …
    ///     let mut done = Checkin::new(task.issue, "worker-1", Outcome::Completed);
    ///     done.token = Some(task.token);
    ///     project.checkin(&done).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Refusal::InUse`](crate::Refusal::InUse) where another life of the process is attested alive;
    /// [`Error::Unconfirmed`] where a lease is granted, but not as durable as was wished. It is asked for again for as long
    /// as `block` allows.
    pub async fn claim(&self, claim: &Claim) -> Result<Option<Claimed>, Error> {
        let mut rounds = Rounds::of(claim);
        loop {
            let answer = self.claim_once(&rounds.question()).await;
            if let Some(answer) = rounds.settle(answer).await {
                return answer;
            }
        }
    }

    /// As [`claim`](Self::claim), but a single question: it waits in one round for as long as `block` says, and repeats
    /// nothing. For callers that want to know of each failure; repeat it with the same [`Claim::request`].
    ///
    /// Example: [`Claim`].
    ///
    /// # Errors
    /// As [`claim`](Self::claim).
    pub async fn claim_once(&self, claim: &Claim) -> Result<Option<Claimed>, Error> {
        let cmd = claim.command(self.key());
        let read = |value| decode::nullable(value, Claimed::read);
        self.client().ask_and_wait("POPPO.CLAIM", &cmd, claim.block, Option::is_some, read).await
    }

    /// Ends a lease and claims the next task in the same step: one round trip a task in a busy loop. The types are those
    /// of the process's last claim. It never waits: none where there is no task. Asked again, it answers the same lease
    /// while that is held, and claims nothing new.
    ///
    /// ```no_run
    /// # use poppo::{Checkin, Outcome};
    /// # async fn example(project: poppo::Project, task: poppo::Claimed) -> Result<(), poppo::Error> {
    /// let mut report = Checkin::new(task.issue, "worker-1", Outcome::Completed);
    /// report.token = Some(task.token);
    /// if let Some(next) = project.checkin_and_claim(&report).await? {
    ///     println!("issue {} is next", next.issue);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`checkin`](Project::checkin).
    pub async fn checkin_and_claim(&self, checkin: &Checkin) -> Result<Option<Claimed>, Error> {
        let (cmd, beat) = (checkin.command_with_next(self.key()), checkin.beat(self.key()));
        self.client().ask_durably("POPPO.CHECKIN", &cmd, Some(&beat), Claimed::read_next).await
    }

    /// Removes the tasks of an issue that wait, and asks its holder, if it has one, to stop. `reason` is for people.
    ///
    /// ```no_run
    /// # use poppo::{Cancelled, IssueNumber};
    /// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
    /// match project.cancel(IssueNumber::try_from(123)?, Some("a duplicate of 99")).await? {
    ///     Cancelled::Asked => println!("its worker stops with its next heartbeat"),
    ///     other => println!("{other}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As every method.
    pub async fn cancel(&self, issue: IssueNumber, reason: Option<&str>) -> Result<Cancelled, Error> {
        let mut cmd = redis::cmd("POPPO.CANCEL");
        cmd.arg(self.key()).arg(issue.get());
        option(&mut cmd, "REASON", reason);
        self.client().ask("POPPO.CANCEL", &cmd, decode::word).await
    }

    /// Has a dead task wait again, its counts at zero; false where no task of this id is dead.
    ///
    /// Example: [`TaskState`].
    ///
    /// # Errors
    /// As every method; [`Error::Server`] (`OOM`) where the server is full.
    pub async fn revive(&self, task: &str) -> Result<bool, Error> {
        let mut cmd = redis::cmd("POPPO.REVIVE");
        cmd.arg(self.key()).arg(task);
        self.client().ask("POPPO.REVIVE", &cmd, decode::yes).await
    }

    /// While on, nobody can claim anything; who waits for a task goes on waiting, and who works goes on working.
    ///
    /// ```no_run
    /// # async fn example(project: poppo::Project) -> Result<(), poppo::Error> {
    /// project.drain(true).await?;
    /// // … deploy …
    /// project.drain(false).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As every method.
    pub async fn drain(&self, on: bool) -> Result<(), Error> {
        let mut cmd = redis::cmd("POPPO.DRAIN");
        cmd.arg(self.key()).arg(if on { "ON" } else { "OFF" });
        self.client().ask("POPPO.DRAIN", &cmd, |_| Ok(())).await
    }

    /// One page of the tasks that nobody works on: from the start or where `cursor` says, at most `count` rows (1 to
    /// 10,000, default 100).
    ///
    /// Example: [`TaskState`].
    ///
    /// # Errors
    /// As every method.
    pub async fn tasks(
        &self,
        state: TaskState,
        cursor: Option<&Cursor>,
        count: Option<u32>,
    ) -> Result<Page<Task>, Error> {
        let mut cmd = redis::cmd("POPPO.LIST");
        cmd.arg(self.key()).arg(state.word());
        option(&mut cmd, "CURSOR", cursor.map(|cursor| cursor.0.as_str()));
        option(&mut cmd, "COUNT", count);
        self.client().ask("POPPO.LIST", &cmd, |value| Page::read(value, Task::read)).await
    }

    /// All tasks that wait, are delayed or are dead, following the cursor to its end.
    ///
    /// Example: [`TaskState`].
    ///
    /// # Errors
    /// As every method.
    pub async fn all_tasks(&self, state: TaskState) -> Result<Vec<Task>, Error> {
        let mut rows = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.tasks(state, cursor.as_ref(), Some(ROWS_PER_CALL)).await?;
            rows.extend(page.rows);
            cursor = page.next;
            if cursor.is_none() {
                return Ok(rows);
            }
        }
    }
}

/// A claim that waits for as long as [`Claim::block`] says, in rounds under one id, over restarts and failovers.
pub(crate) struct Rounds {
    claim: Claim,
    start: Instant,
    /// When the last question was asked.
    asked: Instant,
    backoff: Backoff,
}

impl Rounds {
    pub(crate) fn of(claim: &Claim) -> Self {
        let now = Instant::now();
        Self { claim: claim.clone().numbered(), start: now, asked: now, backoff: Backoff::default() }
    }

    /// For how long to wait yet; none is for ever.
    fn left(&self) -> Option<Duration> {
        match self.claim.block {
            Block::No => Some(Duration::ZERO),
            Block::AtMost(time) => Some(time.saturating_sub(self.start.elapsed())),
            Block::Forever => None,
        }
    }

    /// What to ask next.
    pub(crate) fn question(&mut self) -> Claim {
        self.asked = Instant::now();
        let block = match (self.claim.block, self.left()) {
            (Block::No, _) => Block::No,
            (_, left) => Block::AtMost(left.map_or(SLICE, |left| left.min(SLICE))),
        };
        Claim { block, ..self.claim.clone() }
    }

    /// The answer, where it is the last; where it is not, none, after a pause.
    pub(crate) async fn settle<T>(&mut self, answer: Result<Option<T>, Error>) -> Option<Result<Option<T>, Error>> {
        let left = self.left();
        let is_over = left.is_some_and(|left| left.is_zero());
        let pause = match &answer {
            Ok(None) if !is_over => {
                self.backoff = Backoff::default();
                // Nothing, without having waited for it: asked again at once, it would say the same.
                if self.asked.elapsed() < SLICE / 2 { EARLY } else { Duration::ZERO }
            }
            Err(error) if error.may_pass() && !is_over => self.backoff.pause(),
            _ => return Some(answer),
        };
        drop(answer);
        sleep(left.map_or(pause, |left| left.min(pause))).await;
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::{BufReader, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;

    use super::*;
    use crate::Client;

    /// A server that hangs up on the first claim, breaks off the second, has nothing for the third, and grants the fourth.
    fn unsteady_server() -> (String, Receiver<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let (seen, receiver) = channel();
        thread::spawn(move || {
            let mut answers = [
                None,
                Some("-UNBLOCKED client unblocked\r\n"),
                Some("$-1\r\n"),
                Some("*8\r\n$5\r\nissue\r\n:7\r\n$5\r\ntoken\r\n:9\r\n$4\r\ntask\r\n$3\r\n7:t\r\n$4\r\ntype\r\n$1\r\nt\r\n"),
            ]
            .into_iter();
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut commands = BufReader::new(stream.try_clone().unwrap());
                let mut parser = redis::Parser::new();
                while let Ok(command) = parser.parse_value(&mut commands) {
                    let words = decode::list(command, decode::text).unwrap();
                    let is_claim = words.first().is_some_and(|word| word == "POPPO.CLAIM");
                    let answer = if is_claim { answers.next().flatten() } else { Some("+OK\r\n") };
                    if is_claim {
                        drop(seen.send(words));
                    }
                    if answer.is_none_or(|answer| stream.write_all(answer.as_bytes()).is_err()) {
                        break;
                    }
                }
            }
        });
        (url, receiver)
    }

    #[tokio::test]
    async fn a_claim_is_repeated_under_the_same_id_until_it_is_answered() {
        let (url, seen) = unsteady_server();
        let client = Client::connect(&url).await.unwrap();
        // The server serves one connection after the other.
        client.disconnect().await;
        let mut claim = Claim::new("w");
        claim.block = Block::AtMost(Duration::from_secs(600));
        let claimed = client.project("p").claim(&claim).await.unwrap().unwrap();
        assert_eq!((claimed.issue.get(), claimed.task.as_str()), (7, "7:t"));
        let claims: Vec<Vec<String>> = seen.try_iter().collect();
        assert_eq!(claims.len(), 4);
        let word_after =
            |words: &[String], name: &str| words.iter().skip_while(|word| *word != name).nth(1).cloned().unwrap();
        let ids: std::collections::BTreeSet<String> = claims.iter().map(|words| word_after(words, "REQ")).collect();
        assert_eq!(ids.len(), 1, "{claims:?}");
        assert!(claims.iter().all(|words| word_after(words, "BLOCK") == "30000"), "{claims:?}");
    }

    #[tokio::test]
    async fn a_claim_that_does_not_wait_is_not_repeated() {
        let (url, seen) = unsteady_server();
        let client = Client::connect(&url).await.unwrap();
        let error = client.project("p").claim(&Claim::new("w")).await.unwrap_err();
        assert!(error.may_pass(), "{error}");
        assert_eq!(seen.try_iter().count(), 1);
    }
}
