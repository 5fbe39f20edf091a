#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;

fn read(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("poppo.toml");
    fs::write(&file, text).unwrap();
    let variable =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    Config::load(Some(&file), variable)
        .map_err(|failure| failure.message.replace(&format!("{}/", folder.path().display()), ""))
}

fn error(text: &str) -> String {
    read(text, &[]).map(|config| format!("{config:?}")).unwrap_err()
}

#[test]
fn the_example_is_what_is_so_by_default() {
    let example = include_str!("../../../../poppo.toml.example");
    // What is commented out with `#key = …` or `#[section]` is the default.
    let uncommented: String = example
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    let (told, untold) = (read(example, &[]).unwrap(), read(&uncommented, &[]).unwrap());
    assert_eq!(told.projects[0].key.as_str(), "acme/widgets");
    let shown = |config: &Config| format!("{:#?}{:#?}{:#?}", config.duties, config.http.listen, config.projects);
    assert_eq!(shown(&told), shown(&untold));
}

#[test]
fn nothing_said_is_the_project_poppo_on_this_host() {
    let config = read("", &[]).unwrap();
    assert_eq!(config.projects.len(), 1);
    assert_eq!(config.projects[0].key.as_str(), "poppo");
    assert_eq!(config.host(), Life::current().host);
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8787");
}

#[test]
fn an_error_names_file_line_and_key() {
    let cases = [
        ("url = 5", "poppo.toml:1: url: must be a string"),
        ("\n\n[http]\nlisten = \"here\"", "poppo.toml:4: http.listen: \"here\" must be an address and a port"),
        ("[[project]]\nkey = \"\"", "poppo.toml:2: project.key: a project's key must not be empty"),
        ("[[project]]\nkey = \"a\"\nrepository = \"b\"", "poppo.toml:3: project.repository: \"b\" must be owner/name"),
        (
            "[[project]]\nkey=\"a\"\n[project.repair]\npolicy=\"no\"",
            "poppo.toml:4: project.repair.policy: unknown variant",
        ),
        (
            "[[project]]\nkey=\"a\"\n[project.labels]\nsweep=\"1s\"",
            "poppo.toml:4: project.labels.sweep: \"1s\" must be a duration from 10s to 1day",
        ),
        ("[github]\nreserve = 91", "poppo.toml:2: github.reserve: must be a number from 0 to 90 (percent)"),
        ("[duty]\n", "poppo.toml:1: unknown field `duty`"),
        ("[[project]]\nrepository = \"a/b\"", "poppo.toml:1: project: missing field `key`"),
        ("[http", "poppo.toml:1: "),
    ];
    for (text, expected) in cases {
        let message = error(text);
        assert!(message.starts_with(expected), "{text}\n  said     {message}\n  expected {expected}");
    }
    let missing = Config::load(Some(Path::new("/nowhere/poppo.toml")), |_| None).unwrap_err();
    assert!(missing.message.starts_with("/nowhere/poppo.toml: "), "{}", missing.message);
}

#[test]
fn what_contradicts_itself_is_refused_where_it_stands() {
    let cases = [
        ("[[project]]\nkey=\"a\"\n[[project]]\nkey=\"a\"", "4: project.key: project a is there twice"),
        (
            "[[project]]\nkey=\"a\"\nrepository=\"o/r\"\n[[project]]\nkey=\"b\"\nrepository=\"O/R\"",
            "6: project.repository: project b: its repository is another project's already",
        ),
        (
            "[[project]]\nkey=\"a\"\n[project.labels]\n\nerror = \"Processing\"",
            "5: project.labels.error: project a: \"Processing\" stands for two statuses",
        ),
        (
            "[[project]]\nkey=\"a\"\nlegacy-view=\"bare\"\n[[project]]\nkey=\"b\"\nlegacy-view=\"bare\"",
            "6: project.legacy-view: projects a and b are both \"bare\"",
        ),
        ("[http]\nlisten = \"0.0.0.0:80\"", "2: http.listen: others than this host can reach 0.0.0.0:80"),
        ("[http]\ntoken-file = \"/nowhere\"", "2: http.token-file: /nowhere: No such file"),
        ("[http]\nwebhook-secret-files = [\"/nowhere\"]", "2: http.webhook-secret-files: /nowhere: No such file"),
        ("[github]\napp-id = 1", "2: github.app-id: it needs github.app-key or github.app-key-file"),
        ("[github]\napp-key = \"hunter2\"", "2: github.app-key: it needs github.app-id"),
        ("[github]\napp-id = 1\napp-key = \"hunter2\"", "3: github.app-key: the App's key is not the private key"),
        ("[github]\ntoken = \"a\"\napp-id = 1\napp-key = \"k\"", "3: github.app-id: it and github.token exclude"),
        ("[github]\ntoken = \"hunter2\"\ntoken-file = \"b\"", "3: github.token-file: it and github.token exclude"),
        ("[github]\ntoken = \"hunter2\\u0007x\"", "2: github.token: the token has signs that no token has"),
        ("url = \"http://:hunter2@h\"", "1: url: the URL http://:***@h cannot be used"),
    ];
    for (text, expected) in cases {
        let message = error(text);
        assert!(message.starts_with(&format!("poppo.toml:{expected}")), "{text}\n  said     {message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn what_a_variable_says_is_blamed_on_it() {
    let of = |text: &str, name: &str, value: &str| read(text, &[(name, value)]).unwrap_err();
    let message = of("[github]\ntoken-file = \"/somewhere\"", "POPPO_GITHUB_TOKEN_FILE", "/nowhere");
    assert!(message.starts_with("POPPO_GITHUB_TOKEN_FILE: /nowhere: "), "{message}");
    let message = of("[http]\nlisten = \"127.0.0.1:80\"", "POPPO_HTTP_LISTEN", "0.0.0.0:80");
    assert!(message.starts_with("POPPO_HTTP_LISTEN: others than this host"), "{message}");
    let message = of("[github]\napp-id = 1", "POPPO_GITHUB_TOKEN", "hunter2");
    assert_eq!(message, "poppo.toml:2: github.app-id: it and github.token exclude each other");
}

#[test]
fn the_environment_goes_over_the_file() {
    let text = "url = \"redis://a\"\n[github]\ntoken-file = \"/nowhere\"";
    let variables = [
        ("POPPO_URL", "redis://b"),
        ("POPPO_GITHUB_TOKEN", "secret-1"),
        ("POPPO_DUTIES_VIEW", "false"),
        ("POPPO_HTTP_WEBHOOK_SECRETS", "x, y"),
        ("POPPO_HOST", ""),
    ];
    let config = read(text, &variables).unwrap();
    assert_eq!(config.url.as_ref().unwrap().reveal(), "redis://b");
    assert_eq!(config.github.token.as_ref().unwrap().reveal(), "secret-1");
    assert!(!config.duties.view && config.duties.labels);
    assert_eq!(config.http.webhook_secrets.len(), 2);
    let message = read("", &[("POPPO_HTTP_LISTEN", "nowhere")]).unwrap_err();
    assert!(message.starts_with("POPPO_HTTP_LISTEN: \"nowhere\" must be"), "{message}");
    assert_eq!(read("", &[("POPPO_DUTIES_VIEW", "2")]).unwrap_err(), "POPPO_DUTIES_VIEW: must be true or false");
}

#[test]
fn the_shells_token_is_the_last_resort() {
    let token = |text: &str| {
        let config = read(text, &[("GITHUB_TOKEN", "shell")]).unwrap();
        config.github.token.map(|token| token.reveal().to_owned())
    };
    assert_eq!(token("").as_deref(), Some("shell"));
    assert_eq!(token("[github]\ntoken = \"file\"").as_deref(), Some("file"));
}

#[test]
fn no_secret_is_ever_shown() {
    let config = read("[github]\ntoken = \"hunter2\"\n[http]\nwebhook-secrets = [\"hunter2\"]", &[]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let misplaced = [
        "[http]\nwebhook-secrets = \"hunter2\"",
        "github = \"hunter2\"",
        "[github]\ntoken = hunter2",
        "[github]\ntoken = [\"hunter2\"]",
    ];
    for text in misplaced {
        assert!(!error(text).contains("hunter2"), "{}", error(text));
    }
    assert!(error(misplaced[0]).contains("invalid type: string, expected a sequence"), "{}", error(misplaced[0]));
}

#[test]
fn a_secret_may_be_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "hunter2\n").unwrap();
    let config = read(&format!("[github]\ntoken-file = {file:?}"), &[]).unwrap();
    assert_eq!(config.github.token.unwrap().reveal(), "hunter2");
    fs::write(&file, "\n").unwrap();
    assert!(error(&format!("[github]\ntoken-file = {file:?}")).contains("must not be empty"));
}
