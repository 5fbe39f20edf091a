//! PoppoBuilder's state folder: what its files are called and what is in them, for those who come from there and for those
//! who go back.
//!
//! | file | what lives there |
//! | --- | --- |
//! | `files` | the names of the files, and what each is |
//! | `folder` | the folder as it is on the disk |
//! | `split`, `fields` | JSON that may be damaged, and records that may be crooked |
//! | `read` | what the files say |
//! | `world` | who lives on this host |
//! | `plan`, `lines` | what the files say as what a project takes |
//! | `report` | what became of each entry |
//! | `import` | all of it in order: `poppo import DIR` |
//! | `write` | a project as these files |
//! | `mirror` | these files, kept up to date |

mod fields;
pub(crate) mod files;
mod folder;
pub(crate) mod import;
mod lines;
pub(crate) mod mirror;
mod plan;
mod read;
mod report;
mod split;
mod world;
pub(crate) mod write;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
