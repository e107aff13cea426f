//! What DNS serves, read in the background: the only evidence that a weight annotation has reached users.
//!
//! Migrations say what they want to know ([`Interest`]) and get a view of what was read last, which never waits and never makes
//! a request. Whoever asks the same backend with the same credentials shares one reader: it asks by name, under two requests per
//! second, the most urgent first, and each question once however many ask it. Nobody asks: nothing is read.
//!
//! | Question | Module |
//! |---|---|
//! | What does a migration want to know, of whom? | [`interest`] |
//! | Who shares a reader? Whom does a reading concern? | [`reader`], `account` |
//! | Which question is next, and when? | [`schedule`], [`pace`] |
//! | Since when is a record set listed exactly so? | [`history`] |
//! | How often did which address answer? | [`answers`] |
//! | What was read so far? | [`book`] |
//! | Which zone is a host in? | [`zones`] |
//! | How is Route 53 asked? | `route53` |
//! | How are name servers asked? | `authoritative`, `exchange` |
//! | Who knows the addresses of a load balancer? | [`resolver`] |
//! | How does external-dns name and own its records? | [`external_dns`] |
//! | When did external-dns last have a pass without an error, and what failed? | [`passes`], read by `last_sync` |
//! | Why could it not be read? | [`trouble`] |
//!
//! What each backend proves, and what it does not, is in `docs/dns.md`.

mod account;
pub mod answers;
mod asks;
mod authoritative;
pub mod book;
mod exchange;
pub mod external_dns;
pub mod history;
pub mod interest;
mod last_sync;
pub mod pace;
pub mod passes;
pub mod reader;
pub mod resolver;
#[cfg_attr(not(feature = "route53"), path = "no_route53.rs")]
mod route53;
pub mod schedule;
#[cfg(test)]
mod tests;
pub mod trouble;
pub mod zones;

pub use interest::Interest;
pub use reader::{Asking, DnsReader};
pub use resolver::Resolver;
