//! The terminal: taken for as long as a [`Screen`] lives, and given back as it was, whatever ends it.

use std::io;
use std::thread;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::frame;
use super::state::State;

/// What comes from the terminal.
#[derive(Debug)]
pub(super) enum Input {
    Key(KeyEvent),
    Resized,
    Gone(io::Error),
}

/// The terminal, on its alternate screen and with each key passed on at once.
pub(super) struct Screen(DefaultTerminal);

impl Screen {
    /// Takes the terminal. A panic gives it back before its message is printed.
    pub(super) fn open() -> io::Result<Self> {
        let terminal = ratatui::try_init();
        if terminal.is_err() {
            // Half of it may have been done.
            drop(ratatui::try_restore());
        }
        terminal.map(Self)
    }

    pub(super) fn draw(&mut self, state: &State) -> io::Result<()> {
        self.0.draw(|frame| frame::draw(frame, state, state.now())).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing given back.
        drop(self.0.show_cursor());
        // Of a panic, the message is on the usual screen already; to go there again would put the cursor on it.
        if !thread::panicking() {
            drop(ratatui::try_restore());
        }
    }
}

/// What comes from the terminal, from now on. Reading it waits, so it has a thread of its own, which ends with the program.
pub(super) fn inputs() -> UnboundedReceiver<Input> {
    let (sender, receiver) = unbounded_channel();
    thread::spawn(move || {
        loop {
            let input = match event::read() {
                Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Input::Key(key),
                Ok(Event::Resize(..)) => Input::Resized,
                Ok(_) => continue,
                Err(error) => {
                    drop(sender.send(Input::Gone(error)));
                    return;
                }
            };
            if sender.send(input).is_err() {
                return;
            }
        }
    });
    receiver
}
