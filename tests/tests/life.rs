//! Signs of life: heartbeats, the host agent's word, and who is an orphan.
//! The same on a server and in a file.
#![allow(clippy::duplicate_mod, reason = "the same tests, on a server and on a file")]

#[path = "both"]
mod server {
    use poppo_tests::Server;

    mod life;
}

#[path = "both"]
mod file {
    use poppo_tests::Files as Server;

    #[allow(clippy::duplicate_mod, reason = "the same tests, on a file")]
    mod life;
}
