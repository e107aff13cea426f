//! Two real Kubernetes control planes on one machine, and the world around them, for tests and the demo.

pub mod child;
pub mod control_plane;
pub mod guard;
pub mod kubeconfig;
pub mod ports;
pub mod progress;
pub mod tools;
pub mod world;
