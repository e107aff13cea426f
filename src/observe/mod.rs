//! What is known now: both clusters as they are watched, Secrets where they are needed, and the probes' verdicts.

pub mod facts;
