//! A repository as tests see it: what people do there, and what it looks like.

use super::edit::{Editor, IssueText, LabelText, Refused};
use super::hub::Hub;
use super::state::{Comment, Issue, Label, Repository, Standing};

/// Who does what tests do, unless they say otherwise.
const SOMEBODY: &str = "somebody";

/// A repository of a server.
#[derive(Debug, Clone)]
pub struct RepositoryHandle<'a> {
    hub: &'a Hub,
    id: u64,
    by: String,
}

impl<'a> RepositoryHandle<'a> {
    pub(super) fn of(hub: &'a Hub, full_name: &str) -> Self {
        let (owner, name) = full_name.split_once('/').expect("a repository is named owner/name");
        let mut world = hub.world();
        let found = world.repository(owner, name).map(|repository| repository.id);
        let id = found.unwrap_or_else(|| {
            let id = world.new_id();
            let owner = world.user(owner).login;
            world.repositories.push(Repository {
                id,
                owner,
                name: name.to_owned(),
                standing: Standing::Active,
                labels: Vec::new(),
                issues: std::collections::BTreeMap::new(),
                departed: std::collections::BTreeMap::new(),
                former: Vec::new(),
            });
            id
        });
        drop(world);
        Self { hub, id, by: SOMEBODY.to_owned() }
    }

    /// The same, in the name of that user.
    pub fn by(&self, login: &str) -> Self {
        self.hub.world().user(login);
        Self { by: login.to_owned(), ..self.clone() }
    }

    /// The repository as it is now.
    pub fn now(&self) -> Repository {
        self.hub.world().repository_by_id(self.id).cloned().expect("repositories are never forgotten")
    }

    /// An issue or pull request as it is now.
    #[track_caller]
    pub fn issue(&self, number: u64) -> Issue {
        self.now().issues.remove(&number).unwrap_or_else(|| panic!("there is no issue {number}"))
    }

    /// The names of an issue's labels, in alphabetical order.
    #[track_caller]
    pub fn labels(&self, number: u64) -> Vec<String> {
        let (repository, issue) = (self.now(), self.issue(number));
        let mut names: Vec<String> = repository.labels_of(&issue).map(|label| label.name.clone()).collect();
        names.sort();
        names
    }

    /// What was said on an issue.
    #[track_caller]
    pub fn comments(&self, number: u64) -> Vec<Comment> {
        self.issue(number).comments
    }

    /// A label of the repository.
    pub fn label(&self, name: &str) -> Option<Label> {
        self.now().label(name).cloned()
    }

    /// Opens an issue with these labels, which are made when they are not there.
    #[track_caller]
    pub fn open(&self, title: &str, labels: &[&str]) -> u64 {
        self.change(|editor, id| {
            let number = editor.open(id, title, None, false)?;
            editor.add_labels(id, number, &owned(labels))?;
            Ok(number)
        })
    }

    /// Opens a pull request.
    #[track_caller]
    pub fn open_pull_request(&self, title: &str) -> u64 {
        self.change(|editor, id| editor.open(id, title, None, true))
    }

    /// Edits an issue's title and text.
    #[track_caller]
    pub fn edit(&self, number: u64, title: &str, body: &str) {
        let to = IssueText { title: Some(title.to_owned()), body: Some(Some(body.to_owned())), ..IssueText::default() };
        self.change(|editor, id| editor.update(id, number, to));
    }

    /// Closes an issue.
    #[track_caller]
    pub fn close(&self, number: u64) {
        self.change(|editor, id| editor.update(id, number, IssueText { is_open: Some(false), ..IssueText::default() }));
    }

    /// Opens an issue again.
    #[track_caller]
    pub fn reopen(&self, number: u64) {
        self.change(|editor, id| editor.update(id, number, IssueText { is_open: Some(true), ..IssueText::default() }));
    }

    /// Deletes an issue.
    #[track_caller]
    pub fn delete(&self, number: u64) {
        self.change(|editor, id| editor.delete(id, number));
    }

    /// Moves an issue to another repository; answers its number there.
    #[track_caller]
    pub fn transfer(&self, number: u64, to: &RepositoryHandle<'_>) -> u64 {
        self.change(|editor, id| editor.transfer(id, number, to.id))
    }

    /// Puts labels on an issue.
    #[track_caller]
    pub fn add_labels(&self, number: u64, labels: &[&str]) {
        self.change(|editor, id| editor.add_labels(id, number, &owned(labels)));
    }

    /// Takes a label off an issue.
    #[track_caller]
    pub fn remove_label(&self, number: u64, name: &str) {
        let label = self.label(name).unwrap_or_else(|| panic!("there is no label {name:?}")).id;
        self.change(|editor, id| editor.remove_label(id, number, label));
    }

    /// Makes a label.
    #[track_caller]
    pub fn create_label(&self, name: &str, color: &str) {
        let text = LabelText { name: Some(name.to_owned()), color: Some(color.to_owned()), description: None };
        self.change(|editor, id| editor.create_label(id, text));
    }

    /// Deletes a label of the repository.
    #[track_caller]
    pub fn delete_label(&self, name: &str) {
        let label = self.label(name).unwrap_or_else(|| panic!("there is no label {name:?}")).id;
        self.change(|editor, id| editor.delete_label(id, label));
    }

    /// Says something on an issue; answers the comment's number.
    #[track_caller]
    pub fn comment(&self, number: u64, body: &str) -> u64 {
        self.change(|editor, id| editor.comment(id, number, body))
    }

    /// Changes what was said.
    #[track_caller]
    pub fn edit_comment(&self, comment: u64, body: &str) {
        self.change(|editor, id| editor.edit_comment(id, comment, body));
    }

    /// Takes back what was said.
    #[track_caller]
    pub fn delete_comment(&self, comment: u64) {
        self.change(|editor, id| editor.delete_comment(id, comment));
    }

    /// Archives it, has it vanish, turns its issues off, or makes it as it was.
    pub fn set_standing(&self, standing: Standing) {
        self.write(|repository| repository.standing = standing);
    }

    /// Renames it to `owner/name`; its old name leads there.
    pub fn rename(&self, full_name: &str) {
        let (owner, name) = full_name.split_once('/').expect("a repository is named owner/name");
        let owner = self.hub.world().user(owner).login;
        self.write(|repository| {
            let before = (
                std::mem::replace(&mut repository.owner, owner),
                std::mem::replace(&mut repository.name, name.to_owned()),
            );
            repository.former.push(before);
        });
    }

    fn write(&self, write: impl FnOnce(&mut Repository)) {
        write(self.hub.world().repository_mut(self.id).expect("repositories are never forgotten"));
    }

    #[track_caller]
    fn change<T>(&self, act: impl FnOnce(&mut Editor<'_>, u64) -> Result<T, Refused>) -> T {
        let done = self.hub.change(&self.by, None, |editor| act(editor, self.id));
        done.unwrap_or_else(|refused| panic!("people cannot do that either: {refused:?}"))
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
