//! Poppo as a citizen of redis-server: transactions, scripts, memory, ACL, introspection, configuration, panics.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use poppo_tests::transcript::{show, split};
use poppo_tests::{Connection, Protocol, Reply as _, Server, artifacts, wait_until};
use redis::Value;

/// The names in an array or a set of strings.
fn names(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) | Value::Set(items) => items.iter().filter_map(|item| item.text()).collect(),
        other => panic!("neither array nor set: {}", show(other)),
    }
}

/// Issue 1 of `p` is held by w1 (host h, PID 5), issue 2 is completed, issue 3 is an orphan with the token answered.
fn furnish(connection: &mut Connection) -> i64 {
    connection.ok("POPPO.CHECKOUT p 1 w1 HOST h PID 5");
    connection.ok("POPPO.CHECKOUT p 2 w1");
    connection.ok("POPPO.CHECKIN p 2 w1 STATUS completed");
    let token = connection.int("POPPO.CHECKOUT p 3 w3 HOST h PID 7");
    connection.ok("POPPO.LIVENESS p w3 DEAD HOST h PID 7");
    token
}

#[test]
fn every_command_works_in_a_transaction_and_from_a_script() {
    let server = Server::start();
    let mut connection = server.connect();
    let token = furnish(&mut connection);
    let lines = [
        "POPPO.CHECKOUT p 4 w1".to_owned(),
        "POPPO.HEARTBEAT p w1 BRIEF".to_owned(),
        "POPPO.ORPHANS p".to_owned(),
        format!("POPPO.REPAIR p 3 TOKEN {token}"),
        "POPPO.LIVENESS p w1 ALIVE HOST h PID 5".to_owned(),
        "POPPO.GET p 4".to_owned(),
        "POPPO.LIST p".to_owned(),
        "POPPO.STATS p".to_owned(),
        "POPPO.CONFIG p SET max-attempts 7".to_owned(),
        "POPPO.EVICT p 1".to_owned(),
        "POPPO.CHECKIN p 4 w1 STATUS completed".to_owned(),
        "POPPO.FORGET p 4".to_owned(),
        "POPPO.EVENTS p AFTER 0 BLOCK 0".to_owned(),
        "POPPO.LABELS p BLOCK 0".to_owned(),
        "POPPO.LABELLED p 2 3".to_owned(),
        "POPPO.CLAIM p w5 BLOCK 0".to_owned(),
        "POPPO.ENQUEUE p 5 TYPE fix".to_owned(),
        "POPPO.CLAIM p w5 BLOCK 0 TYPE fix".to_owned(),
        "POPPO.CHECKIN p 5 w5 STATUS error NEXT".to_owned(),
        "POPPO.REVIVE p 5:fix".to_owned(),
        "POPPO.CANCEL p 5".to_owned(),
        "POPPO.DRAIN p ON".to_owned(),
        "POPPO.EXPORT p".to_owned(),
        import(1),
    ];
    connection.ok("COPY p q");
    connection.ok("MULTI");
    for line in &lines {
        assert_eq!(connection.text(line), "QUEUED");
    }
    let results = connection.ok("EXEC");
    for (line, result) in lines.iter().zip(results.rows()) {
        assert_eq!(result.error(), None, "{line}");
    }
    for line in &lines {
        let mut call = split("EVAL \"return redis.call(unpack(ARGV))\" 1 q");
        call.extend(split(&line.replacen(" p ", " q ", 1).replace(" p", " q")));
        let result = connection.call(&call);
        assert_eq!(result.error(), None, "{line}");
    }
    // How long things took is not the same each time, nor which of the buckets that falls in.
    let is_bucket = |line: &str| line.split('"').nth(1).is_some_and(|name| name.parse::<u64>().is_ok());
    let shape = |value: Value| show(&value).lines().filter(|line| !is_bucket(line)).count();
    assert_eq!(shape(connection.ok("POPPO.STATS p")), shape(connection.ok("POPPO.STATS q")));
}

#[test]
fn a_refusal_in_a_transaction_leaves_the_rest_of_it_standing() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1");
    for line in ["MULTI", "POPPO.CHECKOUT p 1 w2", "POPPO.CHECKOUT p 2 w2"] {
        connection.ok(line);
    }
    let results = connection.ok("EXEC");
    assert!(results.rows()[0].error().unwrap().starts_with("HELD"));
    assert!(results.rows()[1].number() > 0);
}

#[test]
fn a_script_sees_refusals_with_their_code() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT p 1 w1");
    let script = "return redis.pcall('POPPO.CHECKOUT', KEYS[1], 1, 'w2').err";
    let error = connection.call(&["EVAL", script, "1", "p"]);
    assert!(error.text().unwrap().starts_with("HELD issue 1"), "{}", show(&error));
}

#[test]
fn at_maxmemory_what_adds_state_is_refused_and_the_rest_still_works() {
    let server = Server::start();
    let mut connection = server.connect();
    let token = furnish(&mut connection);
    connection.ok("CONFIG SET maxmemory 1");
    connection.refused("POPPO.CHECKOUT p 9 w1", "OOM");
    connection.refused("POPPO.CONFIG p SET max-attempts 7", "OOM");
    connection.refused("POPPO.ENQUEUE p 9", "OOM");
    connection.refused("POPPO.CLAIM p w1", "OOM");
    connection.refused("POPPO.CLAIM p w1 BLOCK 0", "OOM");
    connection.refused("POPPO.REVIVE p 9:issue", "OOM");
    connection.refused(&import(1), "OOM");
    for line in [
        "POPPO.HEARTBEAT p w1 PROGRESS half",
        "POPPO.LIVENESS p w1 ALIVE HOST h PID 5",
        &format!("POPPO.REPAIR p 3 TOKEN {token}"),
        "POPPO.CHECKIN p 1 w1 STATUS completed RESULT {} META a b",
        "POPPO.FORGET p 2",
        "POPPO.GET p 1",
        "POPPO.LIST p",
        "POPPO.STATS p",
        "POPPO.ORPHANS p",
        "POPPO.EVENTS p AFTER 0",
        "POPPO.LABELS p",
        "POPPO.LABELLED p 1 6",
        "POPPO.CANCEL p 1",
        "POPPO.DRAIN p ON",
        "POPPO.LIST p QUEUE",
        "POPPO.EXPORT p",
    ] {
        connection.ok(line);
    }
    assert_eq!(connection.ok("POPPO.EVENTS p AFTER 6").rows().len(), 1, "what happens is told even then");
    connection.ok("CONFIG SET maxmemory 0");
    connection.ok("POPPO.CHECKOUT p 9 w1");
    connection.ok("CONFIG SET maxmemory 1");
    assert_eq!(connection.text("POPPO.EVICT p 9"), "error");
}

#[test]
fn an_acl_fences_users_by_key_and_withholds_eviction() {
    let server = Server::start();
    let mut admin = server.connect();
    admin.ok("ACL SETUSER worker on >secret ~acme/* +@all -poppo.evict");
    admin.ok("ACL SETUSER reader on >secret ~acme/* +poppo.get +poppo.list +poppo.stats +poppo.orphans +poppo.events +poppo.labels");
    admin.ok("POPPO.CHECKOUT other/x 1 w1");

    let mut worker = server.connect();
    worker.ok("AUTH worker secret");
    worker.ok("POPPO.CHECKOUT acme/x 1 w1");
    worker.ok("POPPO.HEARTBEAT acme/x w1");
    for line in ["POPPO.CHECKOUT other/x 2 w1", "POPPO.GET other/x 1", "POPPO.STATS other/x", "POPPO.ORPHANS other/x"] {
        worker.refused(line, "NOPERM");
    }
    worker.refused("POPPO.EVICT acme/x 1", "NOPERM");
    worker.ok("POPPO.CHECKIN acme/x 1 w1 STATUS completed");

    let mut reader = server.connect();
    reader.ok("AUTH reader secret");
    for line in ["POPPO.GET acme/x 1", "POPPO.LIST acme/x", "POPPO.STATS acme/x", "POPPO.ORPHANS acme/x"] {
        reader.ok(line);
    }
    for line in ["POPPO.EVENTS acme/x AFTER 0 BLOCK 5", "POPPO.LABELS acme/x BLOCK 5"] {
        assert!(!reader.ok(line).rows().is_empty());
        reader.refused(&line.replace("acme", "other"), "NOPERM");
    }
    reader.refused("POPPO.LABELLED acme/x 1 2", "NOPERM");
    reader.refused("POPPO.CHECKOUT acme/x 2 w1", "NOPERM");
    reader.refused("POPPO.GET other/x 1", "NOPERM");

    // A user who may only read the key may not write it.
    admin.ok("ACL SETUSER looker on >secret %R~acme/* +@all");
    let mut looker = server.connect();
    looker.ok("AUTH looker secret");
    looker.ok("POPPO.GET acme/x 1");
    looker.ok("POPPO.EVENTS acme/x AFTER 0");
    looker.ok("POPPO.LABELS acme/x");
    looker.refused("POPPO.LABELLED acme/x 1 2", "NOPERM");
    looker.refused("POPPO.CHECKOUT acme/x 3 w1", "NOPERM");
    looker.refused("POPPO.FORGET acme/x 1", "NOPERM");
}

/// Whether the server keeps ACL categories for the commands of modules: Redis 7.2 and newer, and Valkey, which calls
/// itself 7.2 for those who ask for Redis.
fn has_categories_for_modules(connection: &mut Connection) -> bool {
    let version = connection.info("server", "redis_version");
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap());
    (numbers.next(), numbers.next()) >= (Some(7), Some(2))
}

#[test]
fn where_module_commands_have_acl_categories_withholding_admin_withholds_eviction() {
    let server = Server::start();
    let mut admin = server.connect();
    admin.ok("POPPO.CHECKOUT p 1 w1");
    if !has_categories_for_modules(&mut admin) {
        println!("skipped: this server keeps no ACL categories for the commands of modules");
        return;
    }
    let named = names(&admin.ok("ACL CAT admin")).into_iter().map(|command| command.to_lowercase());
    let mut withheld: Vec<String> = named.filter(|command| command.starts_with("poppo.")).collect();
    withheld.sort();
    assert_eq!(withheld, ["poppo.evict", "poppo.load"]);
    admin.ok("ACL SETUSER worker on >secret ~* +@all -@admin");
    admin.ok("ACL SETUSER reader on >secret ~* -@all +@read");
    let mut worker = server.connect();
    worker.ok("AUTH worker secret");
    worker.refused("POPPO.EVICT p 1", "NOPERM");
    worker.refused("POPPO.LOAD p FIRST x", "NOPERM");
    worker.ok("POPPO.CHECKIN p 1 w1 STATUS completed");
    let mut reader = server.connect();
    reader.ok("AUTH reader secret");
    reader.ok("POPPO.GET p 1");
    reader.refused("POPPO.CHECKOUT p 2 w1", "NOPERM");
}

#[test]
fn a_watch_is_touched_by_a_success_and_not_by_a_refusal() {
    let server = Server::start();
    let mut watcher = server.connect();
    let mut other = server.connect();
    let token = furnish(&mut other);
    let mut touched = |line: &str| -> bool {
        watcher.ok("WATCH p");
        other.cmd(line);
        watcher.ok("MULTI");
        watcher.ok("PING");
        matches!(watcher.ok("EXEC"), Value::Nil)
    };
    for refused in [
        "POPPO.CHECKOUT p 1 w2",
        "POPPO.CHECKIN p 1 w2 STATUS completed",
        "POPPO.HEARTBEAT p nobody",
        "POPPO.REPAIR p 1 TOKEN 5",
        "POPPO.EVICT p 2",
        "POPPO.FORGET p 1",
        "POPPO.LIVENESS p w1 DEAD HOST other PID 5",
        "POPPO.CONFIG p SET heartbeat-ttl 1",
        "POPPO.GET p 1",
        "POPPO.LIST p",
        "POPPO.CONFIG p GET",
        "POPPO.LABELLED p 2 2",
        "POPPO.CLAIM p w1",
        "POPPO.CANCEL p 9",
        "POPPO.REVIVE p 9:issue",
        "POPPO.DRAIN p OFF",
        "POPPO.ENQUEUE p 9 PAYLOAD {",
        "POPPO.EVENTS p AFTER 0",
        "POPPO.LABELS p",
    ] {
        assert!(!touched(refused), "{refused}");
    }
    for granted in [
        "POPPO.LABELLED p 2 3",
        "POPPO.CHECKOUT p 4 w1",
        "POPPO.HEARTBEAT p w1",
        "POPPO.LIVENESS p w1 ALIVE HOST h PID 5",
        &format!("POPPO.REPAIR p 3 TOKEN {token}"),
        "POPPO.CHECKIN p 4 w1 STATUS completed",
        "POPPO.EVICT p 1",
        "POPPO.FORGET p 1",
        "POPPO.CONFIG p SET heartbeat-ttl 5000",
        "POPPO.ENQUEUE p 9",
        "POPPO.ENQUEUE p 9 PRIORITY high",
        "POPPO.CLAIM p w1",
        "POPPO.CHECKIN p 9 w1 STATUS error NEXT",
        "POPPO.REVIVE p 9:issue",
        "POPPO.CANCEL p 9",
        "POPPO.DRAIN p ON",
        &import(1),
    ] {
        assert!(touched(granted), "{granted}");
    }
}

/// A command: its name, the words it takes at least (its own name among them), the flags it must have.
const COMMANDS: [(&str, i64, &[&str]); 22] = [
    ("poppo.checkout", 4, &["write", "denyoom"]),
    ("poppo.checkin", 6, &["write"]),
    ("poppo.heartbeat", 3, &["write"]),
    ("poppo.orphans", 2, &["readonly"]),
    ("poppo.liveness", 8, &["write"]),
    ("poppo.repair", 5, &["write"]),
    ("poppo.evict", 3, &["write", "admin"]),
    ("poppo.get", 3, &["readonly"]),
    ("poppo.list", 2, &["readonly"]),
    ("poppo.stats", 2, &["readonly"]),
    ("poppo.forget", 3, &["write"]),
    ("poppo.config", 3, &["write", "denyoom"]),
    ("poppo.events", 4, &["readonly", "blocking"]),
    ("poppo.labels", 2, &["readonly", "blocking"]),
    ("poppo.labelled", 4, &["write"]),
    ("poppo.enqueue", 3, &["write", "denyoom"]),
    ("poppo.claim", 3, &["write", "denyoom", "blocking"]),
    ("poppo.cancel", 3, &["write"]),
    ("poppo.revive", 3, &["write", "denyoom"]),
    ("poppo.drain", 3, &["write"]),
    ("poppo.export", 2, &["readonly"]),
    ("poppo.import", 3, &["write", "denyoom"]),
];

/// A piece that is not there yet, and changes something whenever its number is another.
fn import(number: u32) -> String {
    format!(
        r#"POPPO.IMPORT p "{{\"export\":{{\"version\":1}}}}\n{{\"finished\":{{\"issue\":{number},\"id\":\"x\"}}}}""#
    )
}

#[test]
fn the_server_knows_flags_arity_and_key_of_each_command() {
    let server = Server::start();
    let mut connection = server.connect();
    for (command, words, expected) in COMMANDS {
        let info = connection.ok(&format!("COMMAND INFO {command}"));
        let info = info.rows()[0].rows();
        let arity = info[1].number();
        assert!(arity != 0 && arity.abs() <= words, "{command} has the arity {arity}");
        let flags = names(&info[2]);
        for flag in expected {
            assert!(flags.iter().any(|f| f == flag), "{command} is not {flag}: {flags:?}");
        }
        for unwanted in ["readonly", "write", "denyoom", "admin", "blocking"] {
            let wanted = expected.contains(&unwanted);
            assert_eq!(flags.iter().any(|f| f == unwanted), wanted, "{command}: {flags:?}");
        }
        assert_eq!((info[3].number(), info[4].number(), info[5].number()), (1, 1, 1), "{command}");
        let keys = info[8].clone();
        let specs = match &keys {
            Value::Array(specs) | Value::Set(specs) => specs,
            other => panic!("{}", show(other)),
        };
        assert_eq!(specs.len(), 1, "{command}");
        let access = names(specs[0].get("flags").unwrap());
        let reads = expected.contains(&"readonly");
        assert_eq!(access.contains(&"RO".to_owned()), reads, "{command}: {access:?}");
        assert_eq!(access.contains(&"RW".to_owned()), !reads, "{command}: {access:?}");
        let keys = connection.ok(&format!("COMMAND GETKEYS {command} p 1 w STATUS error TOKEN 1 a"));
        assert_eq!(names(&keys), ["p"], "{command}");
    }
}

#[test]
fn the_server_documents_each_command() {
    let server = Server::start();
    let mut connection = server.connect();
    for (command, ..) in COMMANDS {
        let docs = connection.ok(&format!("COMMAND DOCS {command}"));
        let docs =
            docs.get(&command.to_uppercase()).unwrap_or_else(|| panic!("no docs of {command}:\n{}", show(&docs)));
        for field in ["summary", "complexity", "since"] {
            assert!(!docs.field(field).is_empty(), "{command} has no {field}");
        }
        let arguments = docs.get("arguments").unwrap_or_else(|| panic!("{command} has no arguments"));
        let first = &arguments.rows()[0];
        assert_eq!((first.field("name"), first.field("type")), ("project".into(), "key".into()), "{command}");
    }
}

#[test]
fn info_counts_what_happened_and_what_was_refused() {
    let server = Server::start();
    let mut connection = server.connect();
    let token = furnish(&mut connection);
    let refusals = [
        ("held", "POPPO.CHECKOUT p 1 w2".to_owned()),
        ("done", "POPPO.CHECKOUT p 2 w2 ONCE".to_owned()),
        ("stale", "POPPO.CHECKIN p 1 w1 STATUS error TOKEN 5".to_owned()),
        ("notheld", "POPPO.CHECKIN p 9 w1 STATUS error".to_owned()),
        ("noproc", "POPPO.HEARTBEAT p nobody".to_owned()),
        ("inuse", "POPPO.CHECKOUT p 9 w1 INCARNATION j".to_owned()),
        ("alive", String::new()),
        ("err", "POPPO.CHECKOUT p 0 w1".to_owned()),
        ("wrongtype", "POPPO.GET text 1".to_owned()),
    ];
    connection.ok("SET text x");
    connection.ok("POPPO.LIVENESS p w1 ALIVE HOST h PID 5");
    let own = connection.ok("POPPO.GET p 1").count("token");
    let before = connection.text("INFO poppo");
    for (code, line) in &refusals {
        let field = format!("poppo_refused_{code}:");
        assert!(before.contains(&field), "{field} is missing in\n{before}");
        let line = if line.is_empty() { format!("POPPO.REPAIR p 1 TOKEN {own}") } else { line.clone() };
        for _ in 0..3 {
            connection.refused(&line, &code.to_uppercase());
        }
        assert_eq!(connection.info("poppo", &format!("poppo_refused_{code}")), "3", "{code}");
        let counted = connection.info("errorstats", &format!("errorstat_{}", code.to_uppercase()));
        assert_eq!(counted, "count=3", "{code}");
    }
    connection.ok("POPPO.HEARTBEAT p w1");
    connection.ok(&format!("POPPO.REPAIR p 3 TOKEN {token}"));
    connection.ok("POPPO.EVICT p 1");
    connection.refused("POPPO.ENQUEUE p 5 PRIORITY 1001", "ERR");
    connection.ok("POPPO.ENQUEUE p 5");
    connection.ok("POPPO.ENQUEUE p 5");
    connection.ok("POPPO.ENQUEUE p 6 DELAY 60000");
    connection.ok("POPPO.ENQUEUE p 7");
    connection.ok("POPPO.CLAIM p w5 REQ r");
    connection.ok("POPPO.CLAIM p w5 REQ r");
    connection.ok("POPPO.CHECKIN p 5 w5 STATUS error NEXT");
    connection.ok("POPPO.CHECKIN p 7 w5 STATUS error RETRY 60000");
    for (field, expected) in [
        ("projects", "1"),
        ("leases", "0"),
        ("tasks", "2"),
        ("dead_tasks", "1"),
        ("blocked_claims", "0"),
        ("claims", "2"),
        ("enqueued", "3"),
        ("checkouts", "5"),
        ("checkins", "3"),
        ("heartbeats", "1"),
        ("repairs", "2"),
        ("panics", "0"),
        ("apply_failures", "0"),
        ("restart_grace_ms", "0"),
        ("publish", "all"),
        ("warning_maxmemory_policy", ""),
    ] {
        assert_eq!(connection.info("poppo", &format!("poppo_{field}")), expected, "{field}");
    }
    let version = connection.info("poppo", "poppo_version");
    assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{version}");
    connection.ok("POPPO.CHECKOUT q 1 w1");
    connection.ok("POPPO.CHECKOUT q 2 w1");
    assert_eq!(connection.info("poppo", "poppo_projects"), "2");
    assert_eq!(connection.info("poppo", "poppo_leases"), "2");
    connection.ok("FLUSHALL SYNC");
    for field in ["projects", "leases", "tasks", "dead_tasks"] {
        assert_eq!(connection.info("poppo", &format!("poppo_{field}")), "0", "{field}");
    }
}

#[test]
fn projects_are_found_by_their_type() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.ok("POPPO.CHECKOUT acme/x 1 w1");
    connection.ok("SET text x");
    let page = connection.ok("SCAN 0 COUNT 1000 TYPE poppo-prj");
    assert_eq!(names(&page.rows()[1]), ["acme/x"]);
}

#[test]
fn an_evicting_maxmemory_policy_is_warned_of_at_load_and_when_it_is_set() {
    let warned = |server: &Server| server.log().lines().filter(|line| line.contains("maxmemory-policy")).count();
    let server = Server::builder().arg("maxmemory-policy", "allkeys-lru").start();
    assert!(warned(&server) >= 1, "{}", server.log());
    let mut connection = server.connect();
    let warning = connection.info("poppo", "poppo_warning_maxmemory_policy");
    assert!(warning.contains("noeviction"), "{warning:?}");
    connection.ok("CONFIG SET maxmemory-policy noeviction");
    assert_eq!(connection.info("poppo", "poppo_warning_maxmemory_policy"), "");

    let server = Server::start();
    assert_eq!(warned(&server), 0, "{}", server.log());
    let mut connection = server.connect();
    assert_eq!(connection.info("poppo", "poppo_warning_maxmemory_policy"), "");
    connection.ok("CONFIG SET maxmemory-policy allkeys-random");
    wait_until("the warning is in the log", || warned(&server) == 1);
    let warning = connection.info("poppo", "poppo_warning_maxmemory_policy");
    assert!(warning.contains("noeviction"), "{warning:?}");
}

#[test]
fn a_wrong_argument_keeps_the_module_from_loading_and_the_log_says_why() {
    let mut wrong = Vec::new();
    for (arguments, named) in [
        (&["restart-grace", "86400001"][..], "restart-grace"),
        (&["restart-grace", "-1"], "restart-grace"),
        (&["restart-grace", "soon"], "restart-grace"),
        (&["restart-grace"], "restart-grace"),
        (&["bogus", "1"], "bogus"),
        (&["restart-grace", "5", "bogus", "1"], "bogus"),
        (&["restart-grace", "5", "restart-grace", "6"], "restart-grace may be given only once"),
        (&["publish"], "publish needs a value"),
        (&["publish", "on"], "publish must be all, shard or off"),
        (&["publish", "ALL"], "publish must be all, shard or off"),
        (&["publish", "off", "publish", "off"], "publish may be given only once"),
        (&["restart-grace", "5", "publish"], "publish needs a value"),
        (&["publish", "off", "x", "1"], "unknown loadmodule argument 'x': restart-grace and publish are allowed"),
    ] {
        let builder = arguments.iter().fold(Server::builder(), |builder, argument| builder.module_arg(argument));
        match builder.try_start() {
            Ok(_) => wrong.push(format!("{arguments:?} were taken")),
            Err(log) if log.contains("BUG REPORT") => wrong.push(format!("{arguments:?} crashed:\n{log}")),
            Err(log) if log.lines().any(|line| line.contains("poppo") && line.contains(named)) => {}
            Err(log) => wrong.push(format!("{arguments:?}: the log does not say why:\n{log}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let server = Server::builder().module_arg("restart-grace").module_arg(5).start();
    assert_eq!(server.connect().info("poppo", "poppo_restart_grace_ms"), "5");
    let both = ["publish", "shard", "restart-grace", "7"];
    let server = both.iter().fold(Server::builder(), |builder, argument| builder.module_arg(argument)).start();
    assert_eq!(server.connect().info("poppo", "poppo_restart_grace_ms"), "7");
    assert_eq!(server.connect().info("poppo", "poppo_publish"), "shard");
}

#[test]
fn the_grace_is_a_setting_of_the_server_with_a_range() {
    let mut server = Server::builder().start();
    let mut connection = server.connect();
    assert_eq!(connection.ok("CONFIG GET poppo.restart-grace").field("poppo.restart-grace"), "60000");
    for value in ["0", "86400000", "1234"] {
        connection.ok(&format!("CONFIG SET poppo.restart-grace {value}"));
        assert_eq!(connection.info("poppo", "poppo_restart_grace_ms"), value);
    }
    for value in ["-1", "86400001", "soon", "\"\""] {
        connection.refused(&format!("CONFIG SET poppo.restart-grace {value}"), "ERR");
    }
    connection.ok("CONFIG REWRITE");
    server.restart();
    assert_eq!(server.connect().info("poppo", "poppo_restart_grace_ms"), "1234");

    // What was rewritten is newer than the argument of loadmodule.
    let mut server = Server::builder().no_grace().start();
    server.connect().ok("CONFIG SET poppo.restart-grace 4321");
    server.connect().ok("CONFIG REWRITE");
    server.restart();
    assert_eq!(server.connect().info("poppo", "poppo_restart_grace_ms"), "4321");
}

#[test]
fn the_grace_can_stand_in_redis_conf() {
    let server = Server::builder().arg("poppo.restart-grace", 777).start();
    assert_eq!(server.connect().info("poppo", "poppo_restart_grace_ms"), "777");
    for wrong in ["86400001", "-1", "soon"] {
        let log = Server::builder().arg("poppo.restart-grace", wrong).try_start().unwrap_err();
        assert!(log.contains("poppo.restart-grace") && !log.contains("BUG REPORT"), "{wrong}: {log}");
    }
}

#[test]
fn the_example_configuration_starts_a_server_and_fences_its_users() {
    let directory = tempfile::tempdir().unwrap();
    let example = std::fs::read_to_string(artifacts::workspace().join("redis.conf.example")).unwrap();
    let lines = example.lines().map(|line| match line.split(' ').next() {
        Some("loadmodule") => format!("loadmodule \"{}\"", artifacts::module().display()),
        Some("dir") => format!("dir \"{}\"", directory.path().display()),
        // The users are examples in a comment.
        _ if line.starts_with("# user ") => line.trim_start_matches("# ").to_owned(),
        _ => line.to_owned(),
    });
    let configuration = directory.path().join("example.conf");
    std::fs::write(&configuration, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let include = format!("\"{}\"", configuration.display());
    let server = Server::plain().dir(directory.path()).arg("include", include).start();
    let mut connection = server.connect();
    assert_eq!(connection.info("poppo", "poppo_warning_maxmemory_policy"), "");
    assert_eq!(connection.info("persistence", "aof_enabled"), "1");
    connection.ok("POPPO.CHECKOUT other/x 1 w1");
    connection.ok("AUTH worker change-me");
    connection.ok("POPPO.CHECKOUT acme/x 1 w1");
    connection.ok("POPPO.HEARTBEAT acme/x w1");
    connection.refused("POPPO.CHECKOUT other/x 2 w1", "NOPERM");
    connection.refused("POPPO.EVICT acme/x 1", "NOPERM");
    connection.ok("POPPO.CHECKIN acme/x 1 w1 STATUS completed");
    connection.ok("AUTH dispatcher change-me-too");
    connection.ok("POPPO.STATS acme/x");
    connection.ok("POPPO.CHECKOUT acme/x 1 w1");
    connection.refused("POPPO.STATS other/x", "NOPERM");
    connection.refused("POPPO.EVICT acme/x 1", "NOPERM");
}

#[test]
fn each_change_is_a_keyspace_event_and_a_refusal_is_none() {
    let server = Server::builder().no_grace().arg("notify-keyspace-events", "Kd").start();
    let mut listener = server.connect_with(Protocol::Resp2);
    listener.ok("SUBSCRIBE __keyspace@0__:p");
    let mut connection = server.connect();
    let token = furnish(&mut connection);
    connection.refused("POPPO.CHECKOUT p 1 w2", "HELD");
    connection.refused("POPPO.HEARTBEAT p nobody", "NOPROC");
    connection.ok("POPPO.GET p 1");
    connection.ok("POPPO.CHECKOUT other 1 w1");
    connection.ok("POPPO.HEARTBEAT p w1");
    connection.ok(&format!("POPPO.REPAIR p 3 TOKEN {token}"));
    connection.ok("POPPO.EVICT p 1");
    assert_eq!(connection.int("POPPO.LABELLED p 2 2"), 0);
    assert_eq!(connection.int("POPPO.LABELLED p 2 3"), 1);
    connection.ok("POPPO.FORGET p 1");
    connection.ok("POPPO.CONFIG p SET max-attempts 7");
    for line in [
        "POPPO.ENQUEUE p 8",
        "POPPO.ENQUEUE p 8",
        "POPPO.CLAIM p w8",
        "POPPO.CLAIM p w8",
        "POPPO.CHECKIN p 8 w8 STATUS error NEXT",
        "POPPO.REVIVE p 8:issue",
        "POPPO.CANCEL p 8",
        "POPPO.CANCEL p 8",
        "POPPO.DRAIN p ON",
        "POPPO.DRAIN p ON",
        &import(1),
        &import(1),
    ] {
        connection.ok(line);
    }
    let expected = "checkout checkout checkin checkout liveness heartbeat repair evict labelled forget config \
                    enqueue claim checkin revive cancel drain import"
        .split_ascii_whitespace();
    for event in expected {
        let message = names(&listener.message());
        assert_eq!(message, ["message", "__keyspace@0__:p", &format!("poppo.{event}")]);
    }
}

#[test]
fn a_panic_is_answered_and_leaves_nothing_behind() {
    let mut server = Server::builder().with_fault_injection().no_grace().arg("appendonly", "yes").start();
    let replica = server.replica(Server::builder().with_fault_injection());
    let mut connection = server.connect();
    connection.ok("POPPO.CONFIG p SET issues-kept 1");
    let orphan = furnish(&mut connection);
    connection.ok("POPPO.CHECKOUT p 4 w4 HOST h PID 8");
    connection.ok("POPPO.LIVENESS p w4 DEAD HOST h PID 8");
    connection.ok("POPPO.CHECKOUT p 5 w5");
    connection.ok("POPPO.CHECKIN p 5 w5 STATUS error");
    let mut panics = 0;
    let mut untouched = Vec::new();
    for line in [
        "POPPO.CHECKOUT p 9 w9 HOST h PID 9 TITLE t TYPE fix TMUX t INCARNATION i".to_owned(),
        "POPPO.CHECKOUT p 9 w9 INCARNATION i TITLE again".to_owned(),
        "POPPO.CHECKOUT p 10 w9 INCARNATION j".to_owned(),
        "POPPO.CHECKOUT p 4 w9 INCARNATION j TAKEOVER".to_owned(),
        "POPPO.CHECKOUT new 1 w1".to_owned(),
        "POPPO.CHECKIN p 4 w9 STATUS completed RESULT {} REASON r META a b".to_owned(),
        "POPPO.HEARTBEAT p w1 TTL 5000 PROGRESS half".to_owned(),
        "POPPO.LIVENESS p w1 ALIVE HOST h PID 5".to_owned(),
        "POPPO.LIVENESS p w1 DEAD HOST h PID 5".to_owned(),
        format!("POPPO.REPAIR p 3 TOKEN {orphan} REASON r"),
        "POPPO.EVICT p 1 REASON r".to_owned(),
        "POPPO.CONFIG p SET heartbeat-ttl 5000 issues-kept 2".to_owned(),
        "POPPO.CONFIG other SET heartbeat-ttl 5000".to_owned(),
        // Its name is filled in: which version is the current one depends on what was granted before.
        "POPPO.LABELLED".to_owned(),
        "POPPO.CONFIG p SET events-kept 2".to_owned(),
        "POPPO.HEARTBEAT p w9".to_owned(),
        "POPPO.FORGET p 1".to_owned(),
        "POPPO.ENQUEUE p 30 TYPE fix TITLE t PAYLOAD {} DELAY 60000".to_owned(),
        "POPPO.ENQUEUE p 30 TYPE fix PRIORITY high".to_owned(),
        "POPPO.ENQUEUE p 31 ID other".to_owned(),
        "POPPO.ENQUEUE p 32".to_owned(),
        "POPPO.ENQUEUE p 33".to_owned(),
        "POPPO.CLAIM p w9 REQ r TYPES 2 fix issue TMUX t TITLE t".to_owned(),
        "POPPO.CHECKIN p 31 w9 STATUS error REASON r NEXT REQ n".to_owned(),
        "POPPO.REVIVE p other".to_owned(),
        "POPPO.CHECKIN p 32 w9 STATUS completed NEXT".to_owned(),
        "POPPO.CHECKIN p 33 w9 STATUS error RETRY 0".to_owned(),
        "POPPO.CONFIG p SET queue-aging 100".to_owned(),
        "POPPO.CLAIM p w10".to_owned(),
        "POPPO.CANCEL p 31 REASON r".to_owned(),
        "POPPO.EVICT p 31 REQUEUE".to_owned(),
        "POPPO.CANCEL p 33 REASON r".to_owned(),
        "POPPO.CHECKOUT p 30 w9 TYPE fix INCARNATION j".to_owned(),
        "POPPO.EVICT p 30 REQUEUE".to_owned(),
        "POPPO.FORGET p 32".to_owned(),
        "POPPO.DRAIN p ON".to_owned(),
        import(1),
    ] {
        let line = match line.as_str() {
            "POPPO.LABELLED" => {
                let behind = connection.ok("POPPO.LABELS p COUNT 1");
                let row = &behind.rows()[0];
                format!("POPPO.LABELLED p {} {}", row.count("issue"), row.count("version"))
            }
            _ => line,
        };
        let before = panics;
        for n in 1.. {
            assert!(n < 100, "{line} has no end of changes");
            connection.ok(&format!("POPPO.FAULT {n}"));
            let keys = ["p", "new", "other"].map(|key| connection.dump(key));
            let answer = connection.cmd(&line);
            let Some(error) = answer.error() else {
                break;
            };
            assert!(error.starts_with("ERR internal error"), "{line}: {error}");
            panics += 1;
            assert_eq!(connection.text("PING"), "PONG");
            let after = ["p", "new", "other"].map(|key| connection.dump(key));
            assert!(after == keys, "{line}: the panic at change {n} left something behind");
            assert_eq!(connection.info("poppo", "poppo_panics"), panics.to_string(), "{line}");
        }
        connection.ok("POPPO.FAULT 0");
        if panics == before {
            untouched.push(line);
        }
    }
    assert!(untouched.is_empty(), "these have no change that could panic: {untouched:#?}");
    let log = server.log();
    assert!(log.lines().any(|line| line.contains("panic") && line.contains(".rs:")), "{log}");
    // It goes on as if nothing had been, and all who follow agree.
    connection.ok("POPPO.CHECKOUT p 20 w1 INCARNATION z");
    server.wait_for_replicas(&[&replica]);
    let expected = connection.dump("p");
    assert!(replica.connect().dump("p") == expected);
    assert_eq!(replica.connect().info("poppo", "poppo_apply_failures"), "0");
    server.restart();
    let mut connection = server.connect();
    assert!(connection.dump("p") == expected);
    assert_eq!(connection.info("poppo", "poppo_apply_failures"), "0");
}

#[test]
fn the_module_as_it_ships_has_no_fault_injection() {
    let server = Server::start();
    server.connect().refused("POPPO.FAULT 1", "ERR unknown command");
}

#[test]
fn a_client_that_pauses_writes_does_not_stop_readers() {
    let server = Server::start();
    let mut connection = server.connect();
    furnish(&mut connection);
    connection.ok("CLIENT PAUSE 60000 WRITE");
    assert_eq!(connection.ok("POPPO.GET p 1").field("process"), "w1");
    connection.ok("CLIENT UNPAUSE");
    connection.ok("POPPO.CHECKOUT p 7 w1");
}
