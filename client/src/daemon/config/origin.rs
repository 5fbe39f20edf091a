//! Who said what is wrong: a variable, or a line of the file.

use toml::de::DeTable;

use super::environment::{self, VARIABLES};

/// What is wrong with a value that is allowed by itself, and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Of which `[[project]]`, from 0.
    project: Option<usize>,
    /// Empty: at the top, of the file or of the project.
    section: &'static str,
    key: &'static str,
    what: String,
}

impl Wrong {
    /// With a value outside of all projects.
    pub(super) fn new(section: &'static str, key: &'static str, what: impl Into<String>) -> Self {
        Self { project: None, section, key, what: what.into() }
    }

    /// The same of a project.
    pub(super) fn of_project(self, number: usize) -> Self {
        Self { project: Some(number), ..self }
    }

    /// In a sentence that begins with the variable, or with the file, the line and the key.
    pub(super) fn told(&self, text: &str, file: &str, variable: impl Fn(&str) -> Option<String>) -> String {
        let Self { what, section, key, project } = self;
        let is_said = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
        let names = VARIABLES.iter().filter(|known| project.is_none() && known.is_for(section, key));
        if let Some(name) = names.map(environment::Variable::name).rfind(|name| is_said(name)) {
            return format!("{name}: {what}");
        }
        let parts = [project.map(|_| "project"), Some(*section).filter(|section| !section.is_empty()), Some(key)];
        let path = parts.into_iter().flatten().collect::<Vec<_>>().join(".");
        match self.line(text) {
            Some(line) => format!("{file}:{line}: {path}: {what}"),
            None => format!("{file}: {path}: {what}"),
        }
    }

    fn line(&self, text: &str) -> Option<usize> {
        let root = DeTable::parse(text).ok()?;
        let mut table = root.get_ref();
        if let Some(number) = self.project {
            table = table.get("project")?.get_ref().as_array()?.get(number)?.get_ref().as_table()?;
        }
        if !self.section.is_empty() {
            table = table.get(self.section)?.get_ref().as_table()?;
        }
        let (key, _) = table.get_key_value(self.key)?;
        line_at(text, key.span().start)
    }
}

/// The number of the line at this offset, from 1.
pub(super) fn line_at(text: &str, offset: usize) -> Option<usize> {
    text.get(..offset).map(|before| before.matches('\n').count() + 1)
}
