//! What environment variables say goes over what the file says: `POPPO_GITHUB_TOKEN` over `token` of `[github]`.

use serde::Deserialize as _;
use toml::{Table, Value};

use super::origin::line_at;
use super::{Config, usage};
use crate::exit::Failure;

/// What a variable holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Number,
    Switch,
    /// Texts with commas between them.
    List,
}

/// A variable, and the section and key that it stands for; of no section, one at the top.
pub(super) struct Variable(&'static str, &'static str, &'static str, Kind);

impl Variable {
    pub(super) fn name(&self) -> &'static str {
        self.0
    }

    pub(super) fn is_for(&self, section: &str, key: &str) -> bool {
        self.1 == section && self.2 == key
    }
}

/// The variables. Of two that stand for the same key the later one counts.
pub(super) const VARIABLES: [Variable; 23] = [
    Variable("POPPO_URL", "", "url", Kind::Text),
    Variable("POPPO_HOST", "", "host", Kind::Text),
    Variable("POPPO_LOG", "", "log", Kind::Text),
    Variable("POPPO_DUTIES_LIVENESS", "duties", "liveness", Kind::Switch),
    Variable("POPPO_DUTIES_REPAIR", "duties", "repair", Kind::Switch),
    Variable("POPPO_DUTIES_LABELS", "duties", "labels", Kind::Switch),
    Variable("POPPO_DUTIES_INTAKE", "duties", "intake", Kind::Switch),
    Variable("POPPO_DUTIES_AMBASSADOR", "duties", "ambassador", Kind::Switch),
    Variable("POPPO_DUTIES_VIEW", "duties", "view", Kind::Switch),
    Variable("POPPO_DUTIES_HTTP", "duties", "http", Kind::Switch),
    Variable("POPPO_HTTP_LISTEN", "http", "listen", Kind::Text),
    Variable("POPPO_HTTP_TOKEN", "http", "token", Kind::Text),
    Variable("POPPO_HTTP_TOKEN_FILE", "http", "token-file", Kind::Text),
    Variable("POPPO_HTTP_WEBHOOK_SECRETS", "http", "webhook-secrets", Kind::List),
    Variable("POPPO_HTTP_WEBHOOK_SECRET_FILES", "http", "webhook-secret-files", Kind::List),
    Variable("POPPO_GITHUB_API_URL", "github", "api-url", Kind::Text),
    // What everybody has who uses GitHub from a shell.
    Variable("GITHUB_TOKEN", "github", "token", Kind::Text),
    Variable("POPPO_GITHUB_TOKEN", "github", "token", Kind::Text),
    Variable("POPPO_GITHUB_TOKEN_FILE", "github", "token-file", Kind::Text),
    Variable("POPPO_GITHUB_APP_ID", "github", "app-id", Kind::Number),
    Variable("POPPO_GITHUB_APP_KEY", "github", "app-key", Kind::Text),
    Variable("POPPO_GITHUB_APP_KEY_FILE", "github", "app-key-file", Kind::Text),
    Variable("POPPO_GITHUB_RESERVE", "github", "reserve", Kind::Number),
];

/// The file's text, with the variables over it. An empty variable counts as one that is not set.
pub(super) fn read(text: &str, file: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Config, Failure> {
    // By itself first: then every error has a line.
    let mut config: Config = toml::from_str(text).map_err(|error| usage(explain(error, text, file)))?;
    let mut table: Table = toml::from_str(text).map_err(|error| usage(explain(error, text, file)))?;
    for Variable(name, section, key, kind) in VARIABLES {
        let Some(value) = variable(name).filter(|value| !value.is_empty()) else { continue };
        if name == "GITHUB_TOKEN" && config.github.has_credentials() {
            continue;
        }
        let value = kind.read(&value).map_err(|what| usage(format!("{name}: {what}")))?;
        place(&mut table, section, key, value);
        config = Config::deserialize(table.clone())
            .map_err(|error| usage(format!("{name}: {}", without_value(error.message()))))?;
    }
    Ok(config)
}

/// Puts a value where a variable says, and takes away the other way to say the same (`token` and `token-file`).
fn place(table: &mut Table, section: &str, key: &str, value: Value) {
    let table = if section.is_empty() {
        table
    } else {
        let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
        match inner {
            Value::Table(inner) => inner,
            _ => return,
        }
    };
    match key.strip_suffix("-file") {
        Some(same) => table.remove(same),
        None => table.remove(&format!("{key}-file")),
    };
    table.insert(key.to_owned(), value);
}

impl Kind {
    fn read(self, text: &str) -> Result<Value, String> {
        match self {
            Self::Text => Ok(Value::String(text.to_owned())),
            Self::Number => text.parse().map(Value::Integer).map_err(|_| "must be a number".to_owned()),
            Self::Switch => text.parse().map(Value::Boolean).map_err(|_| "must be true or false".to_owned()),
            Self::List => Ok(Value::Array(text.split(',').map(|one| Value::String(one.trim().to_owned())).collect())),
        }
    }
}

/// File, line, key, and what is wrong there.
fn explain(mut error: toml::de::Error, text: &str, file: &str) -> String {
    let line = error.span().and_then(|span| line_at(text, span.start));
    let message = error.message().to_owned();
    // With its text at hand the error draws a picture of it; without, it names the key.
    error.set_input(None);
    let shown = error.to_string();
    let key = shown.trim_end().strip_prefix(&message).and_then(|rest| rest.trim().strip_prefix("in `"));
    let key = key.and_then(|rest| rest.strip_suffix('`')).map(|key| format!("{key}: ")).unwrap_or_default();
    let place = line.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"));
    format!("{place}: {key}{}", without_value(&message))
}

/// A text where no text is allowed may be a secret all the same, so the sentence does not show it.
fn without_value(message: &str) -> String {
    let shown = message.strip_prefix("invalid type: string ").and_then(|rest| rest.rsplit_once("\", expected "));
    shown.map_or_else(|| message.to_owned(), |(_, expected)| format!("invalid type: string, expected {expected}"))
}
