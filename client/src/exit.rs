//! How a command ends: its exit code, and its last words on stderr.

use std::io::{self, Write as _};
use std::process::ExitCode;

use poppo::{Error, Refusal};

/// It failed.
pub(crate) const FAILED: u8 = 1;
/// It was asked in a way that makes no sense.
pub(crate) const USAGE: u8 = 2;
/// Somebody else has the issue, or it is done: nothing to do here now (`EX_TEMPFAIL`).
pub(crate) const HELD: u8 = 75;
/// The lease was lost: whatever was done under it no longer counts.
pub(crate) const LOST: u8 = 76;
/// The command to run could not be started, as shells say it.
pub(crate) const NOT_STARTED: u8 = 127;

/// Why a command did not do what it was asked to.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: u8,
    /// One word for programs.
    pub(crate) code: String,
    /// One sentence for people.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: u8, code: &str, message: impl Into<String>) -> Self {
        Self { exit, code: code.to_owned(), message: message.into() }
    }

    /// It failed, and nothing more can be said to a program.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(FAILED, "FAILED", message)
    }

    /// Says it on stderr, as JSON where that was asked for, and gives the exit code.
    pub(crate) fn report(self, json: bool) -> ExitCode {
        if self.code == BROKEN_PIPE {
            return ExitCode::SUCCESS;
        }
        let text = if json {
            serde_json::json!({ "error": { "code": self.code, "message": self.message } }).to_string()
        } else {
            format!("poppo: {}", self.message)
        };
        // Where stderr is gone too, the exit code has to say it alone.
        drop(writeln!(io::stderr(), "{text}"));
        ExitCode::from(self.exit)
    }
}

/// Stands for "whoever read our output has seen enough", which is no failure.
const BROKEN_PIPE: &str = "EPIPE";

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::Refused(Refusal::Held(_) | Refusal::Done(_) | Refusal::InUse(_) | Refusal::Conflict { .. }) => HELD,
            Error::Refused(Refusal::Stale(_) | Refusal::NoProcess(_)) => LOST,
            Error::BadArgument(_) | Error::Url { .. } => USAGE,
            _ => FAILED,
        };
        Self::new(exit, error.code(), error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let code = if error.kind() == io::ErrorKind::BrokenPipe { BROKEN_PIPE } else { "FAILED" };
        Self::new(FAILED, code, error.to_string())
    }
}

/// What clap has to say: help and version are answers, the rest are usage errors. The arguments did not parse, so
/// whether JSON is wanted is read off them by hand.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json");
    if json && error.use_stderr() {
        let text = error.to_string();
        // What is missing is listed on lines of its own; behind a blank one come the usage and where to find help.
        let words: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
        let message = words.join(" ");
        return Failure::new(USAGE, "USAGE", message.trim_start_matches("error: ")).report(true);
    }
    // Where help cannot be printed, nobody is reading.
    drop(error.print());
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_exit_codes_of_the_manual() {
        let exit = |refusal: Refusal| Failure::from(Error::from(refusal)).exit;
        assert_eq!(exit(Refusal::Held(String::new())), 75);
        assert_eq!(exit(Refusal::Done(String::new())), 75);
        assert_eq!(exit(Refusal::Stale(String::new())), 76);
        assert_eq!(exit(Refusal::NoProcess(String::new())), 76);
        assert_eq!(exit(Refusal::Alive(String::new())), 1);
    }
}
