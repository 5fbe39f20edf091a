//! The documents are true: their examples are run, and no command is missing from them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::collections::BTreeSet;

use poppo_tests::transcript::{Bindings, show};
use poppo_tests::{Connection, Reply as _, Server, artifacts};

/// Commands that only Poppo itself says; they are described under "The resolved form".
const INTERNAL: [&str; 1] = ["poppo.load"];

#[test]
fn the_examples_in_the_command_reference_are_true() {
    assert!(run_examples("docs/commands.md") > 10, "the examples were not found");
}

#[test]
fn the_examples_in_the_readme_are_true() {
    run_examples("README.md");
}

#[test]
fn the_examples_of_free_state_are_true() {
    assert!(run_examples("docs/free-state.md") > 0, "the examples were not found");
}

#[test]
fn every_command_has_a_heading_in_the_command_reference_and_every_heading_a_command() {
    let server = Server::start();
    let registered: BTreeSet<String> = match server.connect().cmd("COMMAND LIST FILTERBY PATTERN poppo.*") {
        redis::Value::Array(names) | redis::Value::Set(names) => names
            .iter()
            .filter_map(|name| Some(name.text()?.to_lowercase()))
            .filter(|name| !INTERNAL.contains(&name.as_str()))
            .collect(),
        other => panic!("{}", show(&other)),
    };
    let text = document("docs/commands.md");
    let described: BTreeSet<String> = text
        .lines()
        .filter_map(|line| Some(line.strip_prefix("## ")?.to_lowercase()))
        .filter(|heading| heading.starts_with("poppo."))
        .collect();
    assert_eq!(described, registered);
    for internal in INTERNAL {
        let usage = format!("`{} ", internal.to_uppercase());
        assert!(text.contains(&usage), "{internal} is not described");
    }
}

#[test]
fn the_summaries_that_the_server_gives_name_the_arguments_of_the_command_reference() {
    let server = Server::start();
    let mut connection = server.connect();
    let text = document("docs/commands.md");
    // What only Poppo itself says, nobody needs help with.
    let text = text.split("## The resolved form").next().unwrap();
    let usages = text.lines().filter_map(|line| {
        let usage = line.strip_prefix("`POPPO.")?;
        usage.split_once('`').map(|(usage, _)| usage)
    });
    for usage in usages {
        let (command, arguments) = usage.split_once(' ').expect("a command takes arguments");
        let docs = show(&connection.ok(&format!("COMMAND DOCS poppo.{command}"))).to_uppercase();
        // What is written in capitals is typed as it stands: an option.
        let options = arguments
            .split(|c: char| !c.is_ascii_alphabetic())
            .filter(|word| word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase()));
        for option in options {
            assert!(
                docs.contains(&format!("\"{option}\"")),
                "COMMAND DOCS poppo.{command} does not know {option}:\n{docs}"
            );
        }
    }
}

fn document(name: &str) -> String {
    let path = artifacts::workspace().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs the ```` ```redis ```` blocks of a document in order against one server, and answers how many there were.
fn run_examples(name: &str) -> usize {
    let text = document(name);
    let blocks = blocks(&text);
    if blocks.is_empty() {
        return 0;
    }
    let server = Server::start();
    let mut connection = server.connect();
    let failures: Vec<String> = blocks
        .iter()
        .filter_map(|(line, block)| {
            let difference = run_block(&mut connection, block).err()?;
            Some(format!("{name}, the block at line {line}:\n{difference}"))
        })
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    blocks.len()
}

/// The blocks of a document, each with the number of its first line.
fn blocks(text: &str) -> Vec<(usize, Vec<&str>)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, Vec<&str>)> = None;
    for (index, line) in text.lines().enumerate() {
        match &mut open {
            None if line == "```redis" => open = Some((index + 2, Vec::new())),
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some((_, block)) => block.push(line),
            None => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// Runs the commands of one block; each block has its own `$names`.
fn run_block(connection: &mut Connection, block: &[&str]) -> Result<(), String> {
    let mut bindings = Bindings::default();
    let mut lines = block.iter().peekable();
    while let Some(line) = lines.next() {
        let command = line.strip_prefix("> ").ok_or(format!("neither command nor answer: {line}"))?;
        let mut expected = Vec::new();
        while let Some(answer) = lines.next_if(|line| !line.starts_with("> ")) {
            expected.push(*answer);
        }
        let command = bindings.fill(command);
        let actual = show(&connection.cmd(&command));
        bindings.check(&expected.join("\n"), &actual).map_err(|difference| format!("> {command}\n{difference}"))?;
    }
    Ok(())
}
