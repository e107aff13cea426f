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
fn a_rollback_at_any_moment_keeps_its_promises() {
    holds(PLAIN, 3_000);
}

#[test]
fn so_does_one_beside_a_target_ingress_that_is_there_already() {
    holds(Setup { name: "the target's Ingress is there already", target_is_there: true, ..PLAIN }, 5_000);
}

#[test]
fn a_process_that_dies_and_writes_that_come_late_break_nothing() {
    let troubles = &[Trouble::Crash, Trouble::Delay];
    holds(Setup { name: "a crash and a late write, the whole way", troubles, ..PLAIN }, 50_000);
}

#[test]
fn two_ingresses_break_nothing_when_a_process_dies_and_writes_come_late() {
    let troubles = &[Trouble::Crash, Trouble::Delay];
    holds(Setup { name: "two Ingresses, a crash and a late write", ingresses: 2, troubles, ..ONE_STEP }, 250_000);
}

#[test]
fn a_source_that_is_out_of_reach_and_comes_back_breaks_nothing() {
    let late = &[Trouble::Dead(Side::Source), Trouble::Delay];
    holds(Setup { name: "the source away, a late write", troubles: late, ..ONE_STEP }, 25_000);
    let crash = &[Trouble::Dead(Side::Source), Trouble::Crash];
    holds(Setup { name: "the source away, a crash", troubles: crash, ..ONE_STEP }, 45_000);
}

#[test]
fn a_target_that_is_out_of_reach_or_fails_and_comes_back_breaks_nothing() {
    let late = &[Trouble::Dead(Side::Target), Trouble::Delay];
    holds(Setup { name: "the target away, a late write", troubles: late, ..ONE_STEP }, 10_000);
    holds(Setup { name: "the target fails and recovers", troubles: &[Trouble::Sick], ..SHIFT }, 2_000);
}

#[test]
fn a_second_operator_that_acts_late_on_what_it_knew_breaks_nothing() {
    let troubles = &[Trouble::Second, Trouble::Delay];
    holds(Setup { name: "a second operator and a late write", troubles, ..ONE_STEP }, 700_000);
}

#[test]
fn a_second_operator_that_knows_an_earlier_step_breaks_nothing() {
    holds(Setup { name: "a second operator, two steps", troubles: &[Trouble::Second], ..SHIFT }, 500_000);
}

#[test]
fn watches_that_lag_break_nothing() {
    holds(Setup { name: "watches that lag", troubles: &[Trouble::Lag], ..SHIFT }, 40_000);
}

#[test]
fn external_dns_that_applies_what_it_read_earlier_breaks_nothing() {
    holds(Setup { name: "external-dns in the middle of a pass", troubles: &[Trouble::Batches], ..SHIFT }, 15_000);
}

#[test]
fn somebody_elses_write_at_any_moment_does_not_make_ours_harmful() {
    const FOREIGN: [Trouble; 4] = [
        Trouble::Foreign(Side::Source, Some(0)),
        Trouble::Foreign(Side::Source, None),
        Trouble::Foreign(Side::Target, Some(0)),
        Trouble::Foreign(Side::Target, Some(100)),
    ];
    holds(Setup { name: "somebody else's write", troubles: &FOREIGN, ..ONE_STEP }, 10_000);
}
