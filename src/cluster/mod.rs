//! Connections to clusters: the strict kubeconfig, clients with limits, and Secrets that never reach a log.

pub mod call;
pub mod client;
pub mod kubeconfig;
mod limits;
pub mod secret;

#[cfg(test)]
mod local_api;
