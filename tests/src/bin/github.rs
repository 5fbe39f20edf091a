//! A GitHub of one's own, for `make run` and for trying things by hand: `cargo run -p poppo-tests --bin poppo-github`.
//!
//! It prints the base of its REST API, alone on the first line, and ends when its stdin is closed or it is signalled, so
//! that it never outlives whoever started it. Its token is `token-of-the-tests`.
#![allow(clippy::expect_used, reason = "a helper: a panic is its report")]

use std::io::{Read as _, Write as _};

use clap::Parser;
use poppo_tests::github::GitHub;

/// Serves the parts of GitHub's API that Poppo uses, from memory.
#[derive(Debug, Parser)]
#[command(name = "poppo-github")]
struct Arguments {
    /// The port on 127.0.0.1; 0 is any that is free.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Serve as GitHub Enterprise does, under /api/v3.
    #[arg(long)]
    enterprise: bool,
    /// A repository to have, as OWNER/NAME; may be repeated.
    #[arg(long = "repository", value_name = "OWNER/NAME", value_parser = repository)]
    repositories: Vec<String>,
    /// Open that many issues in each repository.
    #[arg(long, default_value_t = 0)]
    issues: u64,
    /// Put this label on each of them; may be repeated.
    #[arg(long = "label", value_name = "NAME")]
    labels: Vec<String>,
}

fn repository(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((owner, name)) if !owner.is_empty() && !name.is_empty() && !name.contains('/') => Ok(text.to_owned()),
        _ => Err("a repository is named OWNER/NAME".to_owned()),
    }
}

fn main() {
    let arguments = Arguments::parse();
    let mut builder = GitHub::builder().port(arguments.port);
    if arguments.enterprise {
        builder = builder.enterprise();
    }
    let github = builder.start();
    let labels: Vec<&str> = arguments.labels.iter().map(String::as_str).collect();
    for name in &arguments.repositories {
        let repository = github.repository(name);
        for number in 1..=arguments.issues {
            repository.open(&format!("Issue {number}"), &labels);
        }
    }
    println!("{}", github.url());
    std::io::stdout().flush().expect("whoever started this reads its first line");
    // An error is an end, too.
    let _end = std::io::stdin().read_to_end(&mut Vec::new());
}
