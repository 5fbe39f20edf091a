//! Everything that a project shows of itself, as text that two servers can be compared by.
//!
//! `DUMP` is compared, too, but what the encoding forgets, both dumps forget.

use redis::Value;

use crate::transcript::show;
use crate::{Connection, Reply as _, wait_until};

/// What is so only at the time of looking: who is an orphan just now, and for how long a task has waited.
const OF_THE_MOMENT: [&str; 5] = ["orphan", "orphanSince", "orphans", "state", "oldest"];

/// The answers of all reading commands on a project, without what changes with time alone.
#[track_caller]
pub fn portrait(connection: &mut Connection, project: &str) -> String {
    // The tasks of a history are delayed for moments only: afterwards time alone changes none.
    let stats = format!("POPPO.STATS {project}");
    wait_until("no task is delayed any more", || connection.ok(&stats).count("queue.delayed") == 0);
    let issues = connection.ok(&format!("POPPO.LIST {project} COUNT 10000"));
    let mut looks: Vec<String> =
        issues.rows()[1].rows().iter().map(|row| format!("POPPO.GET {project} {}", row.count("issue"))).collect();
    looks.push(format!("POPPO.LIST {project} PROCESSES COUNT 10000"));
    looks.extend(["QUEUE", "DEAD"].map(|what| format!("POPPO.LIST {project} {what} COUNT 10000")));
    looks.push(stats);
    looks.push(format!("POPPO.EVENTS {project} AFTER 0 COUNT 10000"));
    looks.push(format!("POPPO.LABELS {project} COUNT 10000"));
    looks.push(format!("MEMORY USAGE {project}"));
    let answers = looks.iter().map(|line| format!("> {line}\n{}\n", show(&timeless(connection.ok(line)))));
    let mut text: String = answers.collect();
    text.push_str(&settings(connection, project));
    text
}

/// The settings, where they can be asked for: a replica refuses POPPO.CONFIG.
fn settings(connection: &mut Connection, project: &str) -> String {
    let replica = connection.info("replication", "role") == "slave";
    let answer = if replica { Value::Nil } else { connection.ok(&format!("POPPO.CONFIG {project} GET")) };
    show(&answer)
}

fn timeless(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(timeless).collect()),
        Value::Map(pairs) => {
            let lasting = pairs.into_iter().filter(|(name, _)| {
                let name = name.text().unwrap_or_default();
                !OF_THE_MOMENT.contains(&name.as_str())
            });
            Value::Map(lasting.map(|(name, value)| (name, timeless(value))).collect())
        }
        other => other,
    }
}
