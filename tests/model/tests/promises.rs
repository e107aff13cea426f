//! The promises hold in every state.
#![allow(clippy::panic, reason = "a broken promise is told as a story")]

use model::{PLAIN, Setup, Trouble, explore, goes_well};
use namespace_migration::machine::Side;
use namespace_migration::api::Stage;

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

const SHIFT: Setup = Setup { from: Stage::ShiftTraffic, steps: &[100], ..PLAIN };

#[test]
fn crashes() {
    holds(Setup { name: "crashes", troubles: &[Trouble::Crash], ..SHIFT }, 0);
}

#[test]
fn delays() {
    holds(Setup { name: "crashes and delays", troubles: &[Trouble::Crash, Trouble::Delay], ..SHIFT }, 0);
}

#[test]
fn dead_source() {
    holds(Setup { name: "dead source", troubles: &[Trouble::Dead(Side::Source)], ..SHIFT }, 0);
}

#[test]
fn second() {
    holds(Setup { name: "second", troubles: &[Trouble::Second], ..SHIFT }, 0);
}

#[test]
fn lag() {
    holds(Setup { name: "lag", troubles: &[Trouble::Lag], ..SHIFT }, 0);
}

#[test]
fn batches() {
    holds(Setup { name: "batches", troubles: &[Trouble::Batches], ..SHIFT }, 0);
}

#[test]
fn hosts() {
    holds(Setup { name: "hosts", ingresses: 2, ..SHIFT }, 0);
}

#[test]
fn foreign() {
    holds(Setup { name: "foreign", troubles: &[Trouble::Foreign(Side::Source, Some(0))], ..SHIFT }, 0);
}
