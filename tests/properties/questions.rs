//! The questions about what is in the namespace: each speaks of its case in its words, all are silent on a clean one, and none fails on
//! anything that others may have written.

mod arbitrary;
mod fixture;
mod kept;
mod needed;
mod reached;
mod read;
