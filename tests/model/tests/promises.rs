//! The promises hold in every state.
#![allow(clippy::panic, reason = "a broken promise is told as a story")]

use model::{PLAIN, Setup, Trouble, explore, goes_well};
use namespace_migration::machine::Side;

/// Fails with the story of a broken promise, and when suspiciously little was explored.
fn holds(setup: Setup, at_least: usize) {
    let found = explore(setup);
    if let Some(story) = found.broken {
        panic!("{story}");
    }
    assert!(found.states >= at_least, "{}: only {} states; {at_least} are expected", setup.name, found.states);
}

#[test]
fn what_goes_well_comes_to_its_end() {
    assert!(goes_well(PLAIN));
}

#[test]
fn a_plain_migration_keeps_its_promises() {
    holds(PLAIN, 0);
}

#[test]
fn crashes() {
    holds(Setup { name: "crashes and delays", troubles: &[Trouble::Crash, Trouble::Delay], ..PLAIN }, 0);
}

#[test]
fn dead() {
    holds(
        Setup {
            name: "dead sides",
            troubles: &[Trouble::Dead(Side::Source), Trouble::Dead(Side::Target), Trouble::Delay, Trouble::Sick],
            ..PLAIN
        },
        0,
    );
}
