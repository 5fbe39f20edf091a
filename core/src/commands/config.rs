//! `POPPO.CONFIG`: see `docs/commands.md`. A server's own settings are its own affair.

use crate::{Effect, Now, Project, Refusal, Setting};

use super::args::{Args, Bad, shown};
use super::docs::{Access, Arg, Doc};
use super::reply::{Map, Reply};
use super::{Answered, Write};

/// See the module.
#[derive(Debug)]
pub struct Command;

/// What is asked.
#[derive(Debug)]
pub enum Request {
    /// The value of a setting; none for those of all.
    Get(Option<Setting>),
    /// New values.
    Set(Vec<(Setting, u64)>),
}

impl Write for Command {
    type Request<'a> = Request;

    const DOC: Doc = Doc {
        name: "POPPO.CONFIG",
        name_c: c"POPPO.CONFIG",
        since: "0.1.0",
        event: c"poppo.config",
        summary: "Shows or changes the project's own settings.",
        complexity: "O(1) for GET, O(P) for SET where P is the number of processes",
        arity: -3,
        access: Access::Insert,
        categories: c"write slow",
        args: &[Arg::one_of(
            "operation",
            None,
            &[
                Arg::block("get", Some("GET"), &[Arg::text("name").optional()]),
                Arg::block("set", Some("SET"), &[SETTING]),
            ],
        )],
    };
    const POSITIONAL: usize = 0;

    fn parse<'a>(args: &mut Args<'a, impl AsRef<[u8]>>) -> Result<Request, Bad> {
        let operation = args.positional("operation", Ok)?;
        if operation.eq_ignore_ascii_case(b"GET") {
            let mut names = args.rest();
            let setting = names.next().map(named).transpose()?;
            if names.next().is_some() {
                return Err(Bad("GET takes at most one name".to_owned()));
            }
            return Ok(Request::Get(setting));
        }
        if operation.eq_ignore_ascii_case(b"SET") {
            return settings(args.rest()).map(Request::Set);
        }
        Err(Bad(format!("unknown operation '{}': POPPO.CONFIG takes GET or SET", shown(operation))))
    }

    fn creates(request: &Request) -> bool {
        matches!(request, Request::Set(_))
    }

    fn apply(project: &mut Project, now: Now, request: &Request) -> Result<Answered, Refusal> {
        match request {
            Request::Get(setting) => {
                let asked: &[Setting] = setting.as_ref().map_or(Setting::ALL, std::slice::from_ref);
                let settings = project.settings();
                let show = |map: Map<'static>, setting: &Setting| map.with(setting.name(), settings.get(*setting));
                Ok(Answered::new(asked.iter().fold(Map::default(), show), Effect::Unchanged))
            }
            Request::Set(values) => {
                project.configure(now, values);
                Ok(Answered::new(Reply::Ok, Effect::Changed))
            }
        }
    }
}

const SETTING: Arg = Arg::block("setting", None, &[Arg::text("name"), Arg::text("value")]).multiple();

fn settings<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Result<Vec<(Setting, u64)>, Bad> {
    let mut values = Vec::new();
    while let Some(name) = words.next() {
        let setting = named(name)?;
        if values.iter().any(|(given, _)| *given == setting) {
            return Err(Bad(format!("{} may be given only once", setting.name())));
        }
        let value = words.next().ok_or_else(|| Bad(format!("{} needs a value", setting.name())))?;
        let value = setting.parse(value).map_err(|invalid| Bad(format!("{} {invalid}", setting.name())))?;
        values.push((setting, value));
    }
    if values.is_empty() { Err(Bad("SET needs at least one name and value".to_owned())) } else { Ok(values) }
}

fn named(name: &[u8]) -> Result<Setting, Bad> {
    Setting::named(name).ok_or_else(|| {
        let names: Vec<_> = Setting::ALL.iter().map(|setting| setting.name()).collect();
        Bad(format!("unknown setting '{}': there are {}", shown(name), names.join(", ")))
    })
}
