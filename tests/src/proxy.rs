//! A network that loses answers: a proxy before a server, which passes every command on and hangs up instead of passing on
//! the answers to some of them. Whoever asked cannot know whether it was done.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::Server;

/// A proxy before a server. Its threads end with the connections.
#[derive(Debug)]
pub struct Lossy {
    url: String,
    lost: Arc<AtomicUsize>,
}

/// Which answers are lost.
#[derive(Debug, Clone)]
struct Plan {
    /// Those to commands that have any of these words in them …
    words: &'static [&'static str],
    /// … each so many-th of them.
    every: usize,
    seen: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
}

impl Lossy {
    /// Loses the answer to every `every`-th command that has any of these words in it, and its connection with it.
    pub fn start(server: &Server, words: &'static [&'static str], every: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("redis://{}", listener.local_addr().expect("a bound address"));
        let lost = Arc::new(AtomicUsize::new(0));
        let plan = Plan { words, every, seen: Arc::default(), lost: Arc::clone(&lost) };
        let port = server.port();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A server that is away hangs up, too.
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                pass_on(client, server, &plan);
            }
        });
        Self { url, lost }
    }

    /// The URL that clients take.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many answers were lost so far.
    pub fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

fn pass_on(client: TcpStream, server: TcpStream, plan: &Plan) {
    let (from_client, to_server) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
    let is_cut = Arc::new(AtomicBool::new(false));
    let (plan, will_cut) = (plan.clone(), Arc::clone(&is_cut));
    std::thread::spawn(move || {
        copy(from_client, to_server, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let hits: usize = plan.words.iter().map(|word| text.matches(word).count()).sum();
            let before = plan.seen.fetch_add(hits, Ordering::SeqCst);
            // Set before the command is passed on, so that its answer cannot be faster.
            if before / plan.every != (before + hits) / plan.every {
                plan.lost.fetch_add(1, Ordering::SeqCst);
                will_cut.store(true, Ordering::SeqCst);
            }
            true
        });
    });
    std::thread::spawn(move || copy(server, client, |_| !is_cut.load(Ordering::SeqCst)));
}

/// Passes on what comes until either side hangs up, or `may_pass` says that it is enough; then both are hung up.
fn copy(mut from: TcpStream, mut to: TcpStream, mut may_pass: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; 65_536];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let bytes = buffer.get(..read).unwrap_or_default();
        if !may_pass(bytes) || to.write_all(bytes).is_err() {
            break;
        }
    }
    // The other side may have done so already.
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}
