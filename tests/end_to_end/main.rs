//! The shipped operator between two real control planes, one theme per file. All tests share one world; each has an
//! operator, load balancers, a `ClusterPair` and namespaces of its own.
//!
//! The programs must have been built: `cargo build --workspace --bins`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed; measurements are printed"
)]

mod armed;
mod at_once;
mod authoritative;
mod bad_input;
mod cached_answers;
mod ceiling;
mod contested;
mod controls;
mod crash;
mod dead_source;
mod dead_target;
mod deleted_anywhere;
mod deletion;
mod drain;
mod external_dns;
mod external_dns_down;
mod failures;
mod foreign_writers;
mod forged_status;
mod holds;
mod hurry;
mod in_flight;
mod ingresses;
mod kubeconfig_attacks;
mod kubeconfig_life;
mod leader;
mod let_go;
mod migration;
mod mute;
mod named_balancers;
mod namespaces;
mod pair_hold;
mod permissions;
mod preflight;
mod printed;
mod quiescence;
mod quota;
mod rollback;
mod route53_trouble;
mod scene;
mod secrets;
mod shell;
mod strangers;
mod tenants;
mod transcript;
mod traps;
mod users;
