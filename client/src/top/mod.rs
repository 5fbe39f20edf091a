//! `poppo top`: a project on a screen, live. `watch` asks the server, `state` is what is known and what the keys do to it,
//! `rows` and `frame` show it and ask nobody, `screen` is the terminal, `actions` is what is done on a key.

mod actions;
mod frame;
mod rows;
#[cfg(test)]
mod sample;
mod screen;
mod snapshot;
mod state;
mod watch;

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use poppo::Project;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use self::screen::{Input, Screen};
use self::snapshot::Snapshot;
use self::state::{Reaction, State};
use crate::exit::Failure;
use crate::process::{Stops, exit_by};

/// How often the ages on the screen are told anew.
const TICK: Duration = Duration::from_secs(1);

/// What happened outside.
#[derive(Debug)]
enum Update {
    /// The project, as it is now.
    Seen(Box<Snapshot>),
    /// The server did not tell, and why.
    Away(String),
}

/// What the screen is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// After how long without a word of progress a lease is shown as hung.
    pub(crate) hung_after: Duration,
    pub(crate) colour: bool,
}

/// Shows the project until somebody has seen enough.
pub(crate) async fn run(project: Project, look: Look) -> Result<ExitCode, Failure> {
    let mut tail = watch::Tail::default();
    // What is wrong from the start is said as by any other command, before the screen is taken.
    let first = watch::gather(&project, &mut tail).await?;
    let mut state = State::new(project.client().url(), project.key(), look);
    state.see(first);
    let mut stops = Stops::listen()?;
    let (sender, mut updates) = mpsc::channel(16);
    let mut watcher = pin!(watch::watch(project.clone(), tail, sender));
    // Done beside the drawing, so that a slow server does not freeze the screen.
    let mut actions = JoinSet::new();
    let mut timer = interval(TICK);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut screen = Screen::open()?;
    let mut inputs = screen::inputs();
    loop {
        screen.draw(&state)?;
        tokio::select! {
            input = inputs.recv() => match input {
                Some(Input::Key(key)) => match state.key(key) {
                    Reaction::Nothing => {}
                    Reaction::Quit => return Ok(ExitCode::SUCCESS),
                    Reaction::Do(action) => {
                        let project = project.clone();
                        actions.spawn(async move { action.run(&project).await });
                    }
                },
                Some(Input::Resized) => {}
                Some(Input::Gone(error)) => return Err(error.into()),
                None => return Err(Failure::failed("the terminal cannot be read any more")),
            },
            update = updates.recv() => match update {
                Some(Update::Seen(snapshot)) => state.see(*snapshot),
                Some(Update::Away(why)) => state.lose(why),
                None => return Ok(ExitCode::SUCCESS),
            },
            Some(done) = actions.join_next() => match done {
                Ok(result) => state.say(result),
                // It panicked, which has given the terminal back.
                Err(error) => return Err(Failure::failed(error.to_string())),
            },
            _ = timer.tick() => {}
            signal = stops.next() => return Ok(ExitCode::from(exit_by(signal))),
            () = &mut watcher => return Ok(ExitCode::SUCCESS),
        }
    }
}
