//! Two real Kubernetes control planes on one machine, and the world around them, for tests and the demo.

pub mod child;
pub mod guard;
pub mod progress;
pub mod tools;
