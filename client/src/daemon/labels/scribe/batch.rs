//! GraphQL operations over many issues, and what is in their answers.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use poppo::IssueNumber;
use serde_json::{Value, json};

use super::super::marks::{Difference, Mark, Marks};
use crate::daemon::github::Cause;
use crate::daemon::github::graphql::Outcome;

/// What is asked of each issue. One has at most 100 labels.
const LABELS: &str = "labels(first: 100) { nodes { name } }";

/// A question for the node ids and labels of issues.
pub(super) struct LookUp {
    pub(super) query: String,
    pub(super) variables: Value,
}

/// What is to change of an issue.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) issue: IssueNumber,
    pub(super) node: &'a str,
    pub(super) difference: Difference,
}

impl LookUp {
    pub(super) fn of((owner, name): (String, String), issues: &[IssueNumber]) -> Self {
        let mut query =
            String::from("query($owner: String!, $name: String!) { repository(owner: $owner, name: $name) {\n");
        for issue in issues {
            // Writing to a string cannot fail.
            let _ = writeln!(
                query,
                "i{issue}: issueOrPullRequest(number: {issue}) {{ ... on Issue {{ id {LABELS} }} ... on PullRequest {{ id {LABELS} }} }}"
            );
        }
        query.push_str("} }");
        Self { query, variables: json!({ "owner": owner, "name": name }) }
    }
}

/// Whether the repository was found, whatever of its issues was.
pub(super) fn has_repository(outcome: &Outcome) -> bool {
    outcome.data.get("repository").is_some_and(Value::is_object)
}

/// The node id and labels of an issue in the answer to a [`LookUp`].
pub(super) fn found(outcome: &Outcome, issue: IssueNumber) -> Result<(String, Vec<String>), Cause> {
    let alias = format!("i{issue}");
    if let Some(cause) = outcome.failure(&["repository", &alias]) {
        return Err(cause.clone());
    }
    let found = outcome.data.get("repository").and_then(|repository| repository.get(&alias));
    let node = found.and_then(|found| found.get("id")).and_then(Value::as_str);
    match (node, found.and_then(names)) {
        (Some(node), Some(names)) => Ok((node.to_owned(), names)),
        _ => Err(missing()),
    }
}

/// One operation for all these changes. What is taken off goes first, so that no issue has two of our labels for a moment.
pub(super) fn mutation(changes: &[Change<'_>], ids: &BTreeMap<Mark, String>) -> String {
    let mut mutation = String::from("mutation {\n");
    for Change { issue, node, difference } in changes {
        let parts =
            [('r', "removeLabelsFromLabelable", difference.remove), ('a', "addLabelsToLabelable", difference.add)];
        for (letter, field, marks) in parts.into_iter().filter(|(.., marks)| !marks.is_empty()) {
            let node = json!(node);
            let labels = label_ids(marks, ids);
            let _ = writeln!(
                mutation,
                "{letter}{issue}: {field}(input: {{ labelableId: {node}, labelIds: {labels} }}) {{ labelable {{ {LABELS} }} }}"
            );
        }
    }
    mutation.push('}');
    mutation
}

/// The labels of an issue after a [`mutation`].
pub(super) fn changed(outcome: &Outcome, change: &Change<'_>) -> Result<Vec<String>, Cause> {
    let mut labels = Err(missing());
    for (letter, marks) in [('r', change.difference.remove), ('a', change.difference.add)] {
        if marks.is_empty() {
            continue;
        }
        let alias = format!("{letter}{}", change.issue);
        if let Some(cause) = outcome.failure(&[&alias]) {
            return Err(cause.clone());
        }
        let labelable = outcome.data.get(&alias).and_then(|payload| payload.get("labelable"));
        labels = labelable.and_then(names).ok_or_else(missing);
    }
    labels
}

fn label_ids(marks: Marks, ids: &BTreeMap<Mark, String>) -> Value {
    marks.iter().filter_map(|mark| ids.get(&mark)).map(String::as_str).collect()
}

fn names(labelable: &Value) -> Option<Vec<String>> {
    let nodes = labelable.get("labels")?.get("nodes")?.as_array()?;
    let name = |node: &Value| node.get("name").and_then(Value::as_str).map(str::to_owned);
    Some(nodes.iter().filter_map(name).collect())
}

fn missing() -> Cause {
    Cause::Nonsense("an issue is missing in the answer".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn issue(number: u64) -> IssueNumber {
        IssueNumber::try_from(number).unwrap()
    }

    #[test]
    fn a_change_is_at_most_two_fields_and_quotes_what_it_is_given() {
        let ids = BTreeMap::from(Mark::ALL.map(|mark| (mark, format!("LA_{mark:?}"))));
        let difference =
            Difference { remove: Marks::from(Mark::Processing).with(Mark::Error), add: Mark::Completed.into() };
        let text = mutation(&[Change { issue: issue(5), node: "I_\"x", difference }], &ids);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2 + difference.fields());
        let [_, remove, add, _] = lines.as_slice() else { panic!("{text}") };
        assert!(remove.starts_with("r5: removeLabelsFromLabelable(input: { labelableId: \"I_\\\"x\", "), "{text}");
        assert!(remove.contains("[\"LA_Processing\",\"LA_Error\"]"), "{text}");
        assert!(add.starts_with("a5: addLabelsToLabelable(") && add.contains("[\"LA_Completed\"]"), "{text}");
    }
}
