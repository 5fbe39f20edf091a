//! A descriptor that becomes readable when a process ends, as pidfd and kqueue give one.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::watch::{End, Eye};

/// An eye on one process.
pub(super) struct Descriptor(AsyncFd<OwnedFd>);

impl Descriptor {
    /// Has the runtime wait for it.
    #[allow(
        deprecated,
        reason = "its successor is unsafe for what might close its descriptor, which an OwnedFd never does"
    )]
    pub(super) fn new(descriptor: OwnedFd) -> io::Result<Self> {
        AsyncFd::with_interest(descriptor, Interest::READABLE).map(Self)
    }

    fn is_readable(&self) -> bool {
        let mut fds = [PollFd::new(self.0.get_ref(), PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }
}

impl Eye for Descriptor {
    fn sees_life(&self) -> bool {
        !self.is_readable()
    }

    fn end(self: Arc<Self>) -> End {
        Box::pin(async move {
            while !self.is_readable() {
                match self.0.readable().await {
                    Ok(mut ready) => {
                        if !self.is_readable() {
                            ready.clear_ready();
                        }
                    }
                    // The runtime ends, and nobody will ever be told.
                    Err(_) => std::future::pending().await,
                }
            }
        })
    }
}
