//! Two real Kubernetes control planes on one machine, and the world around them, for tests and the demo.

pub mod background;
pub mod child;
pub mod control_plane;
pub mod deploy;
pub mod guard;
pub mod kubeconfig;
pub mod kubectl;
pub mod operator;
pub mod ports;
pub mod progress;
pub mod services;
pub mod tools;
pub mod world;
