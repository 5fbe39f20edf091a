//! The command `poppo`. What it can do is the list of subcommands in `cli`; what they share is beside this file.

#![deny(unsafe_code)]

mod cli;
mod daemon;
mod discover;
mod doctor;
mod exit;
mod follow;
mod human;
mod lease;
mod moving;
mod output;
mod poppobuilder;
mod process;
mod retry;
mod server;
mod supervise;
mod top;

use std::process::ExitCode;

use clap::Parser as _;

/// One thread is enough for a command, and it has to be one: Linux delivers the parent-death signal that `process`
/// asks for when the *thread* that started the child ends.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    let json = cli.json;
    match cli.run().await {
        Ok(code) => code,
        Err(failure) => failure.report(json),
    }
}
