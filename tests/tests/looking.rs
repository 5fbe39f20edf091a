//! Looking at a project and keeping house: GET, LIST, STATS, FORGET, CONFIG and what is trimmed.
//! The same on a server and in a file.
#![allow(clippy::duplicate_mod, reason = "the same tests, on a server and on a file")]

#[path = "both"]
mod server {
    use poppo_tests::Server;

    mod looking;
}

#[path = "both"]
mod file {
    use poppo_tests::Files as Server;

    #[allow(clippy::duplicate_mod, reason = "the same tests, on a file")]
    mod looking;
}
