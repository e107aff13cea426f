//! Two real Kubernetes control planes on one machine, and the world around them, for tests and the demo.

pub mod background;
pub mod certificate_authority;
pub mod child;
pub mod control_plane;
pub mod demo;
pub mod deploy;
pub mod guard;
pub mod http_server;
pub mod identity;
pub mod kubeconfig;
pub mod kubectl;
pub mod load_balancer;
pub mod operator;
pub mod ports;
pub mod progress;
pub mod proxy;
pub mod recorder;
pub mod sample_app;
pub mod sample_namespace;
pub mod services;
pub mod setup;
pub mod tools;
pub mod transcript;
pub mod user;
pub mod weight_history;
pub mod world;
