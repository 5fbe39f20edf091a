//! `poppo state`: free state, namespaces of JSON values beside the project.

mod files;
mod watch;

use std::io::Read as _;
use std::path::PathBuf;

use poppo::{State, Transaction};
use serde::Serialize;
use serde_json::Value;

use crate::cli::Context;
use crate::exit::{FAILED, Failure, USAGE};
use crate::output::{Field, Output, Table, Tone};

/// The longest value that a terminal's table shows whole, in characters.
const SHOWN: usize = 200;

/// Keep JSON values beside the project, in namespaces
///
/// Namespaces are issues, comments, tasks, processes, agents and config, and any other name of letters, digits, -, _ and .;
/// each is a hash of JSON values under the key PROJECT:state:NAMESPACE, which any Redis client can read and write. What is kept
/// here has nothing to do with leases and tasks: nothing but who uses it changes or removes it. A name has at most 512
/// bytes, a value 1 MiB, and a namespace 100000 values.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo state set issues 123 '{\"branch\":\"fix-123\"}'
  $ poppo state get issues 123
  $ poppo state set tasks next 8 --if next 7
  $ poppo state watch config")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print a value, as the JSON that it is
    ///
    /// Exit code 1 where there is none of that name.
    Get {
        /// Such as issues, or config
        namespace: String,
        /// The value's name
        name: String,
        /// Print this where there is none
        #[arg(long, value_name = "JSON")]
        default: Option<String>,
    },
    /// Write values: all that are given, or none
    ///
    /// With conditions, nothing is written unless all of them hold, and nobody writes in between; exit code 75 where one does
    /// not hold. Blanks between the parts of JSON do not count.
    #[command(after_long_help = "\
Example:
  $ poppo state set agents alice '{\"role\":\"reviewer\"}' bob '{\"role\":\"author\"}'
  $ poppo state set tasks owner '\"me\"' --if-absent owner
  $ poppo state set tasks next 8 --if next 7 --delete reserved")]
    Set {
        /// Such as issues, or config
        namespace: String,
        /// Names and values in turn; a value that is - is read from standard input
        #[arg(required = true, num_args = 2.., value_names = ["NAME", "JSON"], allow_negative_numbers = true)]
        values: Vec<String>,
        /// The values are texts instead of JSON
        #[arg(long)]
        text: bool,
        #[command(flatten)]
        conditions: Conditions,
        /// Remove this value in the same step
        #[arg(long, value_name = "NAME")]
        delete: Vec<String>,
    },
    /// Remove values
    ///
    /// Exit code 75 where a condition does not hold. A value that is not there is no failure.
    Delete {
        /// Such as issues, or config
        namespace: String,
        /// The values' names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        conditions: Conditions,
    },
    /// Show the namespaces that have values, or the values of one
    List {
        /// Such as issues, or config
        namespace: Option<String>,
    },
    /// Show what changes, until Ctrl-C
    ///
    /// Each change is shown once, also over restarts of the server: of what changed while it was away, the last value. What other
    /// programs write with HSET is seen within five seconds. Without a NAMESPACE those are watched that have values, and
    /// the usual six.
    #[command(after_long_help = "\
Ctrl-C ends it as it ends `tail -f`: shells show that as exit code 130. Where its reader
goes away, the exit code is 0.

Example:
  $ poppo state watch config
  $ poppo state watch tasks next --json | jq --unbuffered .value")]
    Watch {
        /// Such as issues, or config
        namespace: Option<String>,
        /// Only values of these names
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Write a namespace to a file, as PoppoBuilder keeps it in unified-NAMESPACE.json
    ///
    /// The file is there when it is whole. Values that are no JSON are left out, and said.
    Export {
        /// Such as issues, or config
        namespace: String,
        /// The file; without one, or as -, standard output
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Merge a file such as PoppoBuilder's unified-NAMESPACE.json into a namespace
    ///
    /// Its values take the place of those of the same names, others stay, and the same again changes nothing. A list where an
    /// object is meant is read as well as it can be. What cannot be used is said by its name; a file that is not whole JSON
    /// is refused. The file is never changed.
    Import {
        /// Such as issues, or config
        namespace: String,
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Leave values that are there already as they are
        #[arg(long)]
        keep: bool,
        /// Only show what would be done
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Conditions {
    /// Only where this value is that (names and values in turn)
    #[arg(long = "if", num_args = 2, value_names = ["NAME", "JSON"], allow_negative_numbers = true)]
    equals: Vec<String>,
    /// Only where there is no value of this name
    #[arg(long, value_name = "NAME")]
    if_absent: Vec<String>,
}

impl Conditions {
    fn add_to(&self, mut transaction: Transaction) -> Transaction {
        for pair in self.equals.chunks(2) {
            if let [name, text] = pair {
                transaction = transaction.equals_text(name, text);
            }
        }
        self.if_absent.iter().fold(transaction, |transaction, name| transaction.absent(name))
    }
}

/// A value, for programs.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) value: Value,
}

impl<'a> Row<'a> {
    pub(super) fn new(state: &'a State, name: &'a str, text: &str) -> Self {
        Self { namespace: state.namespace(), name, value: as_json(text) }
    }
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    match args.action {
        Action::Get { namespace, name, default } => get(&namespace, &name, default, context).await,
        Action::Set { namespace, values, text, conditions, delete } => {
            set(&namespace, values, text, &conditions, &delete, context).await
        }
        Action::Delete { namespace, names, conditions } => {
            let state = state(context, &namespace).await?;
            let transaction = conditions.add_to(state.transaction());
            let transaction = names.iter().fold(transaction, |transaction, name| transaction.delete(name));
            let deleted = transaction.commit().await?;
            let document = serde_json::json!({ "namespace": namespace, "deleted": deleted });
            Ok(context
                .out
                .say(&document, &format!("{deleted} of {} values were there and are removed", names.len()))?)
        }
        Action::List { namespace: Some(namespace) } => list(&namespace, context).await,
        Action::List { namespace: None } => namespaces(context).await,
        Action::Watch { namespace, names } => watch::run(namespace, names, context).await,
        Action::Export { namespace, file } => files::export(&state(context, &namespace).await?, file, context).await,
        Action::Import { namespace, file, keep, dry_run } => {
            files::import(&namespace, &file, keep, dry_run, context).await
        }
    }
}

async fn state(context: &Context, namespace: &str) -> Result<State, Failure> {
    Ok(context.project().await?.state(namespace)?)
}

/// A value as it is for programs; as a text where it is no JSON.
pub(super) fn as_json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

/// A value as people see it in a row.
pub(super) fn as_field(text: &str, out: Output) -> Field {
    let tone = if serde_json::from_str::<Value>(text).is_ok() { Tone::Plain } else { Tone::Bad };
    match text.char_indices().nth(SHOWN).filter(|_| out.is_terminal()) {
        Some((end, _)) => Field::toned(format!("{}…", text.get(..end).unwrap_or_default()), tone),
        None => Field::toned(text, tone),
    }
}

/// There is no value of that name.
pub(super) fn unknown(state: &State, name: &str) -> Failure {
    let message = format!("there is no {name:?} in the namespace {} of {}", state.namespace(), state.project().key());
    Failure::new(FAILED, "UNKNOWN", message)
}

async fn get(namespace: &str, name: &str, default: Option<String>, context: &Context) -> Result<(), Failure> {
    if let Some(default) = &default {
        State::check(name, default).map_err(|error| Failure::new(USAGE, "USAGE", format!("--default: {error}")))?;
    }
    let state = state(context, namespace).await?;
    let text = state.get_text(name).await?.or(default).ok_or_else(|| unknown(&state, name))?;
    if context.out.json {
        return Ok(context.out.document(&Row::new(&state, name, &text))?);
    }
    Ok(context.out.line(&text)?)
}

async fn set(
    namespace: &str,
    mut values: Vec<String>,
    is_text: bool,
    conditions: &Conditions,
    delete: &[String],
    context: &Context,
) -> Result<(), Failure> {
    let usage = |message: &str| Failure::new(USAGE, "USAGE", message);
    if !values.len().is_multiple_of(2) {
        return Err(usage("every NAME needs a value"));
    }
    let mut from_stdin = values.iter_mut().skip(1).step_by(2).filter(|value| *value == "-");
    if let Some(value) = from_stdin.next() {
        if from_stdin.next().is_some() {
            return Err(usage("only one value can be read from standard input"));
        }
        value.clear();
        std::io::stdin().read_to_string(value)?;
    }
    let state = state(context, namespace).await?;
    let mut transaction = conditions.add_to(state.transaction());
    for pair in values.chunks(2) {
        if let [name, value] = pair {
            transaction = if is_text { transaction.set(name, value) } else { transaction.set_text(name, value) };
        }
    }
    let transaction = delete.iter().fold(transaction, |transaction, name| transaction.delete(name));
    let changed = transaction.commit().await?;
    let document = serde_json::json!({ "namespace": namespace, "changed": changed });
    let sentence = match changed {
        0 => "nothing is changed: all was so already".to_owned(),
        1 => "1 value is changed".to_owned(),
        changed => format!("{changed} values are changed"),
    };
    Ok(context.out.say(&document, &sentence)?)
}

async fn list(namespace: &str, context: &Context) -> Result<(), Failure> {
    let state = state(context, namespace).await?;
    let values = state.get_all().await?;
    if context.out.json {
        let rows: Vec<Row<'_>> = values.iter().map(|(name, text)| Row::new(&state, name, text)).collect();
        return Ok(context.out.document(&rows)?);
    }
    let mut table = Table::new(&["NAME", "VALUE"]);
    for (name, text) in &values {
        table.row([Field::from(name.as_str()), as_field(text, context.out)]);
    }
    Ok(context.out.table(&table, "no values")?)
}

async fn namespaces(context: &Context) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Namespace {
        namespace: String,
        values: u64,
        key: String,
    }
    let project = context.project().await?;
    let mut rows = Vec::new();
    for namespace in project.namespaces().await? {
        let state = project.state(&namespace)?;
        rows.push(Namespace { values: state.size().await?, key: state.key().to_owned(), namespace });
    }
    if context.out.json {
        return Ok(context.out.document(&rows)?);
    }
    let mut table = Table::new(&["NAMESPACE", "VALUES", "KEY"]);
    for row in &rows {
        table.row([row.namespace.as_str().into(), Field::number(row.values), Field::toned(&row.key, Tone::Quiet)]);
    }
    Ok(context.out.table(&table, "no values in any namespace")?)
}
