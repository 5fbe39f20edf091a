//! `poppo config`: CONFIG, the project's own settings.

use crate::cli::Context;
use crate::exit::{Failure, USAGE};
use crate::output::{Field, Table};

/// Show or change the project's settings
///
/// They are kept in the project itself, so they go where it goes. Durations are in milliseconds.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  $ poppo config
  $ poppo config get heartbeat-ttl
  $ poppo config set heartbeat-ttl 600000 issues-kept 5000")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show all settings, or one
    Get {
        /// The setting's name, such as heartbeat-ttl
        name: Option<String>,
    },
    /// Change settings: all that are given, or none
    Set {
        /// Names and values in turn
        #[arg(required = true, num_args = 2.., value_names = ["NAME", "VALUE"])]
        settings: Vec<String>,
    },
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    match &args.action {
        None => get(None, context).await,
        Some(Action::Get { name }) => get(name.as_deref(), context).await,
        Some(Action::Set { settings }) => set(settings, context).await,
    }
}

async fn get(name: Option<&str>, context: &Context) -> Result<(), Failure> {
    let settings = context.project().await?.settings(name).await?;
    if context.out.json {
        return Ok(context.out.document(&settings)?);
    }
    let mut table = Table::new(&["SETTING", "VALUE"]);
    for (name, value) in &settings {
        table.row([Field::from(name.as_str()), Field::number(value)]);
    }
    Ok(context.out.table(&table, "no settings")?)
}

async fn set(words: &[String], context: &Context) -> Result<(), Failure> {
    let settings = pairs(words).map_err(|message| Failure::new(USAGE, "USAGE", message))?;
    context.project().await?.set_settings(&settings).await?;
    let document: serde_json::Map<_, _> =
        settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    Ok(context.out.say(&document, "the settings are changed")?)
}

/// Names and values in turn.
fn pairs(words: &[String]) -> Result<Vec<(&str, u64)>, String> {
    words
        .chunks(2)
        .map(|pair| match pair {
            [name, value] => match value.parse() {
                Ok(value) => Ok((name.as_str(), value)),
                Err(_) => Err(format!("{name} must be a whole number, not {value:?}")),
            },
            _ => Err("every name needs a value".to_owned()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_in_pairs() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(pairs(&words("a 1 b 2")), Ok(vec![("a", 1), ("b", 2)]));
        assert!(pairs(&words("a 1 b")).is_err());
        assert!(pairs(&words("a soon")).is_err());
    }
}
