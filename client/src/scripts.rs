//! Scripts: several steps that the server takes as one. For programs that keep ordinary keys beside a project, and for those
//! that may do something only as long as a condition holds there.

use redis::Cmd;

use crate::answers::Beat;
use crate::decode;
use crate::requests::{Checkin, Checkout, Heartbeat};
use crate::types::Token;
use crate::{Client, Error, Project};

/// A condition under which the server does a command: looked at and acted upon in one step, so that nothing comes between.
///
/// The script is given its keys and, behind them, the project's; and its arguments and, behind them, the words of the
/// command. It runs the command, or answers an error whose code becomes that of [`Error::Server`].
#[derive(Debug, Clone)]
pub struct Guard {
    script: String,
    keys: Vec<String>,
    arguments: Vec<String>,
}

impl Guard {
    /// The condition that `script`, in Lua, looks at. In a cluster, all its keys have to be in the project's slot.
    #[must_use]
    pub fn new(script: impl Into<String>, keys: Vec<String>, arguments: Vec<String>) -> Self {
        Self { script: script.into(), keys, arguments }
    }

    fn wrap(&self, project: &str, command: &Cmd) -> Cmd {
        let mut wrapped = redis::cmd("EVAL");
        wrapped.arg(&self.script).arg(self.keys.len() + 1).arg(&self.keys).arg(project).arg(&self.arguments);
        for word in command.args_iter() {
            if let redis::Arg::Simple(word) = word {
                wrapped.arg(word);
            }
        }
        wrapped
    }
}

impl Project {
    /// As [`checkout`](Self::checkout), where the guard lets it.
    ///
    /// # Errors
    /// As [`checkout`](Self::checkout), and [`Error::Server`] with the guard's code.
    pub async fn checkout_if(&self, guard: &Guard, checkout: &Checkout) -> Result<Token, Error> {
        let cmd = guard.wrap(self.key(), &checkout.command(self.key()));
        self.client().ask_durably("POPPO.CHECKOUT", &cmd, None, decode::token).await
    }

    /// As [`checkin`](Self::checkin), where the guard lets it.
    ///
    /// # Errors
    /// As [`checkin`](Self::checkin), and [`Error::Server`] with the guard's code.
    pub async fn checkin_if(&self, guard: &Guard, checkin: &Checkin) -> Result<(), Error> {
        let cmd = guard.wrap(self.key(), &checkin.command(self.key()));
        let beat = checkin.beat(self.key());
        self.client().ask_durably("POPPO.CHECKIN", &cmd, Some(&beat), |_| Ok(())).await
    }

    /// As [`heartbeat`](Self::heartbeat), where the guard lets it.
    ///
    /// # Errors
    /// As [`heartbeat`](Self::heartbeat), and [`Error::Server`] with the guard's code.
    pub async fn heartbeat_if(&self, guard: &Guard, heartbeat: &Heartbeat) -> Result<Beat, Error> {
        let cmd = guard.wrap(self.key(), &heartbeat.command(self.key()));
        self.client().ask("POPPO.HEARTBEAT", &cmd, Beat::read).await
    }
}

impl Client {
    /// Runs a script in Lua that answers a list of texts and numbers; the numbers as text.
    ///
    /// # Errors
    /// Where the server cannot be reached, or the script fails: [`Error::BadArgument`], or [`Error::Server`] with the code
    /// that the script gave.
    pub async fn run_script(&self, script: &str, keys: &[&str], arguments: &[String]) -> Result<Vec<String>, Error> {
        let mut cmd = redis::cmd("EVAL");
        cmd.arg(script).arg(keys.len()).arg(keys).arg(arguments);
        self.ask("EVAL", &cmd, |value| decode::list(value, decode::lossy)).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::IssueNumber;
    use crate::requests::tests::words;

    #[test]
    fn a_guarded_command_is_behind_what_its_guard_needs() {
        let guard = Guard::new("s", vec!["k".to_owned()], vec!["a".to_owned()]);
        let checkout = Checkout::new(IssueNumber::try_from(7).unwrap(), "w");
        let words = words(&guard.wrap("p", &checkout.command("p")));
        assert_eq!(words, ["EVAL", "s", "2", "k", "p", "a", "POPPO.CHECKOUT", "p", "7", "w"]);
    }
}
