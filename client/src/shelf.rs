//! Ordinary hashes beside a project, for programs that keep notes of their own about it: what the server does not need to
//! know, but what has to be as durable as the project is.

use redis::Value;

use crate::decode;
use crate::{Error, Project};

/// A hash of texts beside a project. In a cluster it is in the project's slot, so that both are lost or kept together.
#[derive(Debug, Clone)]
pub struct Shelf {
    project: Project,
    key: String,
}

impl Project {
    /// The hash of this name beside the project: the key `{<project>}:<name>`, or `<project>:<name>` where braces in the
    /// project's own key say in which slot it is.
    #[must_use]
    pub fn shelf(&self, name: &str) -> Shelf {
        let project = self.key();
        let key =
            if project.contains(['{', '}']) { format!("{project}:{name}") } else { format!("{{{project}}}:{name}") };
        Shelf { project: self.clone(), key }
    }
}

impl Shelf {
    /// The hash's key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The values of these fields, in their order.
    ///
    /// # Errors
    /// As every method of [`Project`]; [`Error::Server`] (`WRONGTYPE`) where the key holds something else.
    pub async fn get(&self, fields: &[String]) -> Result<Vec<Option<String>>, Error> {
        if fields.is_empty() {
            return Ok(Vec::new());
        }
        let mut cmd = redis::cmd("HMGET");
        cmd.arg(&self.key).arg(fields);
        let read = |value: Value| decode::list(value, |value| decode::nullable(value, decode::text));
        self.project.client().ask("HMGET", &cmd, read).await
    }

    /// Writes fields, all of them at once.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn set(&self, fields: &[(String, String)]) -> Result<(), Error> {
        if fields.is_empty() {
            return Ok(());
        }
        let mut cmd = redis::cmd("HSET");
        cmd.arg(&self.key);
        for (field, value) in fields {
            cmd.arg(field).arg(value);
        }
        self.project.client().ask("HSET", &cmd, |_| Ok(())).await
    }

    /// Removes fields.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn remove(&self, fields: &[String]) -> Result<(), Error> {
        if fields.is_empty() {
            return Ok(());
        }
        let mut cmd = redis::cmd("HDEL");
        cmd.arg(&self.key).arg(fields);
        self.project.client().ask("HDEL", &cmd, |_| Ok(())).await
    }
}
