//! Bodies, read strictly: JSON, an object, no field that GitHub does not have there, every value of its type.

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::{Call, Failure};

/// The fields of a body.
pub(super) struct Fields(Map<String, Value>);

/// A body's JSON.
pub(super) fn json(call: &Call) -> Result<Value, Failure> {
    let unreadable = |_| Failure::malformed(StatusCode::BAD_REQUEST, "Problems parsing JSON");
    serde_json::from_slice(&call.body).map_err(unreadable)
}

impl Fields {
    /// The fields of a body that may have these.
    pub(super) fn of(call: &Call, known: &[&str]) -> Result<Self, Failure> {
        match json(call)? {
            Value::Object(fields) => Self::among(fields, known),
            _ => Err(Failure::malformed(StatusCode::BAD_REQUEST, "Body should be a JSON object")),
        }
    }

    fn among(fields: Map<String, Value>, known: &[&str]) -> Result<Self, Failure> {
        match fields.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(Failure::shape(key, "it is not a permitted key")),
            None => Ok(Self(fields)),
        }
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(Failure::shape(name, &format!("{other} is not a string"))),
        }
    }

    /// A text or null.
    pub(super) fn nullable(&self, name: &str) -> Result<Option<Option<String>>, Failure> {
        match self.0.get(name) {
            Some(Value::Null) => Ok(Some(None)),
            _ => Ok(self.text(name)?.map(Some)),
        }
    }

    /// One of these words.
    pub(super) fn word(&self, name: &str, words: &[&str]) -> Result<Option<String>, Failure> {
        let text = self.text(name)?;
        match text.as_deref().filter(|text| !words.contains(text)) {
            Some(text) => Err(Failure::shape(name, &format!("{text:?} is not a member of {words:?}"))),
            None => Ok(text),
        }
    }

    /// A list of texts, or of objects with a `name`, as labels may be given.
    pub(super) fn names(&self, name: &str) -> Result<Option<Vec<String>>, Failure> {
        self.0.get(name).map(|value| names(name, value)).transpose()
    }
}

/// The labels of a body: `{"labels": […]}` or the list alone.
pub(super) fn labels(call: &Call) -> Result<Vec<String>, Failure> {
    let body = match json(call)? {
        Value::Object(fields) => Fields::among(fields, &["labels"])?.0.remove("labels"),
        list => Some(list),
    };
    match body {
        Some(list) => names("labels", &list),
        None => Err(Failure::shape("labels", "it is missing")),
    }
}

fn names(field: &str, value: &Value) -> Result<Vec<String>, Failure> {
    let wrong = || Failure::shape(field, &format!("{value} is not an array of names"));
    let name = |item: &Value| item.as_str().or_else(|| item.get("name")?.as_str()).map(str::to_owned);
    value.as_array().ok_or_else(wrong)?.iter().map(|item| name(item).ok_or_else(wrong)).collect()
}
