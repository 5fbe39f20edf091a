//! `poppo flag`: flags and settings of programs, the namespace `config` of the free state.

use clap::ValueEnum;
use poppo::State;
use serde::Serialize;
use serde_json::Value;

use crate::cli::Context;
use crate::cli::state::{as_field, as_json, unknown};
use crate::exit::{Failure, USAGE};
use crate::human::parse_duration;
use crate::output::{Field, Table, Tone, say};

/// The namespace that flags are in.
const NAMESPACE: &str = "config";

/// Show or change flags and settings while programs run
///
/// A flag is a JSON value in the namespace config of the free state (see `poppo state`). Programs that use the library read
/// flags from memory, typed and with a default, and learn of a change within milliseconds; scripts ask with `poppo flag get`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo flag on review
  $ poppo flag set reviewers 2
  $ poppo flag set patience 90s --text
  $ poppo flag get reviewers --type integer --default 1
  $ poppo flag list")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show all flags, and of which type they are
    List,
    /// Print a flag; a text without quotes
    ///
    /// Exit code 1 where there is none, or one of another type, and no default.
    Get {
        /// The flag's name
        name: String,
        /// What counts where there is none, or one of another type
        #[arg(long, value_name = "JSON")]
        default: Option<String>,
        /// Of which type it has to be
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<Kind>,
    },
    /// Set a flag
    Set {
        /// The flag's name
        name: String,
        /// What it is to be
        #[arg(value_name = "JSON", allow_negative_numbers = true)]
        value: String,
        /// The value is a text instead of JSON
        #[arg(long)]
        text: bool,
    },
    /// Set a flag to true
    On {
        /// The flag's name
        name: String,
    },
    /// Set a flag to false
    Off {
        /// The flag's name
        name: String,
    },
    /// Remove a flag, so that defaults count
    Delete {
        /// The flag's name
        name: String,
    },
}

/// The type of a flag, as the library reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Boolean,
    Integer,
    Number,
    Text,
    /// A text such as 90s, or milliseconds
    Duration,
}

impl Kind {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Boolean => value.is_boolean(),
            Self::Integer => value.is_i64(),
            Self::Number => value.is_number(),
            Self::Text => value.is_string(),
            Self::Duration => value.is_u64() || value.as_str().is_some_and(|text| parse_duration(text).is_ok()),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Text => "text",
            Self::Duration => "duration",
        }
    }
}

/// What a flag is, in one word.
fn kind(text: &str) -> &'static str {
    match serde_json::from_str::<Value>(text) {
        Err(_) => "not JSON",
        Ok(Value::Null) => "null",
        Ok(Value::Array(_)) => "list",
        Ok(Value::Object(_)) => "object",
        Ok(value) if Kind::Boolean.fits(&value) => "boolean",
        Ok(value) if Kind::Integer.fits(&value) => "integer",
        Ok(value) if Kind::Number.fits(&value) => "number",
        Ok(value) if Kind::Duration.fits(&value) => "duration",
        Ok(_) => "text",
    }
}

/// A flag, for programs.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    value: Value,
}

impl<'a> Row<'a> {
    fn new(name: &'a str, text: &str) -> Self {
        Self { name, kind: kind(text), value: as_json(text) }
    }
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let state = context.project().await?.state(NAMESPACE)?;
    match args.action {
        Action::List => list(&state, context).await,
        Action::Get { name, default, kind } => get(&state, &name, default, kind, context).await,
        Action::Set { name, value, text } => {
            let value = if text { Value::from(value).to_string() } else { value };
            set(&state, &name, &value, context).await
        }
        Action::On { name } => set(&state, &name, "true", context).await,
        Action::Off { name } => set(&state, &name, "false", context).await,
        Action::Delete { name } => {
            let deleted = state.delete(&name).await?;
            let sentence =
                if deleted { format!("{name} is removed: defaults count") } else { format!("there was no {name}") };
            Ok(context.out.say(&serde_json::json!({ "name": name, "deleted": deleted }), &sentence)?)
        }
    }
}

async fn list(state: &State, context: &Context) -> Result<(), Failure> {
    let flags = state.get_all().await?;
    if context.out.json {
        let rows: Vec<Row<'_>> = flags.iter().map(|(name, text)| Row::new(name, text)).collect();
        return Ok(context.out.document(&rows)?);
    }
    let mut table = Table::new(&["FLAG", "TYPE", "VALUE"]);
    for (name, text) in &flags {
        let kind = kind(text);
        let tone = if kind == "not JSON" { Tone::Bad } else { Tone::Quiet };
        let value = match text.as_str() {
            "true" => Field::toned(text, Tone::Good),
            "false" => Field::toned(text, Tone::Warning),
            text => as_field(text, context.out),
        };
        table.row([Field::from(name.as_str()), Field::toned(kind, tone), value]);
    }
    Ok(context.out.table(&table, "no flags: all defaults count")?)
}

async fn get(
    state: &State,
    name: &str,
    default: Option<String>,
    wanted: Option<Kind>,
    context: &Context,
) -> Result<(), Failure> {
    if let Some(default) = &default {
        let usage = |message: String| Failure::new(USAGE, "USAGE", format!("--default: {message}"));
        State::check(name, default).map_err(|error| usage(error.to_string()))?;
        if let Some(wanted) = wanted.filter(|wanted| !wanted.fits(&as_json(default))) {
            return Err(usage(format!("{default} is no {}", wanted.as_str())));
        }
    }
    let found = state.get_text(name).await?;
    let misfit = found.as_ref().and_then(|text| misfit(name, text, wanted));
    let text = match (found, misfit, default) {
        (Some(text), None, _) => text,
        (Some(_), Some(misfit), Some(default)) => {
            say(&format!("{}, so the default counts", misfit.message));
            default
        }
        (Some(_), Some(misfit), None) => return Err(misfit),
        (None, _, Some(default)) => default,
        (None, _, None) => return Err(unknown(state, name)),
    };
    if context.out.json {
        return Ok(context.out.document(&Row::new(name, &text))?);
    }
    match as_json(&text) {
        Value::String(bare) => Ok(context.out.line(&bare)?),
        _ => Ok(context.out.line(&text)?),
    }
}

/// Why a flag cannot be read as it is wanted.
fn misfit(name: &str, text: &str, wanted: Option<Kind>) -> Option<Failure> {
    let failure = |what: &str| Failure::new(crate::exit::FAILED, "VALUE", format!("the flag {name} is {what}"));
    match (serde_json::from_str::<Value>(text), wanted) {
        (Err(_), _) => Some(failure("not JSON")),
        (Ok(value), Some(wanted)) if !wanted.fits(&value) => {
            Some(failure(&format!("no {}, but of the type {}", wanted.as_str(), kind(text))))
        }
        _ => None,
    }
}

async fn set(state: &State, name: &str, text: &str, context: &Context) -> Result<(), Failure> {
    state.set_text(name, text).await?;
    Ok(context.out.say(&Row::new(name, text), &format!("{name} is {text}"))?)
}
