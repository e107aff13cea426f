//! The promises of the traffic protocol hold in every state of every configuration.
#![allow(clippy::panic, reason = "a broken promise is told as a story")]

use model::{PLAIN, Setup, Trouble, explore, goes_well};
use namespace_migration::api::Stage;
use namespace_migration::machine::Side;

/// From the first raise of the target on, where the weights move.
const SHIFT: Setup = Setup { from: Stage::ShiftTraffic, ..PLAIN };
const ONE_STEP: Setup = Setup { steps: &[100], ..SHIFT };

/// Fails with the story of a broken promise, and when suspiciously little was explored.
fn holds(setup: Setup, at_least: usize) {
    let found = explore(setup);
    if let Some(story) = found.broken {
        panic!("{story}");
    }
    let ends = [Stage::Completed, Stage::RolledBack];
    assert!(ends.iter().all(|end| found.stages.contains(end)), "{}: only {:?}", setup.name, found.stages);
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
fn so_does_one_whose_target_ingress_is_there_already() {
    holds(Setup { name: "the target's Ingress is there already", target_is_there: true, ..PLAIN }, 0);
}

#[test]
fn crashes_and_late_writes() {
    holds(Setup { name: "crashes and late writes", troubles: &[Trouble::Crash, Trouble::Delay], ..PLAIN }, 0);
}

#[test]
fn crashes_and_late_writes_shift() {
    holds(Setup { name: "crashes and late writes, shift", troubles: &[Trouble::Crash, Trouble::Delay], ..SHIFT }, 0);
}

const DEAD: [Trouble; 4] = [Trouble::Dead(Side::Source), Trouble::Dead(Side::Target), Trouble::Delay, Trouble::Sick];
#[test]
fn dead_sides() {
    holds(Setup { name: "dead sides, shift", troubles: &DEAD, ..SHIFT }, 0);
}
#[test]
fn dead_sides_crash() {
    holds(Setup { name: "dead sides, crash", troubles: &[Trouble::Dead(Side::Source), Trouble::Dead(Side::Target), Trouble::Crash], ..SHIFT }, 0);
}

#[test]
fn second() {
    holds(Setup { name: "second, two steps", troubles: &[Trouble::Second], ..SHIFT }, 0);
}
#[test]
fn second_delay() {
    holds(Setup { name: "second, delay", troubles: &[Trouble::Second, Trouble::Delay], ..ONE_STEP }, 0);
}
#[test]
fn second_dead() {
    holds(Setup { name: "second, dead source", troubles: &[Trouble::Second, Trouble::Dead(Side::Source)], ..ONE_STEP }, 0);
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
    holds(Setup { name: "hosts", ingresses: 2, ..PLAIN }, 0);
}

#[test]
fn hosts_batches() {
    holds(Setup { name: "hosts in batches", ingresses: 2, troubles: &[Trouble::Batches], ..ONE_STEP }, 0);
}

#[test]
fn hosts_crash() {
    holds(Setup { name: "hosts crash", ingresses: 2, troubles: &[Trouble::Crash, Trouble::Delay], ..ONE_STEP }, 0);
}

const FOREIGN: [Trouble; 5] = [
    Trouble::Foreign(Side::Source, Some(0)),
    Trouble::Foreign(Side::Source, None),
    Trouble::Foreign(Side::Target, Some(0)),
    Trouble::Foreign(Side::Target, Some(100)),
    Trouble::Foreign(Side::Target, None),
];

#[test]
fn foreign() {
    holds(Setup { name: "foreign", troubles: &FOREIGN, ..SHIFT }, 0);
}
