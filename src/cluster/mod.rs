//! Connections to clusters: the strict kubeconfig, clients with limits, and Secrets that never reach a log.

pub mod kubeconfig;
