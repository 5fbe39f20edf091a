//! Texts with places for values: `{issue}`. Two braces stand for one.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// A text whose places are all known ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(&'static str),
}

impl Template {
    /// Reads one from a file, whose places must be among `allowed`.
    pub(crate) fn read(file: &Path, allowed: &[&'static str]) -> Result<Self, String> {
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        Self::parse(&text, allowed).map_err(|what| format!("{}: {what}", file.display()))
    }

    /// Reads one, whose places must be among `allowed`.
    pub(crate) fn parse(text: &str, allowed: &[&'static str]) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("the template is empty".to_owned());
        }
        let mut parts = vec![];
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            plain.push_str(before);
            rest = match (brace.strip_prefix("{{"), brace.strip_prefix("}}")) {
                (Some(after), _) => {
                    plain.push('{');
                    after
                }
                (_, Some(after)) => {
                    plain.push('}');
                    after
                }
                _ => {
                    let place = brace.strip_prefix('{').and_then(|inner| inner.split_once('}'));
                    let known = place.and_then(|(name, _)| allowed.iter().find(|known| **known == name));
                    let (Some((_, after)), Some(known)) = (place, known) else {
                        return Err(unknown(text, brace, place.map(|(name, _)| name), allowed));
                    };
                    parts.extend([Part::Text(std::mem::take(&mut plain)), Part::Place(known)]);
                    after
                }
            };
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        Ok(Self(parts))
    }

    /// The text with its values.
    pub(crate) fn fill(&self, value: impl Fn(&'static str) -> String) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Place(name) => value(name),
        });
        parts.collect()
    }
}

/// What stands in a place that is none, and what may.
fn unknown(text: &str, rest: &str, name: Option<&str>, allowed: &[&str]) -> String {
    let before = text.len().saturating_sub(rest.len());
    let line = text.get(..before).unwrap_or_default().matches('\n').count() + 1;
    let what = name.map_or("a brace by itself (write two for one)".to_owned(), |name| format!("unknown {{{name}}}"));
    let mut message = format!("line {line}: {what}; there are");
    for name in allowed {
        // A String takes it.
        let _taken = write!(message, " {{{name}}}");
    }
    message
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ALLOWED: &[&str] = &["issue", "host"];

    #[test]
    fn places_are_filled_and_two_braces_are_one() {
        let template = Template::parse("{issue} on {host}{host}: {{{issue}}} {{}}\n", ALLOWED).unwrap();
        assert_eq!(template.fill(|name| name.to_uppercase()), "ISSUE on HOSTHOST: {ISSUE} {}\n");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let error = |text| Template::parse(text, ALLOWED).unwrap_err();
        assert_eq!(error("a\n{pid}"), "line 2: unknown {pid}; there are {issue} {host}");
        assert!(error("{issue").starts_with("line 1: a brace by itself"));
        assert!(error("}").starts_with("line 1: a brace by itself"));
        assert_eq!(error(" \n"), "the template is empty");
        assert!(Template::read(Path::new("/nowhere/t"), ALLOWED).unwrap_err().starts_with("/nowhere/t: "));
    }
}
