//! `poppo state watch`: what changes, as it changes.

use std::collections::BTreeSet;

use poppo::{Change, Project, Seen, Watch};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{as_field, as_json};
use crate::cli::Context;
use crate::discover::Patience;
use crate::exit::Failure;
use crate::output::{self, Field, Lines, Output, Tone, say};

/// The namespaces that are watched where none is named, besides those that have values.
const USUAL: [&str; 6] = ["issues", "comments", "tasks", "processes", "agents", "config"];

/// How many changes wait to be shown.
const WAITING: usize = 64;

/// A change, for programs.
#[derive(Serialize)]
struct Row<'a> {
    namespace: &'a str,
    name: &'a str,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

pub(super) async fn run(namespace: Option<String>, names: Vec<String>, context: &Context) -> Result<(), Failure> {
    tokio::select! {
        result = watch(namespace, names, context) => result,
        () = output::reader_is_gone() => Ok(()),
    }
}

async fn watch(namespace: Option<String>, names: Vec<String>, context: &Context) -> Result<(), Failure> {
    let project = context.project_after(Patience::Endless).await?;
    let namespaces = match namespace {
        Some(namespace) => BTreeSet::from([namespace]),
        None => project.namespaces().await?.into_iter().chain(USUAL.map(str::to_owned)).collect(),
    };
    let (sender, mut seen) = mpsc::channel(WAITING);
    // They end with this function.
    let mut tasks = JoinSet::new();
    for namespace in &namespaces {
        let watch = begin(&project, namespace).await?;
        tasks.spawn(pass_on(namespace.clone(), watch, sender.clone()));
    }
    let mut shown = Shown { out: context.out, lines: Lines::new(&["NAMESPACE", "NAME", "VALUE"], context.out), names };
    let mut unwatched = namespaces;
    let mut is_lost = false;
    while let Some((namespace, seen)) = seen.recv().await {
        match seen {
            Seen::Changed(change) => shown.show(&change)?,
            Seen::Lost(error) => {
                if !std::mem::replace(&mut is_lost, true) {
                    say(&format!("{error}; going on as soon as that is possible"));
                }
                unwatched.insert(namespace);
            }
            _ => {
                if unwatched.remove(&namespace) && unwatched.is_empty() {
                    say(if is_lost { "watching again" } else { "watching; Ctrl-C ends it" });
                    is_lost = false;
                }
            }
        }
    }
    Ok(())
}

/// What cannot be watched at all is said before anything else.
async fn begin(project: &Project, namespace: &str) -> Result<Watch, Failure> {
    let state = project.state(namespace)?;
    match state.size().await {
        Err(error) if !error.may_pass() => Err(error.into()),
        _ => Ok(state.watch()),
    }
}

async fn pass_on(namespace: String, mut watch: Watch, sender: mpsc::Sender<(String, Seen)>) {
    loop {
        if sender.send((namespace.clone(), watch.next().await)).await.is_err() {
            return;
        }
    }
}

struct Shown {
    out: Output,
    lines: Lines,
    /// Of these names only; of all where there are none.
    names: Vec<String>,
}

impl Shown {
    fn show(&mut self, change: &Change) -> std::io::Result<()> {
        let Change { namespace, name, text } = change;
        if !self.names.is_empty() && !self.names.contains(name) {
            return Ok(());
        }
        if self.out.json {
            let event = if text.is_some() { "set" } else { "deleted" };
            return self.out.json_line(&Row { namespace, name, event, value: text.as_deref().map(as_json) });
        }
        let value = match text {
            Some(text) => as_field(text, self.out),
            None => Field::toned("(deleted)", Tone::Warning),
        };
        self.lines.print(&[vec![Field::toned(namespace, Tone::Quiet), Field::from(name.as_str()), value]])
    }
}
