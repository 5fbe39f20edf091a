//! Steps that make the view what it should be, taken by the server as one (`make.lua`).

use poppo::{Client, Error, Issue, IssueNumber, Status, Token};

use super::super::seat::Seat;
use super::entry::{self, Fields};
use super::layout::Layout;

/// Behind the seat's own script.
const SCRIPT: &str = concat!(include_str!("claim.lua"), include_str!("make.lua"));
/// Nobody, where somebody would be `=` and the name.
const NOBODY: &str = "-";

/// Some steps.
#[derive(Debug, Default)]
pub(super) struct Changes {
    words: Vec<String>,
}

/// Keys and issues that stay as they are, since somebody else wrote them.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Keys that hold something of another kind.
    pub(super) foreign: Vec<String>,
    /// Issues that somebody claims.
    pub(super) claimed: Vec<IssueNumber>,
}

impl Changes {
    /// An issue as it is; not at all, if it is not to be shown. What somebody else claims by its hash stays, except by
    /// `settled`, a process whose claim it is known what became of (none of that name, if there is nothing but a member).
    pub(super) fn issue(&mut self, number: IssueNumber, issue: Option<&Issue>, settled: Option<&str>, layout: &Layout) {
        let somebody =
            |process: Option<&str>| process.map_or_else(|| NOBODY.to_owned(), |process| format!("={process}"));
        let (entry, settled) = (Entry::Issue(number).to_string(), somebody(settled));
        let (key, metadata) = (layout.issue(number), layout.metadata(number));
        let sets = [layout.processing(), layout.processed()];
        let Some(issue) = issue else {
            self.step("gone", [entry, number.to_string(), settled]);
            self.words(std::iter::once(key).chain(metadata).collect());
            self.words.extend(sets);
            return;
        };
        let holder = issue.process.as_deref().filter(|_| issue.status == Status::Processing);
        self.step("issue", [entry, number.to_string(), somebody(holder), settled, key]);
        self.fields(entry::issue(issue));
        self.words(metadata.into_iter().collect());
        self.fields(entry::metadata(issue));
        self.words.extend(sets);
        self.words.push(u8::from(issue.completed_time.is_some()).to_string());
    }

    pub(super) fn hash(&mut self, key: String, fields: Fields) {
        self.step("hash", [key]);
        self.fields(fields);
    }

    pub(super) fn guest(&mut self, key: String, seconds: u64, fields: Fields) {
        self.step("guest", [key, seconds.to_string()]);
        self.fields(fields);
    }

    pub(super) fn member(&mut self, set: String, member: impl ToString, wanted: bool) {
        self.step("member", [set, member.to_string(), u8::from(wanted).to_string()]);
    }

    /// Until then, in ms; 0 is not at all.
    pub(super) fn beat(&mut self, key: String, till: u128) {
        self.step("beat", [key, till.to_string()]);
    }

    pub(super) fn list(&mut self, key: String, elements: Vec<String>) {
        self.step("list", [key]);
        self.words(elements);
    }

    /// The view shows this.
    pub(super) fn book(&mut self, entry: &Entry) {
        self.step("book", [entry.to_string()]);
    }

    /// The view does not show this any more.
    pub(super) fn drop_entry(&mut self, entry: &Entry, layout: &Layout) {
        let (keys, member, sets) = match entry {
            Entry::Issue(number) => return self.issue(*number, None, None, layout),
            Entry::Process(process) => {
                let keys = vec![layout.process(process), layout.heartbeat(process)];
                (keys, process.clone(), layout.active().into_iter().collect())
            }
            Entry::Task(task) => (vec![layout.task(task)], String::new(), Vec::new()),
        };
        self.step("drop", [entry.to_string()]);
        self.words(keys);
        self.words.push(member);
        self.words(sets);
    }

    /// Takes all of them, if we are who keeps the view. Answers what is somebody else's.
    pub(super) async fn make(self, client: &Client, seat: &Seat, book: &str, token: Token) -> Result<Left, Error> {
        if self.words.is_empty() {
            return Ok(Left::default());
        }
        let mut arguments = vec![token.to_string()];
        arguments.extend(self.words);
        let words = client.run_script(&Seat::script(SCRIPT), &[seat.key(), book], &arguments).await?;
        let mut parts = words.split(String::is_empty);
        let foreign = parts.next().unwrap_or_default().to_vec();
        let claimed = parts.flatten().filter_map(|word| word.parse::<u64>().ok()?.try_into().ok()).collect();
        Ok(Left { foreign, claimed })
    }

    fn step<const N: usize>(&mut self, name: &str, words: [String; N]) {
        self.words.push(name.to_owned());
        self.words.extend(words);
    }

    fn fields(&mut self, fields: Fields) {
        self.words(fields.into_iter().flat_map(|(name, value)| [name, value]).collect());
    }

    fn words(&mut self, words: Vec<String>) {
        self.words.push(words.len().to_string());
        self.words.extend(words);
    }
}

/// Something that the view shows, as the book has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Issue(IssueNumber),
    Process(String),
    Task(String),
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Issue(number) => write!(f, "issue:{number}"),
            Self::Process(process) => write!(f, "process:{process}"),
            Self::Task(task) => write!(f, "task:{task}"),
        }
    }
}

impl Entry {
    /// None where a later version wrote it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("issue", number) => Some(Self::Issue(number.parse::<u64>().ok()?.try_into().ok()?)),
            ("process", process) => Some(Self::Process(process.to_owned())),
            ("task", task) => Some(Self::Task(task.to_owned())),
            _ => None,
        }
    }
}
