//! What the tests run, built on demand: the module, the module with fault injection, the `poppo` binary.
//!
//! `cargo test` builds neither cdylibs nor the binaries of other packages, and a fixed path may hold a stale one.
//! So each test binary asks cargo once and believes the paths that cargo names. Several test binaries at once are
//! serialised by cargo's own lock.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

/// What came out of a build, or why nothing did: asked for by many tests, built once.
type Built = OnceLock<Result<PathBuf, String>>;

/// `libpoppo.so`, or what `POPPO_MODULE` names.
pub fn module() -> &'static Path {
    static PATH: Built = Built::new();
    there(PATH.get_or_init(|| match std::env::var_os("POPPO_MODULE") {
        Some(path) => Ok(absolute(path.into())),
        None => build("poppo-module", "cdylib", &[]),
    }))
}

/// `libpoppo.so` with the feature `fault-injection`, built in a target directory of its own so that the two
/// variants never overwrite each other.
pub fn module_with_fault_injection() -> &'static Path {
    static PATH: Built = Built::new();
    there(PATH.get_or_init(|| {
        let target = target_directory().join("fault-injection");
        let target = target.to_str().expect("a target directory in UTF-8");
        build("poppo-module", "cdylib", &["--features", "fault-injection", "--target-dir", target])
    }))
}

/// The `poppo` command.
pub fn poppo() -> &'static Path {
    static PATH: Built = Built::new();
    there(PATH.get_or_init(|| match std::env::var_os("POPPO_BIN") {
        Some(path) => Ok(absolute(path.into())),
        None => build("poppo", "bin", &[]),
    }))
}

/// One of the programs in `client/examples`, by its name; from the folder that `POPPO_EXAMPLES` names, where it does.
pub fn example(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("POPPO_EXAMPLES") {
        return absolute(Path::new(&folder).join(name));
    }
    build("poppo", "example", &["--example", name]).unwrap_or_else(|why| panic!("{why}"))
}

/// The folder with the client libraries of `docs/clients.md`, installed on demand; or why that cannot be.
pub fn clients() -> Result<&'static Path, &'static str> {
    static PATH: Built = Built::new();
    let built = PATH.get_or_init(|| {
        let folder = target_directory().join("clients");
        let script = workspace().join("scripts/install-clients");
        match Command::new(&script).arg(&folder).output() {
            Ok(output) if output.status.success() => Ok(folder),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(format!("{}: {error}", script.display())),
        }
    });
    built.as_deref().map_err(String::as_str)
}

/// The repository's root.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace")
}

fn there(built: &'static Result<PathBuf, String>) -> &'static Path {
    built.as_deref().unwrap_or_else(|why| panic!("{why}"))
}

/// Servers run in directories of their own: a relative path would mean something else there.
fn absolute(path: PathBuf) -> PathBuf {
    std::fs::canonicalize(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The directory in which cargo put the running test: `<target>/<profile>/deps/<test>`.
fn target_directory() -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test binary");
    let target = test.ancestors().nth(3);
    target.expect("a test binary lies in <target>/<profile>/deps").to_owned()
}

/// Builds one target of `package` in the profile of the test itself and answers the path of what came out.
fn build(package: &str, kind: &str, arguments: &[&str]) -> Result<PathBuf, String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(workspace())
        .args(["build", "--package", package, "--message-format=json-render-diagnostics"])
        .args(arguments);
    // What cargo told the running test about its own package is not about what is built here, and a build script that looks at
    // it would have its crate, and all that rest on it, compiled anew each time.
    for (name, _) in std::env::vars_os() {
        let is_about_us = name.to_str().is_some_and(|name| {
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"].iter().any(|start| name.starts_with(start))
        });
        if is_about_us {
            cargo.env_remove(name);
        }
    }
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.output().expect("cargo runs");
    if !output.status.success() {
        return Err(format!("cargo build --package {package} failed:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| artifact(&message, package, kind))
        .ok_or_else(|| format!("cargo named no {kind} of {package}"))
}

/// The file that a message of `cargo build --message-format=json` reports, if it is the one looked for.
fn artifact(message: &Value, package: &str, kind: &str) -> Option<PathBuf> {
    let is_kind = message["target"]["kind"].as_array()?.iter().any(|k| k == kind);
    let manifest = message["manifest_path"].as_str()?;
    let of_package = std::fs::read_to_string(manifest).ok()?.contains(&format!("name = \"{package}\"\n"));
    if !is_kind || !of_package {
        return None;
    }
    match message["executable"].as_str() {
        Some(executable) => Some(executable.into()),
        None => message["filenames"].as_array()?.iter().find_map(|name| {
            let path = PathBuf::from(name.as_str()?);
            let library = path.extension().is_some_and(|e| e == "so" || e == "dylib");
            library.then_some(path)
        }),
    }
}
