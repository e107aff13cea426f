//! Moves one namespace's service from a source cluster to a target cluster without downtime.
//!
//! | Question | Module |
//! |---|---|
//! | What do people write, what do they read? | [`api`] |
//! | What is to be done, given what is known? | [`machine`], with [`preflight`] and [`replicate`]: pure |
//! | How are clusters reached and watched? | [`cluster`] |
//! | Is a side healthy? | [`probe`] |
//! | What does DNS serve? | [`dns`] |
//! | What is known now? | [`observe`], of a [`site`] |
//! | How is a change carried out? | [`execute`] |
//! | Who calls whom? | [`controller`] |
//! | Who writes status, who tells events? | [`status`], [`events`] |
//! | Which of several operators works? | [`lease`] |

pub mod api;
pub mod args;
pub mod backoff;
mod causes;
pub mod cluster;
pub mod controller;
pub mod dns;
pub mod events;
pub mod execute;
pub mod lease;
pub mod machine;
pub mod metrics;
mod mutex;
pub mod observe;
pub mod preflight;
pub mod probe;
mod random;
pub mod replicate;
pub mod server;
pub mod site;
pub mod status;
mod task;
pub mod telemetry;
