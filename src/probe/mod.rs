//! Questions asked of a service from outside, and which addresses may be asked.

pub mod address;
mod asker;
mod entrance;
pub mod failing;
pub mod http;
pub mod judge;
pub mod plan;
pub mod prober;
pub mod workloads;
