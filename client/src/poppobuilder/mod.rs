//! PoppoBuilder's state folder: what its files are called and what is in them, for those who come from there and for those
//! who go back.
//!
//! | file | what lives there |
//! | --- | --- |
//! | `files` | the names of the files, and what each is |

#![allow(dead_code, reason = "the importer that uses them follows")]

pub(crate) mod files;
