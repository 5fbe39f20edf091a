//! What a comment says: the repair of a lease, in words.

use poppo::{OrphanReason, Status};

use super::super::config::Language;
use super::super::template::Template;
use super::note::Note;
use super::record::Record;

/// The places of a template.
pub(crate) const PLACES: &[&str] =
    &["issue", "process", "pid", "host", "type", "reason", "why", "since", "status", "next", "by", "at"];

const ENGLISH: &str = "\
⚠️ **The worker of this issue was lost.**

{why} {next}

| | |
| --- | --- |
| Process | {process} (PID {pid}) |
| Host | {host} |
| Lost since | {since} |
| Status | {status} |

_Poppo, {by}_
";

const JAPANESE: &str = "\
⚠️ **このIssueを処理していたワーカーが失われました。**

{why}{next}

| | |
| --- | --- |
| プロセス | {process} (PID {pid}) |
| ホスト | {host} |
| 検出時刻 | {since} |
| ステータス | {status} |

_Poppo, {by}_
";

/// The text that is used where no file is named.
pub(super) fn built_in(language: Language) -> Result<Template, String> {
    let text = match language {
        Language::English => ENGLISH,
        Language::Japanese => JAPANESE,
    };
    Template::parse(text, PLACES)
}

/// The comment on a repair, with what finds it again.
pub(super) fn comment(template: &Template, language: Language, note: &Note) -> String {
    let record = note.reason.as_deref().and_then(Record::parse);
    let of_record = |value: fn(&Record) -> Option<String>| record.as_ref().and_then(value);
    let text = template.fill(|place| {
        let value = match place {
            "issue" => Some(note.issue.to_string()),
            "process" => note.process.as_deref().map(code),
            "pid" => of_record(|record| record.pid.map(|pid| pid.to_string())),
            "host" => of_record(|record| record.host.as_deref().map(code)),
            "type" => note.task_type.as_deref().map(code),
            "reason" => of_record(|record| Some(record.reason.to_string())),
            "why" => Some(match &record {
                Some(record) => why(language, record.reason).to_owned(),
                None => note.reason.as_deref().map(code).unwrap_or_default(),
            }),
            "since" => of_record(|record| record.since.clone()),
            "status" => Some(code(note.status.as_str())),
            "next" => Some(next(language, note.status).to_owned()),
            "by" => of_record(|record| Some(code(&record.by))),
            _ => note.at.clone(),
        };
        value.unwrap_or_else(|| "–".to_owned())
    });
    format!("{}\n\n{}\n", text.trim_end(), marker(note))
}

/// What no reader sees, and what tells whether a repair was commented on.
pub(super) fn marker(note: &Note) -> String {
    format!("<!-- poppo:repair {} {} -->", note.issue, note.token)
}

/// As it is, whatever it is: neither a mention nor markup.
fn code(text: &str) -> String {
    const LONGEST: usize = 500;
    let plain: String = text.chars().filter(|c| !c.is_control() && *c != '`').take(LONGEST).collect();
    format!("`{}`", if plain.is_empty() { "–" } else { &plain })
}

fn why(language: Language, reason: OrphanReason) -> &'static str {
    match (language, reason) {
        (Language::English, OrphanReason::Dead) => "Its process ended without reporting.",
        (Language::English, OrphanReason::Expired) => "Nothing was heard of it for too long.",
        (Language::English, OrphanReason::Replaced) => "It was started again without reporting.",
        (Language::Japanese, OrphanReason::Dead) => "プロセスが結果を報告せずに終了しました。",
        (Language::Japanese, OrphanReason::Expired) => "ハートビートが長時間途絶えました。",
        (Language::Japanese, OrphanReason::Replaced) => "プロセスが結果を報告せずに再起動されました。",
    }
}

fn next(language: Language, status: Status) -> &'static str {
    match (language, status) {
        (Language::English, Status::Queued) => "The issue waits in the queue, and is processed again.",
        (Language::English, Status::AwaitingResponse) => "The issue waits for an answer.",
        (Language::English, Status::Cancelled) => "It had been asked to stop, so the issue is not processed again.",
        (Language::English, _) => "The issue is in error, and is not processed again by itself.",
        (Language::Japanese, Status::Queued) => "キューに戻したため、再度処理されます。",
        (Language::Japanese, Status::AwaitingResponse) => "応答待ちに変更しました。",
        (Language::Japanese, Status::Cancelled) => "停止が要求されていたため、再処理されません。",
        (Language::Japanese, _) => "エラーに変更しました。自動では再処理されません。",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn note(status: Status, reason: &str) -> Note {
        Note {
            issue: 7.try_into().unwrap(),
            token: 9.try_into().unwrap(),
            process: Some("build-7-4712".to_owned()),
            task_type: None,
            status,
            reason: Some(reason.to_owned()),
            at: Some("2025-06-19T10:00:00.000Z".to_owned()),
        }
    }

    fn said(language: Language, note: &Note) -> String {
        comment(&built_in(language).unwrap(), language, note)
    }

    const DEAD: &str = "daemon@build-7: dead, PID 4712, on build-7, since 2025-06-19T10:00:00.000Z";

    #[test]
    fn a_comment_says_who_was_lost_why_and_what_is_next() {
        let text = said(Language::English, &note(Status::Queued, DEAD));
        for part in ["ended without reporting", "processed again", "`build-7-4712` (PID 4712)", "`daemon@build-7`"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.ends_with("\n\n<!-- poppo:repair 7 9 -->\n"), "{text}");
    }

    #[test]
    fn it_does_so_in_japanese() {
        let text = said(Language::Japanese, &note(Status::Error, DEAD));
        assert!(text.contains("終了しました。エラーに変更しました。"), "{text}");
        assert!(text.contains("<!-- poppo:repair 7 9 -->"), "{text}");
    }

    #[test]
    fn what_others_wrote_is_shown_as_it_is_and_mentions_nobody() {
        let text = said(Language::English, &note(Status::Error, "see `@everyone`\n<!-- x"));
        assert!(text.contains("`see @everyone<!-- x` The issue is in error"), "{text}");
    }

    #[test]
    fn a_template_of_ones_own_has_all_places() {
        let all: String = PLACES.iter().map(|place| format!("{{{place}}} ")).collect();
        let template = Template::parse(&all, PLACES).unwrap();
        let text = comment(&template, Language::English, &note(Status::Queued, DEAD));
        assert!(text.starts_with("7 `build-7-4712` 4712 `build-7` – dead Its process"), "{text}");
        assert!(text.contains("`daemon@build-7` 2025-06-19T10:00:00.000Z\n\n<!--"), "{text}");
    }
}
