//! `poppo man`: the manual, made of what `--help` says.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Command, CommandFactory as _};

use crate::cli::{Cli, Context};
use crate::exit::{FAILED, Failure, USAGE};

/// Print a page of the manual, or write all of them into a folder
///
/// One page for `poppo` and one for each command: poppo.1, poppo-work.1, and so on.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
To install it for yourself:
  $ poppo man --dir ~/.local/share/man/man1
  $ man poppo-work

or just to read a page:
  $ poppo man work | man -l -")]
pub(crate) struct Args {
    /// The command whose page is printed, such as `work` or `config set` [default: that of poppo itself]
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    command: Vec<String>,
    /// Write all pages into this folder, which is made where it is missing
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let pages = pages();
    let Some(dir) = &args.dir else {
        let name = ["poppo"].into_iter().chain(args.command.iter().map(String::as_str)).collect::<Vec<_>>().join("-");
        let page = pages
            .into_iter()
            .find(|page| page_name(page) == name)
            .ok_or_else(|| Failure::new(USAGE, "USAGE", format!("there is no command {}", args.command.join(" "))))?;
        let mut stdout = io::stdout();
        stdout.write_all(&render(page)?)?;
        return Ok(stdout.flush()?);
    };
    let failed = |what: &PathBuf, error: io::Error| {
        Failure::new(FAILED, "FAILED", format!("{} cannot be written: {error}", what.display()))
    };
    fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
    let mut files = Vec::new();
    for page in pages {
        let file = dir.join(format!("{}.1", page_name(&page)));
        fs::write(&file, render(page)?).map_err(|error| failed(&file, error))?;
        files.push(file);
    }
    let sentence = format!("{} pages are in {}", files.len(), dir.display());
    Ok(context.out.say(&serde_json::json!({ "dir": dir, "files": files }), &sentence)?)
}

/// Every command that has a page.
fn pages() -> Vec<Command> {
    let mut root = Cli::command().disable_help_subcommand(true);
    // Hands the options that all take down to each, and gives each its full name.
    root.build();
    let mut pages = Vec::new();
    collect(&root, &mut pages);
    pages
}

fn collect(command: &Command, pages: &mut Vec<Command>) {
    pages.push(command.clone());
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        collect(command, pages);
    }
}

/// `poppo-config-set`; the full name, since `poppo man --dir` puts all pages into one folder.
fn page_name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn render(page: Command) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let source = concat!("poppo ", env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(page).source(source).manual("Poppo").render(&mut text)?;
    Ok(text)
}
