//! The shipped traffic core, explored exhaustively: every interleaving of a few processes, two external-dns and what may go wrong.
//!
//! | Question | Module |
//! |---|---|
//! | What is a state? | `state` |
//! | What may go wrong, and what is asked for? | `setup` |
//! | What is the shipped code shown of a state, and what does it answer? | `facts`, `known` |
//! | What does a process do, step by step? | `process` |
//! | What do Route 53 and the two external-dns do? | `zone` |
//! | What may happen next? | `action` |
//! | Which promises are there? | `promises`; that there is a way back, `way_back` |
//! | How is every state found? | `search` |
//! | Which mistakes are planted, to be found? | `planted` |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a search that cannot go on stops and says why, and prints what it has explored"
)]

mod action;
mod facts;
mod known;
mod planted;
mod process;
mod promises;
mod search;
mod setup;
mod state;
mod way_back;
mod zone;

pub use search::{Found, explore, goes_well};
pub use setup::{PLAIN, Plant, Setup, Trouble};
