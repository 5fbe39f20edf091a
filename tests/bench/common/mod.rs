//! What both benchmarks need: where things run, how far the run is, RESP, figures.

pub(crate) mod figures;
pub(crate) mod machine;
pub(crate) mod progress;
pub(crate) mod resp;
pub(crate) mod stats;
