//! What is in the file: a version, the projects by their keys, and their free state.

use std::collections::BTreeMap;
use std::sync::Arc;

use poppo_core::{Project, VERSION, layout};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::notes::Spaces;
use crate::state::commit::Notes;

/// Projects, their parts and the records of each part have a line each.
const LINES: usize = 4;

/// All projects of a file, by their keys.
pub(super) type Projects = BTreeMap<String, Arc<Project>>;

/// Values as they are written, by project, namespace and name.
type Raw<'a> = BTreeMap<&'a str, BTreeMap<&'a str, BTreeMap<&'a str, &'a RawValue>>>;

/// All that a file holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Contents {
    pub(super) projects: Projects,
    pub(super) spaces: Spaces,
}

#[derive(Serialize)]
struct Document<'a> {
    version: u8,
    projects: BTreeMap<&'a str, &'a Project>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    state: Raw<'a>,
}

/// The free state of a document alone.
#[derive(Deserialize)]
struct States {
    #[serde(default)]
    state: BTreeMap<String, BTreeMap<String, BTreeMap<String, Box<RawValue>>>>,
}

/// The document as text.
pub(super) fn write(contents: &Contents) -> Result<Vec<u8>, serde_json::Error> {
    let projects = contents.projects.iter().map(|(key, project)| (key.as_str(), project.as_ref())).collect();
    let mut state = Raw::new();
    for (project, spaces) in &contents.spaces {
        for (namespace, notes) in spaces {
            let values = notes.iter().map(|(name, text)| Ok((name.as_str(), serde_json::from_str(text)?)));
            let values = values.collect::<Result<_, serde_json::Error>>()?;
            state.entry(project).or_default().insert(namespace, values);
        }
    }
    let mut text = layout::text(&Document { version: VERSION, projects, state }, LINES)?;
    text.push('\n');
    Ok(text.into_bytes())
}

/// Reads a document. What is wrong with it completes a sentence that begins with the file.
pub(super) fn read(text: &[u8]) -> Result<Contents, String> {
    let document: Value = serde_json::from_slice(text).map_err(|error| format!("is not JSON: {error}"))?;
    let no_projects = || "is JSON, but holds no projects of Poppo".to_owned();
    let parts = document.as_object().ok_or_else(no_projects)?;
    let version = parts.get("version").and_then(Value::as_u64).ok_or_else(no_projects)?;
    if version > u64::from(VERSION) {
        return Err(format!(
            "was written by a newer version of Poppo: its version is {version}, and this one reads up to {VERSION}"
        ));
    }
    let projects = parts.get("projects").and_then(Value::as_object).ok_or_else(no_projects)?;
    let is_known = |part: &String| ["version", "projects", "state"].contains(&part.as_str());
    if version != u64::from(VERSION) || !parts.keys().all(is_known) {
        return Err(no_projects());
    }
    let project = |(key, document): (&String, &Value)| {
        let project = Project::from_document(document).map_err(|why| format!("is damaged: project {key}: {why}"))?;
        Ok((key.clone(), Arc::new(project)))
    };
    let projects = projects.iter().map(project).collect::<Result<_, String>>()?;
    let spaces = if parts.contains_key("state") { read_state(text)? } else { Spaces::new() };
    Ok(Contents { projects, spaces })
}

/// The free state, whose values stay as they are written.
fn read_state(text: &[u8]) -> Result<Spaces, String> {
    let States { state } = serde_json::from_slice(text).map_err(|error| format!("is damaged: state: {error}"))?;
    let notes = |values: BTreeMap<String, Box<RawValue>>| -> Arc<Notes> {
        Arc::new(values.into_iter().map(|(name, value)| (name, Box::<str>::from(value).into_string())).collect())
    };
    let spaces = state.into_iter().map(|(project, spaces)| {
        (project, spaces.into_iter().map(|(namespace, values)| (namespace, notes(values))).collect())
    });
    Ok(spaces.collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        read(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn what_was_written_is_read() {
        assert!(read(&write(&Contents::default()).unwrap()).unwrap().projects.is_empty());
        let project = Arc::new(Project::new(poppo_core::Instant::from_micros(1_750_327_200_123_456)));
        let projects = Projects::from([("a \"b\"/c".to_owned(), project)]);
        let values = [("a\"b", "null"), ("1", "12345678901234567890123"), ("x", "{\"z\":1.0,\"a\":[null]}")];
        let notes: Notes = values.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        let spaces = [("p".to_owned(), [("config".to_owned(), Arc::new(notes.clone()))].into())].into();
        let text = write(&Contents { projects, spaces }).unwrap();
        let contents = read(&text).unwrap();
        assert_eq!(*contents.spaces["p"]["config"], notes);
        assert_eq!(write(&contents).unwrap(), text);
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("\n    \"1\": 12345678901234567890123,\n    \"a\\\"b\": null,\n"), "{text}");
    }

    #[test]
    fn a_file_of_each_version_is_read() {
        let text = include_bytes!("version-3.json");
        let contents = read(text).unwrap();
        let project = contents.projects.get("acme/widgets").unwrap();
        assert_eq!((project.issue_count(), project.leases(), project.task_count()), (6, 3, (1, 1)));
        assert_eq!(project.events(0).events.count(), 15);
        // As long as it is the newest.
        assert_eq!(write(&contents).unwrap(), text);
    }

    #[test]
    fn what_is_no_file_of_ours_says_why() {
        assert!(wrong("").starts_with("is not JSON: "), "{}", wrong(""));
        assert!(wrong("{\"version\": 3, \"projects\": {").starts_with("is not JSON: "));
        for text in ["[]", "{}", "{\"version\":3}", "{\"version\":2,\"projects\":{}}", "{\"projects\":{}}"] {
            assert_eq!(wrong(text), "is JSON, but holds no projects of Poppo", "{text}");
        }
        assert!(wrong("{\"version\":4}").contains("by a newer version of Poppo: its version is 4"));
        let damaged = wrong("{\"version\":3,\"projects\":{\"p\":{\"head\":{}}}}");
        assert!(damaged.starts_with("is damaged: project p: head: missing field"), "{damaged}");
        let damaged = wrong("{\"version\":3,\"projects\":{},\"state\":{\"p\":[]}}");
        assert!(damaged.starts_with("is damaged: state: invalid type: sequence"), "{damaged}");
        assert_eq!(wrong("{\"version\":3,\"projects\":{},\"more\":1}"), "is JSON, but holds no projects of Poppo");
    }
}
