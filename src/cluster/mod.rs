//! Connections to clusters: the strict kubeconfig, clients with limits, and Secrets that never reach a log.

pub mod call;
pub mod client;
pub mod connection;
pub mod external_dns_watch;
pub mod general_rights;
pub mod home_rights;
pub mod kubeconfig;
mod limits;
pub mod namespace_watch;
mod object_watch;
pub mod rights;
pub mod secret;

#[cfg(test)]
pub(crate) mod local_api;

/// The shell's clock: the one place where the time of day is read. In whole microseconds, as status keeps it.
#[allow(clippy::disallowed_methods, reason = "the core takes `now` as an argument; this is where it comes from")]
pub fn now() -> jiff::Timestamp {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
