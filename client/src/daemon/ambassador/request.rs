//! What the older programs ask. Read leniently, since they are: numbers may be texts, and what is not known is passed over.

use std::fmt;

use poppo::{IssueNumber, Outcome};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// What a message may be long at most, in bytes. The largest request that could be granted is shorter.
pub(super) const LONGEST: usize = 2 << 20;
/// What an id may be long at most, in bytes.
const LONGEST_ID: usize = 512;
/// How much of a word that nobody knows is repeated in an answer.
const LONGEST_ECHO: usize = 200;

/// What stands where an action is not known, in metrics.
pub(super) const UNKNOWN: &str = "unknown";

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    Checkout { issue: IssueNumber, by: Asker, task_type: Option<String>, title: Option<String> },
    Checkin { issue: IssueNumber, process: String, outcome: Outcome, metadata: Vec<(String, String)> },
    Heartbeat { by: Asker },
    Status { issue: IssueNumber },
    List,
    Cleanup { process: String },
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) process: String,
    pub(super) pid: Option<u32>,
    /// Not in the requests of old; where a program knows better than we do.
    pub(super) host: Option<String>,
    pub(super) tmux: Option<String>,
}

impl Action {
    /// The word of the protocol.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Checkout { .. } => "checkout_issue",
            Self::Checkin { .. } => "checkin_issue",
            Self::Heartbeat { .. } => "heartbeat",
            Self::Status { .. } => "get_issue_status",
            Self::List => "list_processing_issues",
            Self::Cleanup { .. } => "cleanup_process",
        }
    }
}

/// A message that was understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    /// As it was given: a text or a number.
    pub(super) id: Option<Value>,
    pub(super) action: Action,
    /// The same for a message that is the same request.
    pub(super) digest: String,
}

/// A message that was not.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Malformed {
    pub(super) id: Option<Value>,
    pub(super) why: String,
    pub(super) digest: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// Reads a message.
pub(super) fn read(channel: &str, payload: &[u8]) -> Result<Request, Malformed> {
    let malformed = |id, why: String| Malformed { id, why, digest: digest(channel, payload) };
    if payload.len() > LONGEST {
        let why = format!("a request must be at most {LONGEST} bytes long");
        return Err(malformed(id_of_long(payload), why));
    }
    let fields = match serde_json::from_slice(payload) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return Err(malformed(None, "a request must be a JSON object".to_owned())),
        Err(error) => return Err(malformed(None, format!("a request must be JSON: {error}"))),
    };
    let id = fields.get("requestId").filter(|id| is_id(id)).cloned();
    match action(&fields) {
        // Some beat without waiting for an answer. All else that has no id was not meant to be asked.
        Ok(action @ Action::Heartbeat { .. }) if id.is_none() => {
            Ok(Request { id, action, digest: digest(channel, payload) })
        }
        Ok(_) if id.is_none() => {
            let why = format!("requestId must be a number or a text of 1 to {LONGEST_ID} bytes");
            Err(malformed(None, why))
        }
        Ok(action) => {
            let digest = digest(channel, format!("{id:?} {action:?}").as_bytes());
            Ok(Request { id, action, digest })
        }
        Err(why) => Err(malformed(id, why)),
    }
}

/// What tells one request from another: a time that was written anew does not make it another one.
fn digest(channel: &str, what: &[u8]) -> String {
    let mut digest = Sha256::new();
    digest.update(channel.len().to_le_bytes());
    digest.update(channel);
    digest.update(what);
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_id(id: &Value) -> bool {
    match id {
        Value::String(text) => (1..=LONGEST_ID).contains(&text.len()),
        Value::Number(_) => true,
        _ => false,
    }
}

/// The id of a message that is too long to be read whole: where it is in its first bytes, as programs write it.
fn id_of_long(payload: &[u8]) -> Option<Value> {
    let head = String::from_utf8_lossy(payload.get(..4096)?).into_owned();
    let (_, behind) = head.split_once("\"requestId\"")?;
    let behind = behind.trim_start().strip_prefix(':')?;
    let id = serde_json::Deserializer::from_str(behind).into_iter::<Value>().next()?.ok()?;
    is_id(&id).then_some(id)
}

fn action(fields: &Map<String, Value>) -> Result<Action, String> {
    let word = match fields.get("action") {
        Some(Value::String(word)) => word.as_str(),
        other => return Err(format!("Unknown action: {}", shown(other))),
    };
    Ok(match word {
        "checkout_issue" => Action::Checkout {
            issue: issue(fields)?,
            by: asker(fields)?,
            task_type: text(fields, "taskType")?,
            title: text(fields, "title")?,
        },
        "checkin_issue" => Action::Checkin {
            issue: issue(fields)?,
            process: process(fields)?,
            outcome: outcome(fields)?,
            metadata: metadata(fields)?,
        },
        "heartbeat" => Action::Heartbeat { by: asker(fields)? },
        "get_issue_status" => Action::Status { issue: issue(fields)? },
        "list_processing_issues" => Action::List,
        "cleanup_process" => Action::Cleanup { process: process(fields)? },
        other => return Err(format!("Unknown action: {}", cut(other))),
    })
}

fn asker(fields: &Map<String, Value>) -> Result<Asker, String> {
    let pid = match fields.get("pid") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let pid = number(value).and_then(|pid| i32::try_from(pid).ok()).and_then(|pid| u32::try_from(pid).ok());
            Some(pid.filter(|pid| *pid > 0).ok_or("pid must be an integer from 1 to 2147483647")?)
        }
    };
    let tmux = match text(fields, "tmuxSession")? {
        Some(tmux) => Some(tmux),
        None => text(fields, "tmux")?,
    };
    Ok(Asker { process: process(fields)?, pid, host: text(fields, "host")?, tmux })
}

fn issue(fields: &Map<String, Value>) -> Result<IssueNumber, String> {
    let number = fields.get("issueNumber").and_then(number).and_then(|number| IssueNumber::try_from(number).ok());
    number.ok_or_else(|| "issueNumber must be an integer from 1 to 9007199254740991".to_owned())
}

fn process(fields: &Map<String, Value>) -> Result<String, String> {
    let process = match fields.get("processId") {
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(Value::String(text)) => Some(text.clone()),
        _ => None,
    };
    process
        .filter(|name| is_name(name))
        .ok_or_else(|| "processId must be 1 to 128 bytes of printable ASCII without spaces".to_owned())
}

/// Whether this is a name in the protocol's sense.
pub(in crate::daemon) fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn outcome(fields: &Map<String, Value>) -> Result<Outcome, String> {
    let word = fields.get("finalStatus").and_then(Value::as_str).unwrap_or_default();
    word.parse().map_err(|_| "finalStatus must be completed, awaiting-response, error or cancelled".to_owned())
}

/// Names and values, the latter as texts, which is all that the older layout can hold.
fn metadata(fields: &Map<String, Value>) -> Result<Vec<(String, String)>, String> {
    match fields.get("metadata") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(metadata)) => {
            Ok(metadata.iter().map(|(name, value)| (name.clone(), as_text(value))).collect())
        }
        Some(_) => Err("metadata must be an object".to_owned()),
    }
}

fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn text(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("{name} must be a text")),
    }
}

/// An integer, also where it is written as a text, or as 7.0.
fn number(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) => number.as_u64().or_else(|| {
            let float = number.as_f64().filter(|float| float.fract() == 0.0)?;
            format!("{float:.0}").parse().ok()
        }),
        _ => None,
    }
}

fn shown(value: Option<&Value>) -> String {
    cut(&value.map_or_else(|| "undefined".to_owned(), as_text))
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_ECHO).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn action_of(text: &str) -> Result<Action, String> {
        read("c", text.as_bytes()).map(|request| request.action).map_err(|malformed| malformed.why)
    }

    #[test]
    fn numbers_may_be_texts() {
        let text = r#"{"requestId":"r","action":"checkout_issue","issueNumber":"12","processId":"w","pid":"7"}"#;
        let Ok(Action::Checkout { issue, by, .. }) = action_of(text) else { panic!("{text}") };
        assert_eq!((issue.get(), by.pid), (12, Some(7)));
        let text = r#"{"requestId":1,"action":"get_issue_status","issueNumber":12.0}"#;
        assert_eq!(action_of(text), Ok(Action::Status { issue: IssueNumber::try_from(12).unwrap() }));
    }

    #[test]
    fn metadata_become_texts() {
        let text = r#"{"requestId":"r","action":"checkin_issue","issueNumber":1,"processId":"w","finalStatus":"error",
            "metadata":{"a":1.5,"b":null,"c":"x","d":{"e":[true]}}}"#;
        let Ok(Action::Checkin { metadata, .. }) = action_of(text) else { panic!("{text}") };
        let expected = [("a", "1.5"), ("b", ""), ("c", "x"), ("d", r#"{"e":[true]}"#)];
        assert_eq!(metadata, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |rest: &str| action_of(&format!(r#"{{"requestId":"r",{rest}}}"#)).unwrap_err();
        assert_eq!(wrong(r#""action":"fly""#), "Unknown action: fly");
        assert_eq!(wrong(r#""x":1"#), "Unknown action: undefined");
        assert_eq!(wrong(r#""action":7"#), "Unknown action: 7");
        assert!(wrong(r#""action":"get_issue_status","issueNumber":0"#).starts_with("issueNumber must be"));
        assert!(wrong(r#""action":"get_issue_status","issueNumber":-3"#).starts_with("issueNumber must be"));
        assert!(wrong(r#""action":"get_issue_status","issueNumber":1e300"#).starts_with("issueNumber must be"));
        assert!(wrong(r#""action":"cleanup_process","processId":"a b""#).starts_with("processId must be"));
        assert!(wrong(r#""action":"heartbeat","processId":"a","pid":0"#).starts_with("pid must be"));
        let checkin = r#""action":"checkin_issue","issueNumber":1,"processId":"w""#;
        assert!(wrong(checkin).starts_with("finalStatus must be"));
        assert!(wrong(&format!(r#"{checkin},"finalStatus":"error","metadata":[1]"#)).starts_with("metadata must be"));
        assert!(action_of("[1]").unwrap_err().contains("object"));
        assert!(action_of(&"[".repeat(100_000)).unwrap_err().contains("JSON"));
        assert!(action_of(r#"{"requestId":{},"action":"list_processing_issues"}"#).unwrap_err().contains("requestId"));
    }

    #[test]
    fn only_a_heartbeat_needs_no_id() {
        assert_eq!(read("c", br#"{"action":"heartbeat","processId":"w"}"#).unwrap().id, None);
        assert!(action_of(r#"{"action":"list_processing_issues"}"#).is_err());
    }

    #[test]
    fn a_request_is_the_same_whenever_it_was_written() {
        let digest = |channel: &str, text: &str| read(channel, text.as_bytes()).unwrap().digest;
        let one = r#"{"requestId":"r","action":"get_issue_status","issueNumber":1,"timestamp":"a"}"#;
        let again = r#"{"timestamp":"b","requestId":"r","action":"get_issue_status","issueNumber":"1"}"#;
        let other = r#"{"requestId":"r","action":"get_issue_status","issueNumber":2,"timestamp":"a"}"#;
        assert_eq!(digest("c", one), digest("c", again));
        assert_ne!(digest("c", one), digest("c", other));
        assert_ne!(digest("c", one), digest("d", one));
    }

    #[test]
    fn a_request_that_is_too_long_is_refused_by_its_id() {
        let long = format!(r#"{{"requestId":"r-1","action":"{}"}}"#, "x".repeat(LONGEST));
        let malformed = read("c", long.as_bytes()).unwrap_err();
        assert_eq!(malformed.id, Some(Value::from("r-1")));
        let hidden = format!(r#"{{"action":"{}","requestId":"r-1"}}"#, "x".repeat(LONGEST));
        assert_eq!(read("c", hidden.as_bytes()).unwrap_err().id, None);
    }
}
