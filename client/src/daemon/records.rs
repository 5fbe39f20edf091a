//! Reading many issues whole.

use std::collections::BTreeMap;

use poppo::{Error, Issue, IssueNumber, Project};
use tokio::task::JoinSet;

/// How many questions are under way at a time.
const AT_ONCE: usize = 64;

/// All that is known of these issues; none of those that are unknown.
pub(crate) async fn get(
    project: &Project,
    numbers: &[IssueNumber],
) -> Result<BTreeMap<IssueNumber, Option<Issue>>, Error> {
    let mut issues = BTreeMap::new();
    for some in numbers.chunks(AT_ONCE) {
        let mut questions = JoinSet::new();
        for number in some.iter().copied() {
            let project = project.clone();
            questions.spawn(async move { (number, project.get(number).await) });
        }
        while let Some(answer) = questions.join_next().await {
            if let Ok((number, issue)) = answer {
                issues.insert(number, issue?);
            }
        }
    }
    Ok(issues)
}
