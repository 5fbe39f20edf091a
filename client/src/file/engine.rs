//! A command on the projects of a file, at a time: what a server would answer, and what it would change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use poppo_core::commands::{
    Args, Bad, Doc, Field, Follow, MAX_COMMAND, ONLY_RESOLVED, Plain, Read, Reply, Visit, Write, claim, shown, visit,
};
use poppo_core::{Effect, Millis, Now, Project, Refusal};
use redis::Value;

/// What a command comes to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is answered, and changes nothing.
    Answer(Value),
    /// There is nothing to answer yet, and the command would wait.
    Nothing {
        /// For how long; zero is for ever.
        block: Duration,
        /// When there may be something without any change of the project.
        due: Option<Duration>,
    },
    /// It changes a project.
    Changed {
        /// What it answers then.
        answer: Value,
        /// Which project.
        key: String,
        /// That project afterwards.
        project: Box<Project>,
    },
}

/// The text of an error answer.
struct Said(String);

impl From<Bad> for Said {
    fn from(Bad(text): Bad) -> Self {
        Self(format!("ERR {text}"))
    }
}

impl From<Refusal> for Said {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.to_string())
    }
}

/// Runs a command. What it changes, it changes in a copy.
pub(super) fn run(words: &[Vec<u8>], projects: &BTreeMap<String, Arc<Project>>, now: Now) -> Outcome {
    let name = words.first().map(Vec::as_slice).unwrap_or_default();
    match name.to_ascii_uppercase().as_slice() {
        b"PING" => return Outcome::Answer(Value::SimpleString("PONG".to_owned())),
        b"TIME" => return Outcome::Answer(time(now)),
        _ => {}
    }
    let outcome = visit(name, Question { words, projects, now }).unwrap_or_else(|| Err(unknown(name)));
    outcome.unwrap_or_else(|said| Outcome::Answer(error(&said)))
}

/// Redis's own commands are for servers.
fn unknown(name: &[u8]) -> Said {
    Said(format!("NOSERVER {} is for servers, and the projects are in a file", shown(name)))
}

struct Question<'w> {
    words: &'w [Vec<u8>],
    projects: &'w BTreeMap<String, Arc<Project>>,
    now: Now,
}

impl<'w> Question<'w> {
    /// The words, once they are known to be enough, and the project that they name.
    fn begin(&self, doc: &Doc, positional: usize, longest: usize) -> Result<(Args<'w, Vec<u8>>, &'w str), Said> {
        let count = i32::try_from(self.words.len()).unwrap_or(i32::MAX);
        let fits = if doc.arity < 0 { count >= -doc.arity } else { count == doc.arity };
        if !fits {
            return Err(Said(format!("ERR wrong number of arguments for '{}' command", doc.name)));
        }
        let args = Args::new(doc.name, self.words, positional, longest)?;
        if args.resolved().is_some() {
            return Err(Bad(ONLY_RESOLVED.to_owned()).into());
        }
        let key = self.words.get(1).map(Vec::as_slice).unwrap_or_default();
        let key = str::from_utf8(key).map_err(|_| Bad("the project's key must be UTF-8 in a file".to_owned()))?;
        Ok((args, key))
    }

    fn project(&self, key: &str) -> Option<&'w Project> {
        self.projects.get(key).map(Arc::as_ref)
    }
}

impl Visit for Question<'_> {
    type Out = Result<Outcome, Said>;

    fn write<W: Write>(self) -> Self::Out {
        let (mut args, key) = self.begin(&W::DOC, W::POSITIONAL, W::LONGEST)?;
        let request = W::parse(&mut args)?;
        let known = self.project(key);
        let mut project = known.cloned().unwrap_or_else(|| Project::new(self.now.at));
        let answered = W::apply(&mut project, self.now, &request)?;
        let lease = answered.lease.and_then(|lease| project.claimed(lease.issue)).map(claim::shown);
        let answer = value(&answered.reply, lease.as_ref().map(|fields| fields.as_slice()));
        Ok(match (answered.effect, W::block(&request)) {
            (Effect::Changed, _) if known.is_some() || W::creates(&request) => {
                Outcome::Changed { answer, key: key.to_owned(), project: Box::new(project) }
            }
            (Effect::Unchanged, Some(block)) => {
                let due = known.and_then(|known| known.next_due(self.now));
                Outcome::Nothing { block: span(block), due: due.map(span) }
            }
            _ => Outcome::Answer(answer),
        })
    }

    fn read<R: Read>(self) -> Self::Out {
        let (mut args, key) = self.begin(&R::DOC, usize::MAX, MAX_COMMAND)?;
        let request = R::parse(&mut args)?;
        let reply = match self.project(key) {
            Some(project) => R::answer(project, self.now, &request),
            None => R::absent(self.now, &request),
        };
        Ok(Outcome::Answer(value(&reply, None)))
    }

    fn follow<F: Follow>(self) -> Self::Out {
        let (mut args, key) = self.begin(&F::DOC, usize::MAX, MAX_COMMAND)?;
        let request = F::parse(&mut args)?;
        let rows = self.project(key).map_or(Vec::new(), |project| F::answer(project, &request));
        Ok(match F::block(&request) {
            Some(block) if rows.is_empty() => Outcome::Nothing { block: span(block), due: None },
            _ => Outcome::Answer(value(&Reply::Array(rows), None)),
        })
    }
}

fn span(millis: Millis) -> Duration {
    Duration::from_millis(millis.0)
}

/// An answer as a server gives it in RESP3, with a lease in its place.
fn value(reply: &Reply<'_>, lease: Option<&[Field<'_>]>) -> Value {
    match reply {
        Reply::Ok => Value::Okay,
        Reply::Null => plain(Plain::Null),
        Reply::Integer(number) => plain(Plain::Integer(*number)),
        Reply::Text(shown) => text(shown),
        Reply::Array(items) => Value::Array(items.iter().map(|item| value(item, None)).collect()),
        Reply::Map(map) => {
            Value::Map(map.fields().iter().map(|(field, inner)| (text(field), value(inner, None))).collect())
        }
        Reply::OkAndLease => Value::Array(vec![value(&Reply::Ok, None), value(&Reply::Lease, lease)]),
        Reply::Lease => lease.map_or(Value::Nil, |fields| {
            Value::Map(fields.iter().map(|(field, inner)| (text(field), plain(*inner))).collect())
        }),
    }
}

fn plain(value: Plain<'_>) -> Value {
    match value {
        Plain::Null => Value::Nil,
        // Numbers of the contract are below 2^53.
        Plain::Integer(number) => Value::Int(i64::try_from(number).unwrap_or(i64::MAX)),
        Plain::Text(shown) => text(shown),
    }
}

fn text(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

/// As the server's clock is told: seconds and microseconds.
fn time(now: Now) -> Value {
    let (seconds, micros) = (now.at.micros() / 1_000_000, now.at.micros() % 1_000_000);
    Value::Array(vec![text(&seconds.to_string()), text(&micros.to_string())])
}

/// An error, read as it would come from a server. It is one line: what users sent is shown without control characters.
fn error(Said(said): &Said) -> Value {
    redis::parse_redis_value(format!("-{said}\r\n").as_bytes()).unwrap_or(Value::Nil)
}
