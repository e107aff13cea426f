//! The pure core in a fake world: scenarios, and random interleavings of everything that can go wrong.
//!
//! | Question | Module |
//! |---|---|
//! | What are the two clusters here, and how does time pass? | `world` |
//! | What does DNS serve? | `dns`, and what name servers answer of it, `answers`; what of that breaks a promise, `served` |
//! | What is deleted, released and owed? | `object` |
//! | How are effects carried out, and how can that go wrong? | `executor` |
//! | What was written, and which promises does that break? | `recording` |
//! | What becomes of real namespaces, and of objects that nobody would write? | `corpus`, `copies` |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on stops and says why"
)]

mod alone;
mod answers;
mod ceilings;
mod conditions;
mod contests;
mod controls;
mod copies;
mod corpus;
mod deadlines;
mod dns;
mod ended;
mod executor;
mod gates;
mod object;
mod one_host;
mod pauses;
mod recording;
mod replaced;
mod requests;
mod served;
mod world;

mod debts;
mod deleted_anywhere;
mod deletion;
mod dns_rows;
mod drift;
mod edits;
mod exposure;
mod external_dns;
mod found;
mod interleavings;
mod journey;
mod looks;
mod lost_status;
mod name_servers;
mod not_noted;
mod permission;
mod permissions;
mod pins;
mod planted;
mod preflight;
mod purity;
mod rollback;
mod secrets;
mod sentences;
mod sick_source;
mod stages;
mod steps;
mod stuck;
mod told;
mod two_owners;
mod under_way;
