//! What earlier versions wrote is read by this one, and says what it said.
//!
//! `tests/golden/README.md` says what lies there and how it came to be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::path::{Path, PathBuf};

use poppo_tests::golden::{PROJECT, ask, directories, directory, lacking, patient, read_portrait, unpack};
use poppo_tests::{Builder, Connection, Reply as _, rewrite_aof, wait_until};
use serde_json::Value as Json;

/// The golden files of one version.
struct Version {
    name: String,
    media: Vec<PathBuf>,
    portrait: Vec<(String, Json)>,
}

fn versions() -> Vec<Version> {
    let versions: Vec<Version> = directories(&directory())
        .into_iter()
        .map(|path| Version {
            name: path.file_name().unwrap().to_string_lossy().into_owned(),
            media: directories(&path),
            portrait: read_portrait(&path),
        })
        .collect();
    assert!(!versions.is_empty(), "no golden files in {}", directory().display());
    versions
}

fn name(medium: &Path) -> &str {
    medium.file_name().unwrap().to_str().unwrap()
}

/// Lays a medium out in a new directory; it and a server for it.
fn laid_out(medium: &Path) -> (tempfile::TempDir, Builder) {
    let place = tempfile::tempdir().unwrap();
    unpack(medium, place.path());
    let aof = if place.path().join("appendonlydir").exists() { "yes" } else { "no" };
    let builder = patient(place.path()).arg("appendonly", aof);
    (place, builder)
}

impl Version {
    #[track_caller]
    fn assert_shown(&self, connection: &mut Connection, when: &str) {
        let name = &self.name;
        assert_eq!(connection.info("poppo", "poppo_apply_failures"), "0", "{name}, {when}");
        for (line, expected) in &self.portrait {
            let (_, answered) = ask(connection, line.clone());
            if let Some(lack) = lacking(expected, &answered) {
                panic!("{name}, {when}: {line}: the answer has changed\n{lack}");
            }
        }
    }

    /// The answer to a command of the portrait whose line starts so.
    fn expected(&self, start: &str) -> &Json {
        let found = self.portrait.iter().find(|(line, _)| line.starts_with(start));
        &found.unwrap_or_else(|| panic!("no {start} in the portrait")).1
    }
}

#[test]
fn what_earlier_versions_wrote_loads_and_shows_what_it_showed_then() {
    for version in versions() {
        // Compared by what they show, not by DUMP: what a later version keeps besides, it can make of commands that it
        // replays, but not of a file that has none of it. That their bytes were equal then, the generator has seen.
        for medium in &version.media {
            let (_place, builder) = laid_out(medium);
            let server = builder.start();
            version.assert_shown(&mut server.connect(), name(medium));
        }
    }
}

#[test]
fn what_earlier_versions_wrote_survives_being_saved_and_rewritten_by_this_one() {
    for version in versions() {
        for medium in &version.media {
            let (place, builder) = laid_out(medium);
            let place = place.path();
            let mut server = builder.start();
            let before = server.connect().dump(PROJECT);
            server.shutdown("SAVE");
            drop(server);
            let _none = std::fs::remove_dir_all(place.join("appendonlydir"));

            let mut server = patient(place).start();
            let mut connection = server.connect();
            version.assert_shown(&mut connection, &format!("{} after a SAVE", name(medium)));
            assert!(connection.dump(PROJECT) == before, "{} after a SAVE", name(medium));
            connection.ok("CONFIG SET appendonly yes");
            wait_until("there is an AOF", || {
                connection.info("persistence", "aof_rewrite_in_progress") == "0"
                    && connection.info("persistence", "aof_rewrite_scheduled") == "0"
            });
            server.shutdown("NOSAVE");
            drop(server);
            std::fs::remove_file(place.join("dump.rdb")).unwrap();

            let mut server = patient(place).arg("appendonly", "yes").start();
            for preamble in ["yes", "no"] {
                let mut connection = server.connect();
                connection.ok(&format!("CONFIG SET aof-use-rdb-preamble {preamble}"));
                rewrite_aof(&mut connection);
                server.shutdown("NOSAVE");
                let base = files(&place.join("appendonlydir")).into_iter().find(|(name, _)| name.contains(".base."));
                let base = base.unwrap().1;
                assert_eq!(base.starts_with(b"*"), preamble == "no", "the AOF was not rewritten");
                server.start_again();
                let when = format!("{} after a rewrite with preamble {preamble}", name(medium));
                let mut connection = server.connect();
                version.assert_shown(&mut connection, &when);
                assert!(connection.dump(PROJECT) == before, "{when}");
            }
        }
    }
}

#[test]
fn a_project_of_an_earlier_version_goes_on() {
    for version in versions() {
        let (_place, builder) = laid_out(&version.media[0]);
        let server = builder.start();
        let mut connection = server.connect();
        let p = PROJECT;
        let rows = version.expected(&format!("POPPO.LIST {p} COUNT"));
        let rows = rows[1].as_array().unwrap();
        let last = version.expected(&format!("POPPO.STATS {p}"))["lastToken"].as_i64().unwrap();
        if version.expected(&format!("POPPO.STATS {p}"))["queue"].is_object() {
            assert_queue_goes_on(&mut connection);
        }
        let (mut held, mut ended) = (0, 0);
        for row in rows {
            let (issue, token) = (row["issue"].as_i64().unwrap(), row["token"].as_i64().unwrap());
            let process = row["process"].as_str().unwrap();
            let line = format!("POPPO.CHECKIN {p} {issue} {process} STATUS cancelled TOKEN {token}");
            if matches!(connection.ok(&format!("POPPO.GET {p} {issue}")), redis::Value::Nil) {
                continue;
            }
            if row["status"] == "processing" {
                connection.ok(&line);
                held += 1;
            } else if row["status"] != "cancelled" {
                connection.refused(&line, "STALE");
                ended += 1;
            }
            // It was completed when it is said so, and only then.
            let record = connection.ok(&format!("POPPO.GET {p} {issue}"));
            let once = connection.cmd(&format!("POPPO.CHECKOUT {p} {issue} newcomer ONCE"));
            match once.error() {
                Some(error) => {
                    assert!(error.starts_with("DONE"), "{issue}: {error}");
                    assert!(record.get("completedTime").is_some(), "{issue}");
                }
                None => {
                    assert!(record.get("completedTime").is_none(), "{issue}");
                    assert!(once.number() > last, "{issue}: {} {last}", once.number());
                }
            }
        }
        assert!(held > 256 && ended > 256, "{held} {ended}");
    }
}

/// What no reading command shows of the tasks that the generator left behind.
fn assert_queue_goes_on(connection: &mut Connection) {
    let p = PROJECT;
    // Ids of finished tasks are remembered, as many as were kept.
    for (issue, id, queued) in [(33_005, "comment-320", 0), (263, "third-done-13", 0), (33_001, "comment-1", 1)] {
        assert_eq!(connection.int(&format!("POPPO.ENQUEUE {p} {issue} ID {id}")), queued, "{id}");
    }
    // A claim can be repeated, even while the project is drained.
    let claim = format!("POPPO.CLAIM {p} third-runner INCARNATION i REQ");
    assert_eq!(connection.ok(&format!("{claim} req-1")).count("issue"), 269);
    assert_eq!(connection.cmd(&format!("{claim} req-2")), redis::Value::Nil);
    connection.ok(&format!("POPPO.DRAIN {p} OFF"));
    // And NEXT knows which types it asked for.
    connection.ok(&format!("POPPO.ENQUEUE {p} 40000 TYPE unheard-of"));
    let next = connection.ok(&format!("POPPO.CHECKIN {p} 269 third-runner STATUS completed NEXT"));
    assert_eq!(next.rows()[1].count("issue"), 40_000);
    connection.ok(&format!("POPPO.EVICT {p} 40000"));
    connection.ok(&format!("POPPO.FORGET {p} 40000"));
    connection.ok(&format!("POPPO.FORGET {p} 269"));
}

#[test]
fn the_golden_files_hold_what_their_names_say() {
    for version in versions() {
        let mut seen = Vec::new();
        for medium in &version.media {
            let (place, _) = laid_out(medium);
            let found = match name(medium) {
                "rdb" => files(place.path()),
                _ => files(&place.path().join("appendonlydir")),
            };
            let part = |end: &str| &found.iter().find(|(name, _)| name.ends_with(end)).unwrap().1;
            let loads = |bytes: &[u8]| count(bytes, b"POPPO.LOAD");
            let commands = |bytes: &[u8]| count(bytes, b"POPPO.") - loads(bytes);
            match name(medium) {
                "rdb" => assert!(part("dump.rdb").starts_with(b"REDIS")),
                "aof-preamble" => {
                    assert!(part(".base.rdb").starts_with(b"REDIS"));
                    assert!(commands(part(".incr.aof")) > 30);
                }
                "aof-pieces" => {
                    let pieces = loads(part(".base.aof"));
                    assert!(pieces >= 6, "{pieces} pieces: a head, two of lives, three of issues");
                    assert!(commands(part(".incr.aof")) > 30);
                }
                "aof-commands" => {
                    assert_eq!(loads(part(".incr.aof")), 0);
                    assert!(commands(part(".incr.aof")) > 500);
                    assert_eq!(count(part(".base.aof"), b"POPPO."), 0);
                }
                other => panic!("a test should say what {other} is"),
            }
            seen.push(name(medium));
        }
        assert_eq!(seen, ["aof-commands", "aof-pieces", "aof-preamble", "rdb"], "{}", version.name);
    }
}

/// The files of a directory: name and content.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file());
    files.map(|path| (name(&path).to_owned(), std::fs::read(&path).unwrap())).collect()
}

fn count(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).filter(|window| *window == what).count()
}
