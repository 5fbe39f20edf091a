//! Changes: what a request or a test does to the state, with the webhook events that follow from it and the labels that it
//! touched. Rules that GitHub has (no comment without a text, no label twice, whatever its case) stand here, so that REST
//! and GraphQL cannot differ.

use std::time::SystemTime;

use super::render;
use super::state::{Comment, Departed, Issue, Label, Repository, World, same};
use super::webhooks::Event;

/// Who changes something, and when; what follows is collected.
#[derive(Debug)]
pub(super) struct Editor<'a> {
    pub(super) world: &'a mut World,
    pub(super) by: &'a str,
    pub(super) now: SystemTime,
    pub(super) events: Vec<Event>,
    /// Names of labels that were put on, taken off, made, edited or deleted.
    pub(super) touched: Vec<String>,
}

/// Why something cannot be changed so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// The thing is not there.
    Missing,
    /// A value is not allowed: of which resource, which field, GitHub's word for why, and a sentence.
    Invalid(&'static str, &'static str, &'static str, String),
}

/// A label to be made, or what is to change of one.
#[derive(Debug, Clone, Default)]
pub(super) struct LabelText {
    pub(super) name: Option<String>,
    pub(super) color: Option<String>,
    pub(super) description: Option<Option<String>>,
}

/// What is to change of an issue.
#[derive(Debug, Clone, Default)]
pub(super) struct IssueText {
    pub(super) title: Option<String>,
    pub(super) body: Option<Option<String>>,
    pub(super) is_open: Option<bool>,
    pub(super) state_reason: Option<String>,
    pub(super) labels: Option<Vec<String>>,
    pub(super) assignees: Option<Vec<String>>,
}

const BODY_LIMIT: usize = 65_536;
const LABELS_LIMIT: usize = 100;

impl Editor<'_> {
    fn repository(&mut self, id: u64) -> Result<&mut Repository, Refused> {
        self.world.repository_mut(id).ok_or(Refused::Missing)
    }

    fn issue(&mut self, repository: u64, number: u64) -> Result<&mut Issue, Refused> {
        self.repository(repository)?.issues.get_mut(&number).ok_or(Refused::Missing)
    }

    /// The issue has changed now, and whoever listens is told so.
    fn changed(&mut self, repository: u64, number: u64, action: &'static str, extra: serde_json::Value) {
        let now = self.now;
        if let Ok(issue) = self.issue(repository, number) {
            issue.updated_at = now;
        }
        self.tell("issues", action, repository, number, extra);
    }

    fn tell(
        &mut self,
        name: &'static str,
        action: &'static str,
        repository: u64,
        number: u64,
        extra: serde_json::Value,
    ) {
        let Some(place) = self.world.repository_by_id(repository) else { return };
        let Some(issue) = place.issues.get(&number) else { return };
        let payload = render::payload(self.world, place, issue, action, self.by, extra);
        // What pull requests tell under names of their own is nothing that anybody here listens to.
        if !(issue.is_pull_request && name == "issues") {
            self.events.push(Event { name, action, payload });
        }
    }

    /// Opens an issue, or a pull request.
    pub(super) fn open(
        &mut self,
        repository: u64,
        title: &str,
        body: Option<&str>,
        is_pull_request: bool,
    ) -> Result<u64, Refused> {
        let (now, id) = (self.now, self.world.new_id());
        let author = self.world.user(self.by).login;
        let place = self.repository(repository)?;
        let last = place.issues.keys().chain(place.departed.keys()).max().copied().unwrap_or_default();
        let number = last + 1;
        let issue = Issue {
            id,
            number,
            title: title.to_owned(),
            body: body.map(str::to_owned),
            is_open: true,
            state_reason: None,
            labels: Vec::new(),
            author,
            assignees: Vec::new(),
            created_at: now,
            updated_at: now,
            closed_at: None,
            is_pull_request,
            comments: Vec::new(),
        };
        place.issues.insert(number, issue);
        self.tell("issues", "opened", repository, number, serde_json::json!({}));
        Ok(number)
    }

    /// Changes an issue's title, text, state and labels, as far as given.
    pub(super) fn update(&mut self, repository: u64, number: u64, to: IssueText) -> Result<(), Refused> {
        let before = self.issue(repository, number)?.clone();
        if to.title.as_ref().is_some_and(|title| title.trim().is_empty()) {
            return Err(invalid("Issue", "title", "missing_field", "title can't be blank"));
        }
        if let Some(names) = &to.labels {
            self.set_labels(repository, number, names)?;
        }
        let mut changes = serde_json::Map::new();
        if let Some(title) = to.title.filter(|title| *title != before.title) {
            changes.insert("title".to_owned(), serde_json::json!({ "from": before.title }));
            self.issue(repository, number)?.title = title;
        }
        if let Some(body) = to.body.filter(|body| *body != before.body) {
            changes.insert("body".to_owned(), serde_json::json!({ "from": before.body.unwrap_or_default() }));
            self.issue(repository, number)?.body = body;
        }
        if !changes.is_empty() {
            self.changed(repository, number, "edited", serde_json::json!({ "changes": changes }));
        }
        if let Some(assignees) = to.assignees {
            self.issue(repository, number)?.assignees = assignees;
        }
        match to.is_open.filter(|is_open| *is_open != before.is_open) {
            Some(is_open) => self.turn(repository, number, is_open, to.state_reason),
            None => Ok(()),
        }
    }

    fn turn(&mut self, repository: u64, number: u64, is_open: bool, reason: Option<String>) -> Result<(), Refused> {
        let now = self.now;
        let issue = self.issue(repository, number)?;
        issue.is_open = is_open;
        issue.closed_at = (!is_open).then_some(now);
        let usual = if is_open { "reopened" } else { "completed" };
        issue.state_reason = Some(reason.unwrap_or_else(|| usual.to_owned()));
        self.changed(repository, number, if is_open { "reopened" } else { "closed" }, serde_json::json!({}));
        Ok(())
    }

    /// Puts labels on an issue; what the repository lacks is made, in GitHub's grey. One that is on already stays.
    pub(super) fn add_labels(&mut self, repository: u64, number: u64, names: &[String]) -> Result<(), Refused> {
        let issue = self.issue(repository, number)?.clone();
        if let Some(bad) = names.iter().find(|name| !is_label_name(name)) {
            return Err(invalid("Label", "name", "invalid", &format!("{bad:?} is no label's name")));
        }
        let mut ids = Vec::new();
        for name in names {
            let found = self.repository(repository)?.label(name).map(|label| label.id);
            let id = match found {
                Some(id) => id,
                None => {
                    self.create_label(repository, LabelText { name: Some(name.clone()), ..LabelText::default() })?
                }
            };
            if !issue.labels.contains(&id) && !ids.contains(&id) {
                ids.push(id);
            }
        }
        if issue.labels.len() + ids.len() > LABELS_LIMIT {
            return Err(invalid("Issue", "labels", "invalid", "an issue has at most 100 labels"));
        }
        for id in ids {
            self.issue(repository, number)?.labels.push(id);
            self.labelled(repository, number, id, "labeled");
        }
        Ok(())
    }

    /// Takes a label off an issue; says whether it was on.
    pub(super) fn remove_label(&mut self, repository: u64, number: u64, label: u64) -> Result<bool, Refused> {
        let issue = self.issue(repository, number)?;
        let before = issue.labels.len();
        issue.labels.retain(|id| *id != label);
        let was_on = issue.labels.len() < before;
        if was_on {
            self.labelled(repository, number, label, "unlabeled");
        }
        Ok(was_on)
    }

    /// Leaves these labels on an issue, and no others.
    pub(super) fn set_labels(&mut self, repository: u64, number: u64, names: &[String]) -> Result<(), Refused> {
        let on = self.issue(repository, number)?.labels.clone();
        let place = self.repository(repository)?;
        let stays =
            |id: &u64| place.label_by_id(*id).is_some_and(|label| names.iter().any(|name| same(name, &label.name)));
        let leaves: Vec<u64> = on.into_iter().filter(|id| !stays(id)).collect();
        self.add_labels(repository, number, names)?;
        for id in leaves {
            self.remove_label(repository, number, id)?;
        }
        Ok(())
    }

    fn labelled(&mut self, repository: u64, number: u64, label: u64, action: &'static str) {
        let Some(place) = self.world.repository_by_id(repository) else { return };
        let Some(label) = place.label_by_id(label) else { return };
        let (name, shown) = (label.name.clone(), render::label(self.world, place, label));
        self.touched.push(name);
        self.changed(repository, number, action, serde_json::json!({ "label": shown }));
    }

    /// Makes a label.
    pub(super) fn create_label(&mut self, repository: u64, text: LabelText) -> Result<u64, Refused> {
        let id = self.world.new_id();
        let mut label = Label { id, name: String::new(), color: "ededed".to_owned(), description: None };
        let name = text.name.clone().unwrap_or_default();
        write_label(&mut label, text)?;
        let place = self.repository(repository)?;
        if place.label(&name).is_some() {
            return Err(invalid("Label", "name", "already_exists", "there is a label of that name"));
        }
        place.labels.push(label);
        self.touched.push(name);
        Ok(id)
    }

    /// Changes a label's name, colour and description, as far as given.
    pub(super) fn update_label(&mut self, repository: u64, id: u64, text: LabelText) -> Result<(), Refused> {
        let place = self.repository(repository)?;
        let mut label = place.label_by_id(id).cloned().ok_or(Refused::Missing)?;
        let taken = |name: &String| place.label(name).is_some_and(|other| other.id != id);
        if text.name.as_ref().is_some_and(taken) {
            return Err(invalid("Label", "name", "already_exists", "there is a label of that name"));
        }
        let before = label.name.clone();
        write_label(&mut label, text)?;
        let after = label.name.clone();
        for kept in place.labels.iter_mut().filter(|kept| kept.id == id) {
            kept.clone_from(&label);
        }
        self.touched.extend([before, after]);
        Ok(())
    }

    /// Deletes a label, and takes it off every issue.
    pub(super) fn delete_label(&mut self, repository: u64, id: u64) -> Result<(), Refused> {
        let place = self.repository(repository)?;
        let name = place.label_by_id(id).map(|label| label.name.clone()).ok_or(Refused::Missing)?;
        let on: Vec<u64> =
            place.issues.values().filter(|issue| issue.labels.contains(&id)).map(|issue| issue.number).collect();
        for number in on {
            self.remove_label(repository, number, id)?;
        }
        self.repository(repository)?.labels.retain(|label| label.id != id);
        self.touched.push(name);
        Ok(())
    }

    /// Says something on an issue.
    pub(super) fn comment(&mut self, repository: u64, number: u64, body: &str) -> Result<u64, Refused> {
        is_comment(body)?;
        let (now, id) = (self.now, self.world.new_id());
        let author = self.world.user(self.by).login;
        let issue = self.issue(repository, number)?;
        issue.comments.push(Comment { id, body: body.to_owned(), author, created_at: now, updated_at: now });
        issue.updated_at = now;
        self.tell_of_comment("created", repository, number, id, serde_json::json!({}));
        Ok(id)
    }

    /// Changes what was said.
    pub(super) fn edit_comment(&mut self, repository: u64, id: u64, body: &str) -> Result<(), Refused> {
        is_comment(body)?;
        let (now, number) = (self.now, self.issue_of_comment(repository, id)?);
        let issue = self.issue(repository, number)?;
        issue.updated_at = now;
        let comment = issue.comments.iter_mut().find(|comment| comment.id == id).ok_or(Refused::Missing)?;
        let before = std::mem::replace(&mut comment.body, body.to_owned());
        comment.updated_at = now;
        let changes = serde_json::json!({ "changes": { "body": { "from": before } } });
        self.tell_of_comment("edited", repository, number, id, changes);
        Ok(())
    }

    /// Takes back what was said.
    pub(super) fn delete_comment(&mut self, repository: u64, id: u64) -> Result<(), Refused> {
        let (now, number) = (self.now, self.issue_of_comment(repository, id)?);
        self.tell_of_comment("deleted", repository, number, id, serde_json::json!({}));
        let issue = self.issue(repository, number)?;
        issue.updated_at = now;
        issue.comments.retain(|comment| comment.id != id);
        Ok(())
    }

    fn issue_of_comment(&self, repository: u64, id: u64) -> Result<u64, Refused> {
        let place = self.world.repository_by_id(repository).ok_or(Refused::Missing)?;
        place.comment(id).map(|(issue, _)| issue.number).ok_or(Refused::Missing)
    }

    fn tell_of_comment(
        &mut self,
        action: &'static str,
        repository: u64,
        number: u64,
        id: u64,
        extra: serde_json::Value,
    ) {
        let Some(place) = self.world.repository_by_id(repository) else { return };
        let Some((issue, comment)) = place.comment(id) else { return };
        let mut extra = extra;
        if let Some(fields) = extra.as_object_mut() {
            fields.insert("comment".to_owned(), render::comment(self.world, place, issue, comment));
        }
        self.tell("issue_comment", action, repository, number, extra);
    }

    /// Deletes an issue.
    pub(super) fn delete(&mut self, repository: u64, number: u64) -> Result<(), Refused> {
        self.tell("issues", "deleted", repository, number, serde_json::json!({}));
        let place = self.repository(repository)?;
        place.issues.remove(&number).ok_or(Refused::Missing)?;
        place.departed.insert(number, Departed::Deleted);
        Ok(())
    }

    /// Moves an issue to another repository, without its labels; answers its number there.
    pub(super) fn transfer(&mut self, repository: u64, number: u64, target: u64) -> Result<u64, Refused> {
        let place = self.repository(target)?;
        let new = place.issues.keys().chain(place.departed.keys()).max().copied().unwrap_or_default() + 1;
        self.tell("issues", "transferred", repository, number, serde_json::json!({}));
        let id = self.world.new_id();
        let place = self.repository(repository)?;
        let mut issue = place.issues.remove(&number).ok_or(Refused::Missing)?;
        place.departed.insert(number, Departed::Transferred { repository: target, number: new });
        (issue.id, issue.number) = (id, new);
        issue.labels.clear();
        self.repository(target)?.issues.insert(new, issue);
        self.tell("issues", "opened", target, new, serde_json::json!({}));
        Ok(new)
    }
}

fn invalid(resource: &'static str, field: &'static str, code: &'static str, why: &str) -> Refused {
    Refused::Invalid(resource, field, code, why.to_owned())
}

fn is_comment(body: &str) -> Result<(), Refused> {
    if body.trim().is_empty() {
        return Err(invalid("IssueComment", "body", "unprocessable", "Body cannot be blank"));
    }
    if body.chars().count() > BODY_LIMIT {
        return Err(invalid("IssueComment", "body", "unprocessable", "body is too long (maximum is 65536 characters)"));
    }
    Ok(())
}

fn is_label_name(name: &str) -> bool {
    !name.trim().is_empty() && name.chars().count() <= 50
}

fn write_label(label: &mut Label, text: LabelText) -> Result<(), Refused> {
    if let Some(name) = text.name {
        if !is_label_name(&name) {
            return Err(invalid("Label", "name", "invalid", "name is missing or longer than 50 characters"));
        }
        label.name = name;
    }
    if let Some(color) = text.color {
        if color.len() != 6 || !color.chars().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(invalid("Label", "color", "invalid", "color is six hexadecimal digits without #"));
        }
        label.color = color.to_lowercase();
    }
    if let Some(description) = text.description {
        if description.as_ref().is_some_and(|description| description.chars().count() > 100) {
            return Err(invalid(
                "Label",
                "description",
                "invalid",
                "description is too long (maximum is 100 characters)",
            ));
        }
        label.description = description;
    }
    Ok(())
}
