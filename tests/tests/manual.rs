//! What is made of the command line itself: completions for shells, and the manual.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use poppo_tests::artifacts;
use poppo_tests::command::{bare, json, output};
use poppo_tests::pty::Terminal;

/// Runs `poppo` without a server.
fn text(arguments: &[&str]) -> String {
    let mut command = bare(Path::new("."));
    command.args(arguments);
    let output = output(command);
    assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The subcommands that a help lists, each with what it says of it.
fn commands(of: &[&str]) -> Vec<(String, String)> {
    let help = text(&[of, &["-h"]].concat());
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // What is too long for a line goes on further to the right.
    let listed = listed.filter(|line| !line.starts_with("   "));
    let both = listed.map(|line| line.trim().split_once(' ').unwrap_or((line.trim(), "")));
    both.map(|(name, about)| (name.to_owned(), about.trim().to_owned())).filter(|(name, _)| name != "help").collect()
}

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// What bash offers for the last of these words.
fn completed(words: &[&str]) -> BTreeSet<String> {
    // As bash itself calls the function: the command, the word, and the word before it.
    let script = "source <(\"$POPPO\" completions bash); \
        [[ $(complete -p poppo) == *'-F _poppo poppo' ]] || exit 9; \
        COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
        _poppo poppo \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; \
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let output = Command::new("bash")
        .args(["--norc", "-c", script, "bash"])
        .args(words)
        .env("POPPO", artifacts::poppo())
        .output()
        .expect("bash starts");
    assert!(output.status.success() && output.stderr.is_empty(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    let all = names();
    assert!(all.len() > 20 && all.contains("completions") && all.contains("man"), "{all:?}");
    let offered = completed(&["poppo", ""]);
    let words: BTreeSet<String> = offered.iter().filter(|word| !word.starts_with('-')).cloned().collect();
    let mut expected = all.clone();
    expected.insert("help".to_owned());
    assert_eq!(words, expected, "every command, and none that is hidden");
    assert_eq!(completed(&["poppo", "enq"]), ["enqueue".to_owned()].into());
    let options = completed(&["poppo", "list", "--"]);
    assert!(options.contains("--queue") && options.contains("--json") && !options.contains("--retry"), "{options:?}");
    let shells = completed(&["poppo", "completions", ""]);
    assert!(["bash", "zsh", "fish"].iter().all(|shell| shells.contains(*shell)), "{shells:?}");
    assert!(completed(&["poppo", "config", "s"]).contains("set"));
}

/// Whether a shell is there; where it has to be, it is.
#[track_caller]
fn is_there(shell: &str) -> bool {
    let is_there = has(shell);
    if !is_there {
        let is_needed = std::env::var_os("POPPO_REQUIRE_CLIENTS").is_some();
        assert!(!is_needed, "{shell} is missing: scripts/install-deps --clients installs it");
        println!("skipped: {shell} is not installed");
    }
    is_there
}

/// The names of all commands, as the help lists them.
fn names() -> BTreeSet<String> {
    commands(&[]).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn zsh_completes_commands_options_and_values_on_a_key() {
    if !is_there("zsh") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("_poppo"), text(&["completions", "zsh"])).unwrap();
    let mut command = Command::new("zsh");
    command.args(["-f", "-i"]).env("HOME", home.path()).env("LC_ALL", "C.UTF-8").current_dir(home.path());
    let mut shell = Terminal::start(&command, 60, 180);
    shell.press(
        "fpath=($PWD $fpath); autoload -U compinit; compinit -u -d dump; PS1='$((6 * 7))> '; setopt promptsubst\r",
    );
    shell.wait_for("42> ");
    // What stands there completed was not typed so.
    let line = |shell: &mut Terminal, typed: &str, completed: &str| {
        shell.press(&format!("\x15{typed}\t"));
        shell.wait_for(&format!("42> {completed}"));
    };
    line(&mut shell, "poppo enq", "poppo enqueue");
    line(&mut shell, "poppo list --qu", "poppo list --queue");
    line(&mut shell, "poppo completions f", "poppo completions fish");
    line(&mut shell, "poppo config s", "poppo config set");
    line(&mut shell, "poppo --proj", "poppo --project");
    shell.press("\x15poppo \t\t");
    for (name, about) in commands(&[]) {
        // Behind each command stands what it is for.
        shell.wait_for(&format!("{name} "));
        shell.wait_for(about.get(..20).unwrap_or(&about));
    }
    assert!(!shell.text().contains("demo-note"));
}

#[test]
fn fish_completes_commands_options_and_values() {
    if !is_there("fish") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let completed = |line: &str| {
        let script = "$POPPO completions fish | source; complete -C $argv[1]";
        let output = Command::new("fish")
            .args(["--no-config", "-c", script, line])
            .env("POPPO", artifacts::poppo())
            .env("HOME", home.path())
            .current_dir(home.path())
            .output()
            .expect("fish starts");
        assert!(output.status.success() && output.stderr.is_empty(), "{line}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let words = text.lines().map(|line| line.split_once('\t').map_or(line, |(word, _)| word).to_owned());
        words.collect::<BTreeSet<String>>()
    };
    let all = completed("poppo ");
    let missing: Vec<String> = names().into_iter().filter(|name| !all.contains(name)).collect();
    assert!(missing.is_empty() && !all.contains("demo-note"), "{missing:?} of {all:?}");
    assert_eq!(completed("poppo enq"), ["enqueue".to_owned()].into());
    assert_eq!(completed("poppo list --qu"), ["--queue".to_owned()].into());
    assert_eq!(completed("poppo config s"), ["set".to_owned()].into());
    let shells = completed("poppo completions ");
    assert!(["bash", "zsh", "fish"].iter().all(|shell| shells.contains(*shell)), "{shells:?}");
}

#[test]
fn an_unknown_shell_is_a_usage_error() {
    let mut unknown = bare(Path::new("."));
    unknown.args(["completions", "csh"]);
    assert_eq!(output(unknown).status.code(), Some(2));
}

/// Every command and what the help says of it, those of `config` too.
fn all_pages() -> Vec<(String, String)> {
    let mut pages = vec![("poppo".to_owned(), "issues".to_owned())];
    for (name, about) in commands(&[]) {
        for (nested, about) in commands(&[&name]) {
            pages.push((format!("poppo-{name}-{nested}"), about));
        }
        pages.push((format!("poppo-{name}"), about));
    }
    pages
}

#[test]
fn every_command_has_a_page_that_says_what_it_does() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("not/there/yet");
    let mut command = bare(directory.path());
    command.args(["man", "--dir"]).arg(&folder);
    let listed = json(command);
    let written: BTreeSet<String> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path().display().to_string()).collect();
    let files = listed["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap().to_owned());
    assert_eq!(files.collect::<BTreeSet<_>>(), written);

    let pages = all_pages();
    assert_eq!(written.len(), pages.len(), "{written:?}");
    let reads = has("man");
    if !reads {
        eprintln!("man is not installed: it did not render the pages");
    }
    for (name, about) in pages {
        let file = folder.join(format!("{name}.1"));
        let page = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        let plain = page.replace("\\-", "-").replace("\\*(Aq", "'");
        let (_, what) = plain.lines().find_map(|line| line.split_once(" - ")).unwrap_or_else(|| panic!("{page}"));
        assert!(
            !what.is_empty() && what.contains(about.split_once("  ").map_or(about.as_str(), |(about, _)| about)),
            "{name}: {what}"
        );
        assert!(plain.contains(".SH DESCRIPTION\n") && plain.contains(".SH SYNOPSIS\n"), "{name}");
        assert!(plain.contains("\"poppo 0.") && !plain.contains("demo-note"), "{name}");
        // Behind a tag come the option and, on a line of its own, what it is for.
        for tag in plain.split("\n.TP\n").skip(1) {
            let mut lines = tag.lines();
            let option = lines.next().unwrap();
            let said = lines.next().unwrap_or_default();
            assert!(!said.is_empty() && !said.starts_with(".S") && !said.starts_with(".TP"), "{name}: {option}");
        }
        if reads {
            let mut man = Command::new("man");
            man.args(["--warnings", "-l"]).arg(&file).envs([("MANWIDTH", "100"), ("LC_ALL", "C.UTF-8")]);
            let output = man.output().unwrap();
            let shown = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success() && output.stderr.is_empty(), "{name}: {output:?}");
            assert!(shown.contains("NAME") && shown.contains("OPTIONS"), "{name}: {shown}");
        }
    }
}

#[test]
fn one_page_is_printed_and_an_unknown_one_is_a_usage_error() {
    assert!(text(&["man"]).contains(".TH poppo 1"));
    assert!(text(&["man", "work"]).contains(".TH poppo-work 1"));
    assert!(text(&["man", "config", "set"]).contains(".TH poppo-config-set 1"));
    let mut unknown = bare(Path::new("."));
    unknown.args(["man", "nowhere"]);
    let output = output(unknown);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere"));
    let mut nowhere = bare(Path::new("."));
    nowhere.args(["man", "--dir", "/dev/null/pages"]);
    let output = self::output(nowhere);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("/dev/null/pages"));
}
