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
use tokio::time::{MissedTickBehavior, interval};

use self::actions::Action;
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
    /// What was asked for on a key was done, or why not.
    Done(Result<String, String>),
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
    let mut watcher = pin!(watch::watch(project.clone(), tail, sender.clone()));
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
                    Reaction::Do(action) => start(action, &project, &sender),
                },
                Some(Input::Resized) => {}
                Some(Input::Gone(error)) => return Err(error.into()),
                None => return Ok(ExitCode::SUCCESS),
            },
            update = updates.recv() => match update {
                Some(Update::Seen(snapshot)) => state.see(*snapshot),
                Some(Update::Away(why)) => state.lose(why),
                Some(Update::Done(result)) => state.say(result),
                None => return Ok(ExitCode::SUCCESS),
            },
            _ = timer.tick() => {}
            signal = stops.next() => return Ok(ExitCode::from(exit_by(signal))),
            () = &mut watcher => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// Does it beside the drawing, so that a slow server does not freeze the screen.
fn start(action: Action, project: &Project, sender: &mpsc::Sender<Update>) {
    let (project, sender) = (project.clone(), sender.clone());
    tokio::spawn(async move {
        let result = action.run(&project).await;
        // Where nobody listens, the screen is closed.
        drop(sender.send(Update::Done(result)).await);
    });
}
