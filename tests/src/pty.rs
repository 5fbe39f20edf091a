//! A terminal of one's own: a program that draws on the whole screen, what is on that screen, and keys for it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal};
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, Winsize};

use crate::wait_until;

/// A terminal with a program in it, which ends with its test.
pub struct Terminal {
    child: Child,
    /// The side of whoever sits before the terminal.
    keyboard: File,
    /// The program's side, held open so that the terminal can be asked for its state afterwards.
    line: File,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Runs a command in a terminal of so many rows and columns.
    #[track_caller]
    pub fn start(command: &Command, rows: u16, columns: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let keyboard = rustix::pty::openpt(flags).expect("a terminal");
        rustix::pty::grantpt(&keyboard).expect("it is ours");
        rustix::pty::unlockpt(&keyboard).expect("it is ours");
        let name = rustix::pty::ptsname(&keyboard, Vec::new()).expect("it has a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let line = File::from(rustix::fs::open(&name, flags, Mode::empty()).expect("its other side"));
        set_size(&line, rows, columns);
        let end = || Stdio::from(line.try_clone().expect("a second handle of the terminal"));
        // A session of its own, whose terminal this is: only so do resizing and hanging up reach the program.
        let mut session = Command::new("setsid");
        session.arg("--ctty").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => session.env(name, value),
                None => session.env_remove(name),
            };
        }
        session.env("TERM", "xterm-256color").env_remove("NO_COLOR").env_remove("LINES").env_remove("COLUMNS");
        session.current_dir(command.get_current_dir().expect("a directory"));
        let child = session.stdin(end()).stdout(end()).stderr(end()).spawn().expect("setsid (of util-linux) starts");
        let keyboard = File::from(keyboard);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(some(rows), some(columns), 0)));
        let (mut reader, seen) = (keyboard.try_clone().expect("a second handle of the terminal"), Arc::clone(&screen));
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                seen.lock().expect("nobody panicked").process(&buffer[..read]);
            }
        });
        Self { child, keyboard, line, screen }
    }

    /// Presses keys.
    #[track_caller]
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// What is on the screen now, line by line.
    pub fn text(&self) -> String {
        self.screen.lock().expect("nobody panicked").screen().contents()
    }

    /// Waits until these words are on the screen.
    #[track_caller]
    pub fn wait_for(&self, words: &str) {
        self.wait(&format!("\"{words}\" is on the screen"), |text| text.contains(words));
    }

    /// Waits until these words are no longer on the screen.
    #[track_caller]
    pub fn wait_without(&self, words: &str) {
        self.wait(&format!("\"{words}\" is gone from the screen"), |text| !text.contains(words));
    }

    #[track_caller]
    fn wait(&self, what: &str, mut holds: impl FnMut(&str) -> bool) {
        // A test that fails shows the screen.
        struct Shown<'a>(&'a Terminal);
        impl Drop for Shown<'_> {
            fn drop(&mut self) {
                if thread::panicking() {
                    eprintln!("--- the screen\n{}\n---", self.0.text());
                }
            }
        }
        let _shown = Shown(self);
        wait_until(what, || holds(&self.text()));
    }

    /// Makes the terminal another size.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        self.screen.lock().expect("nobody panicked").screen_mut().set_size(some(rows), some(columns));
        set_size(&self.line, rows, columns);
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a PID")).expect("a PID");
        rustix::process::kill_process(pid, signal).expect("it is ours to signal");
    }

    /// Waits until the program has ended.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the program has ended", || {
            status = self.child.try_wait().expect("a child can be asked");
            status.is_some()
        });
        status.expect("it has ended")
    }

    /// Whether the terminal is as a shell wants it: lines are edited and shown, the usual screen and the cursor are there.
    pub fn is_restored(&self) -> bool {
        let modes = rustix::termios::tcgetattr(&self.line).expect("a terminal").local_modes;
        let parser = self.screen.lock().expect("nobody panicked");
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
            && !parser.screen().alternate_screen()
            && !parser.screen().hide_cursor()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A number of rows or columns.
fn some(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).expect("a terminal has some")
}

fn set_size(line: &File, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(line, size).expect("a terminal can be resized");
}
