//! `poppo completions`: what a shell needs to complete commands and options.

use std::io::{self, Write as _};

use clap::builder::PossibleValue;
use clap::{Command, CommandFactory as _};

use crate::cli::Cli;
use crate::exit::Failure;

/// Print a script that has a shell complete `poppo`'s commands and options
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
To install it for yourself:
  $ poppo completions bash > ~/.local/share/bash-completion/completions/poppo
  $ poppo completions zsh  > ~/.zfunc/_poppo     # with fpath+=~/.zfunc before compinit
  $ poppo completions fish > ~/.config/fish/completions/poppo.fish

or, in bash, for this session only:
  $ source <(poppo completions bash)")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

/// The shells that are known.
#[derive(Debug, Clone, Copy)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl clap::ValueEnum for Shell {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Bash, Self::Zsh, Self::Fish]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }))
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    // By way of memory: where nobody reads, `generate` would panic.
    let mut script = Vec::new();
    let mut command = visible();
    clap_complete::generate(shell, &mut command, "poppo", &mut script);
    if shell == clap_complete::Shell::Fish {
        script.extend(fish_values(&command).into_bytes());
    }
    let mut stdout = io::stdout();
    stdout.write_all(&script)?;
    Ok(stdout.flush()?)
}

/// What fish may offer as an argument without an option, which `clap_complete` leaves out.
fn fish_values(whole: &Command) -> String {
    let mut lines = String::new();
    for command in whole.get_subcommands() {
        let values = command.get_positionals().flat_map(|argument| argument.get_possible_values());
        for value in values.filter(|value| !value.is_hide_set()) {
            let (name, value) = (command.get_name(), value.get_name());
            lines += &format!("complete -c poppo -n \"__fish_poppo_using_subcommand {name}\" -f -a {value}\n");
        }
    }
    lines
}

/// The command line without what is for Poppo itself: the scripts would offer hidden commands, too.
fn visible() -> Command {
    let whole = Cli::command();
    let commands = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    Command::new("poppo").args(whole.get_arguments().cloned()).subcommands(commands)
}
