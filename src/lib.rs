//! Moves one namespace's service from a source cluster to a target cluster without downtime.

pub mod args;
pub mod backoff;
mod causes;
pub mod cluster;
pub mod metrics;
pub mod probe;
pub mod server;
pub mod telemetry;
