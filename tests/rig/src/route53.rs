//! A strict Route 53: its API, its rules and its error texts, with faults on demand and a journal of every change.

pub mod journal;
pub mod record;
