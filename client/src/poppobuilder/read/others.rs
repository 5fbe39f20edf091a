//! Labels that somebody asked for, free state, and locks.

use std::collections::BTreeMap;

use poppo::State;
use serde_json::Value;

use super::{Reader, Unified};
use crate::moving::unified::name_in_list;
use crate::poppobuilder::split::Document;

impl Reader<'_> {
    /// `requests/label-update-*.json`: a record, which is the file's only entry.
    pub(super) fn label_update(&mut self, text: &[u8]) {
        let record = serde_json::from_slice(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text));
        let Ok(Value::Object(record)) = record else {
            self.report.unused("", "it is no record, or damaged");
            return;
        };
        let mut fields = self.fields(record);
        let name = fields.text("requestId").unwrap_or_default();
        match fields.issue("issueNumber") {
            Some(issue) => {
                let item = self.report.used(&name, &fields.notes);
                self.state.labels.push((issue, item));
            }
            None => self.report.unused(&name, "it does not say which issue it is about"),
        }
    }

    /// `unified-<namespace>.json`: names and values.
    pub(super) fn unified(&mut self, namespace: &str, document: Document<'_>) {
        let is_list = matches!(document, Document::List(_));
        let (mut values, mut items) = (BTreeMap::new(), Vec::new());
        for entry in self.entries(document, "") {
            let Some((mut value, mut notes)) = self.value(&entry.name, &entry.part) else { continue };
            let mut name = entry.name.clone();
            if is_list {
                let Some(found) = name_in_list(&value) else {
                    self.report.unused(&entry.name, "it is in a list and has no name");
                    continue;
                };
                notes.push(format!("it is in a list; by what is in it, it is called {found}"));
                name = found;
                if let Value::Array(pair) = &mut value {
                    value = pair.pop().unwrap_or_default();
                }
            }
            if values.contains_key(&name) {
                self.report.unused(&entry.name, "it is there more than once");
                continue;
            }
            match State::check(&name, &value.to_string()) {
                Ok(text) => {
                    items.push((name.clone(), self.report.used(&entry.name, &notes)));
                    values.insert(name, text);
                }
                Err(error) => self.report.unused(&entry.name, &error.to_string()),
            }
        }
        if !values.is_empty() {
            self.state.unified.push(Unified { namespace: namespace.to_owned(), values, items });
        }
    }

    /// A lock: a PID, or a record with one. Whether somebody holds it is all that there is to know.
    pub(super) fn lock(&mut self, file: &str, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        let value = serde_json::from_str(text.trim_start_matches('\u{feff}').trim()).unwrap_or_default();
        let mut fields = match value {
            Value::Object(record) => self.fields(record),
            number => self.fields([("pid".to_owned(), number)].into_iter().collect()),
        };
        let holder = fields.record("lockedBy").map(|holder| self.fields(holder));
        let did = ["startTime", "lockedAt"].into_iter().find_map(|name| fields.time(name)).unwrap_or(self.modified);
        let mut holder = holder.unwrap_or(fields);
        let (pid, host) = (holder.pid("pid"), holder.text("hostname"));
        let elsewhere = host.filter(|host| *host != self.world.node);
        match (pid, elsewhere) {
            (None, _) => self.report.unused("", "a lock in which there is no PID"),
            (Some(pid), Some(host)) => {
                self.report.unused("", &format!("a lock of PID {pid} on {host}, which cannot be asked from here"));
                self.report.warnings.push(format!("{file}: PoppoBuilder may run still, as PID {pid} on {host}"));
            }
            (Some(pid), None) if self.world.lives(pid, Some(did)) => {
                self.report.unused("", &format!("a lock of PID {pid}, which lives"));
                self.report.warnings.push(format!(
                    "{file}: PoppoBuilder runs still, as PID {pid}; stop it, and import again for what it does until then"
                ));
            }
            (Some(pid), None) => self.report.unused("", &format!("a lock of PID {pid}, which does not live any more")),
        }
    }
}
