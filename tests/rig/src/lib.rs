//! Two real Kubernetes control planes on one machine, and the world around them, for tests and the demo.

pub mod certificate_authority;
pub mod http_server;
pub mod load_balancer;
pub mod proxy;
pub mod recorder;
pub mod sample_app;
pub mod sample_namespace;
pub mod weight_history;
