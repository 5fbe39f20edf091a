//! Whether one end has what the other has, in memory that does not grow with what they have.
//!
//! Entries fall into buckets by what they are about, and each bucket has a sum of what is in it: where all sums are the
//! same, so are the entries. Only those of buckets that differ are then compared one by one, some buckets at a time.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use poppo::Project;
use serde::Serialize;
use serde_json::{Map, Value};

use super::lines::Lines;
use super::progress::Progress;
use super::source::Source;
use crate::exit::{FAILED, Failure};
use crate::output::Output;

/// How many buckets there are.
const BUCKETS: usize = 4_096;

/// How many entries are compared at once.
const AT_ONCE: u64 = 100_000;

/// How many entries are named of each kind of difference.
const NAMED: usize = 10;

/// Something that has entries, and can be read from its beginning.
#[derive(Debug)]
pub(crate) enum Place {
    Project(Project),
    File(PathBuf),
}

impl Place {
    fn open(&self) -> Result<Source, Failure> {
        Ok(match self {
            Self::Project(project) => Source::of(project),
            Self::File(path) => Source::Lines(Lines::open(path)?),
        })
    }
}

/// What one end has and the other has not.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Difference {
    /// How many entries of the first are not in the second.
    pub(crate) missing: u64,
    /// How many are otherwise there.
    pub(crate) different: u64,
    /// How many are only in the second.
    pub(crate) more: u64,
    /// Some of those that are missing or different.
    pub(crate) examples: Vec<String>,
}

impl Difference {
    /// A failure where the second end lacks something.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let Self { missing, different, examples, .. } = self;
        let lacks = *missing > 0 || *different > 0;
        lacks.then(|| {
            let examples = examples.join(", ");
            let message =
                format!("the ends differ: {missing} entries are missing, {different} are different: {examples}");
            Failure::new(FAILED, "DIFFERENT", message)
        })
    }

    fn name(&mut self, key: &str, how: &str) {
        if self.examples.len() < NAMED {
            self.examples.push(format!("{key} ({how})"));
        }
    }
}

/// What is in a bucket: how many entries, and their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum(u64, u64);

/// Compares all that the first has with the second.
pub(crate) async fn compare(first: &Place, second: &Place, out: Output) -> Result<Difference, Failure> {
    let one = sums(first, out).await?;
    let other = sums(second, out).await?;
    let mut difference = Difference::default();
    let (mut some, mut entries) = (BTreeSet::new(), 0);
    for (bucket, (in_one, in_other)) in one.iter().zip(&other).enumerate() {
        if in_one != in_other {
            some.insert(bucket);
            entries += in_one.0;
        }
        if entries >= AT_ONCE {
            compare_some(first, second, &std::mem::take(&mut some), &mut difference).await?;
            entries = 0;
        }
    }
    if !some.is_empty() {
        compare_some(first, second, &some, &mut difference).await?;
    }
    Ok(difference)
}

async fn sums(place: &Place, out: Output) -> Result<Vec<Sum>, Failure> {
    let mut sums = vec![Sum::default(); BUCKETS];
    let progress = Progress::new(out, "verifying", None);
    let mut source = place.open()?;
    while let Some(lines) = source.next().await? {
        for line in &lines {
            let (key, content) = understood(line);
            if let Some(sum) = sums.get_mut(bucket_of(&key)) {
                *sum = Sum(sum.0 + 1, sum.1.wrapping_add(hash(&(key, content))));
            }
        }
        progress.add(lines.len());
    }
    Ok(sums)
}

/// Compares the entries of some buckets.
async fn compare_some(
    first: &Place,
    second: &Place,
    buckets: &BTreeSet<usize>,
    difference: &mut Difference,
) -> Result<(), Failure> {
    let mut there: HashMap<String, u64> = HashMap::new();
    let mut source = first.open()?;
    while let Some(lines) = source.next().await? {
        let entries = lines.iter().map(|line| understood(line)).filter(|(key, _)| buckets.contains(&bucket_of(key)));
        there.extend(entries.map(|(key, content)| (key, hash(&content))));
    }
    let mut source = second.open()?;
    while let Some(lines) = source.next().await? {
        for (key, content) in
            lines.iter().map(|line| understood(line)).filter(|(key, _)| buckets.contains(&bucket_of(key)))
        {
            match there.remove(&key) {
                None => difference.more += 1,
                Some(known) if known == hash(&content) => {}
                Some(_) => {
                    difference.different += 1;
                    difference.name(&key, "different");
                }
            }
        }
    }
    difference.missing += there.len() as u64;
    there.keys().for_each(|key| difference.name(key, "missing"));
    Ok(())
}

/// What an entry is about, and what it says, without what differs from place to place by itself: the last token, whose
/// labels are confirmed, signs of life.
fn understood(line: &str) -> (String, String) {
    let mut entry: Map<String, Value> = serde_json::from_str(line).unwrap_or_default();
    let Some((kind, content)) = entry.iter_mut().next() else { return (line.to_owned(), String::new()) };
    let number = |content: &Value, at: &str| content.pointer(at).map(ToString::to_string).unwrap_or_default();
    let text = |content: &Value, at: &str| content.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    let key = match kind.as_str() {
        "issue" => format!("issue {}", number(content, "/number")),
        // A task may be known as finished besides.
        "task" | "dead" => format!("{kind} {}", text(content, "/task/id")),
        "finished" => format!("finished {} of issue {}", text(content, "/id"), number(content, "/issue")),
        kind => kind.to_owned(),
    };
    let mut forget = |at: &str, fields: &[&str]| {
        if let Some(Value::Object(within)) = content.pointer_mut(at) {
            fields.iter().for_each(|field| drop(within.remove(*field)));
        }
    };
    forget("", &["lastToken", "behind", "again"]);
    forget("/task", &["again"]);
    for (holder, task) in [("/run/held", ""), ("/run/working/life", "/run/working/task")] {
        forget(holder, &["seen", "progress", "claims", "standing"]);
        if !task.is_empty() {
            forget(task, &["again"]);
        }
    }
    (key, content.to_string())
}

fn bucket_of(key: &str) -> usize {
    usize::try_from(hash(&key) % BUCKETS as u64).unwrap_or_default()
}

fn hash(value: &impl Hash) -> u64 {
    // Without keys: the same in each pass.
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn file(lines: &[String]) -> (tempfile::NamedTempFile, Place) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut backup = super::super::backup::Backup::to(file.path()).unwrap();
        backup.begin("{\"export\":{\"version\":1}}", "p").unwrap();
        backup.add(lines).unwrap();
        backup.finish().unwrap();
        let place = Place::File(file.path().to_owned());
        (file, place)
    }

    fn finished(issue: u32, id: &str) -> String {
        format!("{{\"finished\":{{\"issue\":{issue},\"id\":\"{id}\"}}}}")
    }

    fn dead(id: u32, attempts: u32) -> String {
        let task = format!(
            "{{\"id\":\"{id}\",\"type\":\"t\",\"priority\":1,\"attempts\":{attempts},\"orphans\":0,\"turn\":\"1970-01-01T00:00:00Z\"}}"
        );
        format!("{{\"dead\":{{\"issue\":1,\"at\":\"1970-01-01T00:00:00Z\",\"task\":{task}}}}}")
    }

    #[tokio::test]
    async fn what_is_missing_different_or_more_is_told_wherever_it_is() {
        let out = Output::new(true);
        let many: Vec<String> = (1..=9_000).map(|issue| finished(issue, "x")).collect();
        let one = [many.clone(), (1..=5).map(|id| dead(id, 0)).collect()].concat();
        let mut other: Vec<String> = one.iter().rev().cloned().collect();
        let (_one, first) = file(&one);
        let (_other, second) = file(&other);
        let same = compare(&first, &second, out).await.unwrap();
        assert!(same.failure().is_none() && same.more == 0, "{same:?}");
        other.retain(|line| *line != finished(7, "x") && *line != dead(3, 0));
        other.extend([dead(3, 1), finished(7, "y"), finished(9_001, "x")]);
        let (_other, second) = file(&other);
        let difference = compare(&first, &second, out).await.unwrap();
        assert_eq!((difference.missing, difference.different, difference.more), (1, 1, 2));
        let mut examples = difference.examples.clone();
        examples.sort();
        assert_eq!(examples, ["dead 3 (different)", "finished x of issue 7 (missing)"]);
        assert_eq!(difference.failure().unwrap().code, "DIFFERENT");
    }
}
