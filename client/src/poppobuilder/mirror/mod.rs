//! A folder that says what the project says, for as long as older programs read it.
//!
//! The log tells *when* something happened; then the project is read again as a whole. The files are whole documents, which
//! are written anew for each change anyhow, and so they are always those that `poppo export` would write. After each time
//! there is a pause in which others may happen, too, and which grows with what there is to read.
//!
//! | file | what lives there |
//! | --- | --- |
//! | `difference` | in what two files differ |
//! | `pass` | one time: read, compare, write |

mod difference;
mod pass;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use poppo::Project;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::cli::Context;
use crate::discover::Patience;
use crate::exit::{FAILED, Failure};
use crate::follow::Follower;
use crate::output::{Output, reader_is_gone, say};
use crate::poppobuilder::write::draft::{self, Fault};
use crate::poppobuilder::write::folder::Folder;
use crate::process::{Stops, exit_by};
use crate::retry::Retry;
use pass::Pass;

/// The files are written so often at most.
const REST: Duration = Duration::from_millis(200);
/// So many times as long as it took, there is a rest.
const RESTS: u32 = 4;
/// How often it is looked whether somebody else changed a file.
const GLANCE: Duration = Duration::from_secs(1);
/// How often signs of life are written. Older programs begin to doubt after five minutes.
const BEAT: Duration = Duration::from_secs(60);

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// For as long as nobody stops it.
    Follow,
    Once,
    /// Compares, and writes nothing.
    Check,
}

/// `poppo mirror`.
pub(crate) async fn run(folder: &Path, mode: Mode, force: bool, context: &Context) -> Result<ExitCode, Failure> {
    let usual = if mode == Mode::Follow { Patience::Endless } else { Patience::NONE };
    let project = context.project_after(usual).await?;
    if mode == Mode::Check {
        return check(folder, &project, context.out).await;
    }
    let mut stops = Stops::listen()?;
    let work = async {
        draft::find(&project).await?;
        let folder = Folder::take(folder)?;
        let mut mirror =
            Mirror { project, folder, force, is_first: true, is_once: mode == Mode::Once, out: context.out };
        if mirror.is_once { mirror.pass().await?.map(drop).map_err(Failure::from) } else { mirror.follow().await }
    };
    tokio::select! {
        done = work => done?,
        signal = stops.next() => if mode == Mode::Once {
            return Err(Failure::new(exit_by(signal), "INTERRUPTED", "the files were left as they were"));
        },
        () = reader_is_gone() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Compares what is there with what should be.
async fn check(folder: &Path, project: &Project, out: Output) -> Result<ExitCode, Failure> {
    if !folder.is_dir() {
        return Err(Failure::failed(format!("{}: there is no such folder", folder.display())));
    }
    let pass = Pass::compare(project, folder).await?;
    if out.json {
        out.document(&pass.document(project.key(), folder))?;
    } else {
        pass.show_differences(out)?;
        let sentence = match pass.differences() {
            0 => "the files are as the project is".to_owned(),
            count => format!("{count} entries differ: `poppo mirror` would write what the project says"),
        };
        out.line(&sentence)?;
    }
    Ok(ExitCode::from(if pass.differences() == 0 { 0 } else { FAILED }))
}

/// A folder and what it shows.
struct Mirror {
    project: Project,
    folder: Folder,
    /// Whether what somebody else wrote may be replaced.
    force: bool,
    /// Whether nothing was written yet.
    is_first: bool,
    is_once: bool,
    out: Output,
}

impl Mirror {
    /// Goes on until something fails that does not pass.
    async fn follow(&mut self) -> Result<(), Failure> {
        let after = self.newest_event().await?;
        let (bell, mut rung) = watch::channel(());
        let mut reading = Reading(tokio::spawn(listen(self.project.clone(), after, bell)));
        let mut retry = Retry::default();
        loop {
            let begun = Instant::now();
            rung.mark_unchanged();
            let is_live = match self.pass().await? {
                Ok(is_live) => {
                    if retry.has_begun() {
                        say("the files are up to date again");
                        retry = Retry::default();
                    }
                    is_live
                }
                Err(fault) => {
                    self.doubt(fault, &mut retry).await?;
                    continue;
                }
            };
            sleep(REST.max(begun.elapsed() * RESTS)).await;
            tokio::select! {
                biased;
                ended = &mut reading.0 => return ended.map_err(|error| Failure::failed(error.to_string()))?,
                _ = rung.changed() => {}
                () = self.touched() => {}
                () = sleep(BEAT), if is_live => {}
            }
        }
    }

    /// One time. What does not pass is a failure; the rest is for whoever can wait.
    async fn pass(&mut self) -> Result<Result<bool, Fault>, Failure> {
        let mut pass = match Pass::read(&self.project, &mut self.folder).await {
            Ok(pass) => pass,
            Err(fault @ (Fault::Project(_) | Fault::Unknown(_))) => return Ok(Err(fault)),
            Err(fault) => return Err(fault.into()),
        };
        // Whatever comes later between ours is replaced.
        if !std::mem::replace(&mut self.force, true) {
            pass.refuse_strangers(self.project.key(), &mut self.folder)?;
        }
        pass.write(self.project.key(), &mut self.folder)?;
        self.tell(&pass)?;
        Ok(Ok(pass.is_live))
    }

    fn tell(&mut self, pass: &Pass) -> std::io::Result<()> {
        let is_first = std::mem::replace(&mut self.is_first, false);
        let document = || pass.document(self.project.key(), self.folder.path());
        match (self.out.json, is_first) {
            (true, _) if self.is_once => self.out.document(&document()),
            (true, _) if is_first || pass.is_news() => self.out.json_line(&document()),
            (true, _) => Ok(()),
            (false, true) => pass.show(self.out),
            (false, false) => pass.show_differences(self.out),
        }
    }

    /// What there was to read cannot be read now: the files stay as they are.
    async fn doubt(&mut self, fault: Fault, retry: &mut Retry) -> Result<(), Failure> {
        let then = "the files stay as they are until then";
        match fault {
            Fault::Project(error) if error.may_pass() => retry.warn(&error.to_string(), then),
            // Better old files than none: a server that lost its data may get it back.
            Fault::Unknown(message) => retry.warn(&message, then),
            fault => return Err(fault.into()),
        }
        sleep(retry.pause()).await;
        Ok(())
    }

    /// The log's end, once the server tells it.
    async fn newest_event(&mut self) -> Result<u64, Failure> {
        let mut retry = Retry::default();
        loop {
            match self.project.newest_event().await {
                Ok(event) => return Ok(event),
                Err(error) => self.doubt(error.into(), &mut retry).await?,
            }
        }
    }

    /// Waits until somebody else changes a file.
    async fn touched(&self) {
        let mut glances = interval(GLANCE);
        glances.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            glances.tick().await;
            if self.folder.is_touched() {
                return;
            }
        }
    }
}

/// A task that ends with whoever waits for it.
struct Reading(JoinHandle<Result<(), Failure>>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Rings whenever something has happened, or may have happened unseen.
async fn listen(project: Project, after: u64, bell: watch::Sender<()>) -> Result<(), Failure> {
    let mut follower = Follower::after(project, after);
    loop {
        follower.next().await?;
        bell.send_replace(());
    }
}
