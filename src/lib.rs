//! Moves one namespace's service from a source cluster to a target cluster without downtime.
//!
//! | Question | Module |
//! |---|---|
//! | What do people write, what do they read? | [`api`] |

pub mod api;
pub mod machine;
pub mod preflight;
pub mod replicate;
