//! What is in the file: a version, and the projects by their keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use poppo_core::{Project, VERSION, layout};
use serde::Serialize;
use serde_json::Value;

/// Projects, their parts and the records of each part have a line each.
const LINES: usize = 4;

/// All projects of a file, by their keys.
pub(super) type Projects = BTreeMap<String, Arc<Project>>;

#[derive(Serialize)]
struct Document<'a> {
    version: u8,
    projects: BTreeMap<&'a str, &'a Project>,
}

/// The document as text.
pub(super) fn write(projects: &Projects) -> Result<Vec<u8>, serde_json::Error> {
    let projects = projects.iter().map(|(key, project)| (key.as_str(), project.as_ref())).collect();
    let mut text = layout::text(&Document { version: VERSION, projects }, LINES)?;
    text.push('\n');
    Ok(text.into_bytes())
}

/// Reads a document. What is wrong with it completes a sentence that begins with the file.
pub(super) fn read(text: &[u8]) -> Result<Projects, String> {
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
    if version != u64::from(VERSION) || parts.len() != 2 {
        return Err(no_projects());
    }
    let project = |(key, document): (&String, &Value)| {
        let project = Project::from_document(document).map_err(|why| format!("is damaged: project {key}: {why}"))?;
        Ok((key.clone(), Arc::new(project)))
    };
    projects.iter().map(project).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        read(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn what_was_written_is_read() {
        assert!(read(&write(&Projects::new()).unwrap()).unwrap().is_empty());
        let project = Arc::new(Project::new(poppo_core::Instant::from_micros(1_750_327_200_123_456)));
        let projects = Projects::from([("a \"b\"/c".to_owned(), project)]);
        let text = write(&projects).unwrap();
        assert_eq!(write(&read(&text).unwrap()).unwrap(), text);
    }

    #[test]
    fn a_file_of_each_version_is_read() {
        let text = include_bytes!("version-3.json");
        let projects = read(text).unwrap();
        let project = projects.get("acme/widgets").unwrap();
        assert_eq!((project.issue_count(), project.leases(), project.task_count()), (6, 3, (1, 1)));
        assert_eq!(project.events(0).events.count(), 15);
        // As long as it is the newest.
        assert_eq!(write(&projects).unwrap(), text);
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
    }
}
