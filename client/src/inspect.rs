//! Questions to the server about itself, for those who look whether all is well. They change nothing.

use std::collections::BTreeMap;

use crate::decode::{self, Fields};
use crate::{Client, Error};

/// Whether a user may send a command.
///
/// ```no_run
/// # async fn example() -> Result<(), poppo::Error> {
/// use poppo::{Client, Permission};
///
/// let client = Client::connect("redis://127.0.0.1").await?;
/// println!("Poppo {:?}", client.info("poppo").await?.get("poppo_version"));
/// if client.server_setting("appendonly").await?.as_deref() != Some("yes") {
///     println!("what was written last may be lost in a crash");
/// }
/// let user = client.user().await?;
/// if let Permission::Denied(why) = client.may_run(&user, &["POPPO.CLAIM", "acme/widgets", "w"]).await? {
///     println!("{user} cannot work: {why}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// It may.
    Granted,
    /// It may not; the server's words.
    Denied(String),
}

impl Client {
    /// A section of INFO, or several: the values by their names. Empty where the server has no such section, as `poppo`
    /// where it lacks the module.
    ///
    /// Example: [`Permission`].
    ///
    /// # Errors
    /// Where the server cannot be reached or does not tell.
    pub async fn info(&self, section: &str) -> Result<BTreeMap<String, String>, Error> {
        let mut cmd = redis::cmd("INFO");
        cmd.arg(section);
        let text = self.ask("INFO", &cmd, decode::text).await?;
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Ok(fields.map(|(name, value)| (name.to_owned(), value.trim_end().to_owned())).collect())
    }

    /// The server's own setting of this name, as CONFIG GET tells it; none where it has none of that name.
    ///
    /// Example: [`Permission`].
    ///
    /// # Errors
    /// Where the server cannot be reached or does not tell, as many users may not ask.
    pub async fn server_setting(&self, name: &str) -> Result<Option<String>, Error> {
        let mut cmd = redis::cmd("CONFIG");
        cmd.arg("GET").arg(name);
        self.ask("CONFIG", &cmd, |value| Fields::new(value)?.optional(name, decode::text)).await
    }

    /// The name of the user that this client is.
    ///
    /// Example: [`Permission`].
    ///
    /// # Errors
    /// Where the server cannot be reached or does not tell.
    pub async fn user(&self) -> Result<String, Error> {
        let mut cmd = redis::cmd("ACL");
        cmd.arg("WHOAMI");
        self.ask("ACL", &cmd, decode::text).await
    }

    /// Whether a user may send this command, by ACL DRYRUN: nothing is run.
    ///
    /// Example: [`Permission`].
    ///
    /// # Errors
    /// Where the server cannot be reached, does not let us ask, or has no such command.
    pub async fn may_run(&self, user: &str, words: &[&str]) -> Result<Permission, Error> {
        let mut cmd = redis::cmd("ACL");
        cmd.arg("DRYRUN").arg(user);
        for word in words {
            cmd.arg(word);
        }
        self.ask("ACL", &cmd, |value| {
            let text = decode::text(value)?;
            Ok(if text == "OK" { Permission::Granted } else { Permission::Denied(text) })
        })
        .await
    }

    /// Whether this client's user may send this command, by sending it. So the words should be such that the command
    /// itself is refused, or changes nothing: the server looks at the user first.
    ///
    /// ```no_run
    /// # use poppo::{Client, Permission};
    /// # async fn example(client: Client) -> Result<(), poppo::Error> {
    /// // Without a project the command is refused, by the user's rights first.
    /// if client.tries(&["POPPO.CLAIM"]).await? == Permission::Granted {
    ///     println!("this user may claim");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Where the server cannot be reached.
    pub async fn tries(&self, words: &[&str]) -> Result<Permission, Error> {
        let Some((name, arguments)) = words.split_first() else { return Ok(Permission::Granted) };
        let mut cmd = redis::cmd(name);
        for argument in arguments {
            cmd.arg(argument);
        }
        match self.ask("the command", &cmd, |_| Ok(())).await {
            Err(Error::Server { code, message }) if code == "NOPERM" => Ok(Permission::Denied(message)),
            Err(error @ (Error::Connection { .. } | Error::Timeout { .. })) => Err(error),
            _ => Ok(Permission::Granted),
        }
    }
}
