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
fn two_ingresses_break_nothing_while_a_side_is_out_of_reach() {
    let away = |name, troubles| Setup { name, ingresses: 2, troubles, ..ONE_STEP };
    holds(away("two Ingresses, the source away", &[Trouble::Dead(Side::Source), Trouble::Delay]), 1_000_000);
    holds(away("two Ingresses, the target away", &[Trouble::Dead(Side::Target), Trouble::Delay]), 1_500_000);
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
fn it_does_not_either_with_two_ingresses() {
    let troubles = &[Trouble::Batches];
    holds(Setup { name: "external-dns in a pass, two Ingresses", ingresses: 2, troubles, ..ONE_STEP }, 430_000);
}

const AT_ONE_HOST: Setup = Setup { ingresses: 2, one_host: true, ..PLAIN };

#[test]
fn two_ingresses_at_one_host_break_nothing() {
    holds(Setup { name: "two Ingresses at one host", ..AT_ONE_HOST }, 16_000);
    holds(
        Setup {
            name: "two Ingresses at one host, the target's are there already",
            target_is_there: true,
            ..AT_ONE_HOST
        },
        28_000,
    );
}

#[test]
fn two_ingresses_at_one_host_break_nothing_when_a_process_dies_and_writes_come_late() {
    let setup = Setup { from: Stage::ShiftTraffic, steps: &[100], ..AT_ONE_HOST };
    holds(
        Setup {
            name: "two Ingresses at one host, a crash and a late write",
            troubles: &[Trouble::Crash, Trouble::Delay],
            ..setup
        },
        300_000,
    );
}

#[test]
fn two_ingresses_at_one_host_break_nothing_while_external_dns_is_in_a_pass() {
    let setup = Setup { from: Stage::ShiftTraffic, steps: &[100], ..AT_ONE_HOST };
    holds(
        Setup { name: "two Ingresses at one host, external-dns in a pass", troubles: &[Trouble::Batches], ..setup },
        120_000,
    );
}

#[test]
fn a_second_operator_that_comes_to_know_more_and_acts_again_breaks_nothing() {
    let troubles = &[Trouble::Second, Trouble::Second, Trouble::Second];
    holds(Setup { name: "a second operator, three passes", troubles, ..ONE_STEP }, 1_400_000);
}

#[test]
fn a_second_operator_beside_a_target_that_fails_and_recovers_breaks_nothing() {
    let troubles = &[Trouble::Second, Trouble::Sick];
    holds(Setup { name: "a second operator, the target fails", troubles, ..ONE_STEP }, 3_000_000);
}

const FOREIGN: [Trouble; 4] = [
    Trouble::Foreign(Side::Source, Some(0)),
    Trouble::Foreign(Side::Source, None),
    Trouble::Foreign(Side::Target, Some(0)),
    Trouble::Foreign(Side::Target, Some(100)),
];

#[test]
fn somebody_elses_write_at_any_moment_does_not_make_ours_harmful() {
    holds(Setup { name: "somebody else's write", troubles: &FOREIGN, ..ONE_STEP }, 10_000);
}

#[test]
fn a_foreign_weight_is_replaced_without_harm_on_both_sides_and_when_it_comes_back() {
    let troubles = &[Trouble::Foreign(Side::Source, Some(100)), Trouble::Foreign(Side::Target, Some(0))];
    holds(Setup { name: "two harmless foreign weights", troubles, foreign: 2, ..SHIFT }, 590_000);
}

#[test]
fn a_foreign_weight_of_the_source_that_is_lowered_is_put_back_first() {
    let troubles = &[Trouble::Foreign(Side::Source, Some(20)), Trouble::Foreign(Side::Target, Some(5))];
    holds(Setup { name: "a source lowered by somebody", troubles, foreign: 2, ..SHIFT }, 1_500_000);
}

#[test]
fn somebody_elses_write_beside_a_crash_and_a_late_write_does_not_make_ours_harmful() {
    const TROUBLES: [Trouble; 6] = [FOREIGN[0], FOREIGN[1], FOREIGN[2], FOREIGN[3], Trouble::Crash, Trouble::Delay];
    holds(Setup { name: "somebody else's write, a crash and a late write", troubles: &TROUBLES, ..ONE_STEP }, 900_000);
}

#[test]
fn a_second_operator_beside_somebody_elses_write_breaks_nothing() {
    let troubles = &[Trouble::Foreign(Side::Target, Some(100)), Trouble::Second];
    holds(Setup { name: "somebody else's write, a second operator", troubles, ..ONE_STEP }, 1_000_000);
}

#[test]
fn load_balancers_that_lose_their_address_break_nothing() {
    let source = &[Trouble::Address(Side::Source)];
    holds(Setup { name: "the source's address is lost", troubles: source, ..SHIFT }, 100_000);
    let target = &[Trouble::Address(Side::Target)];
    holds(Setup { name: "the target's address is lost", troubles: target, ..SHIFT }, 120_000);
    let both = &[Trouble::Address(Side::Source), Trouble::Address(Side::Target), Trouble::Crash];
    holds(Setup { name: "both addresses are lost, and a crash", troubles: both, ..ONE_STEP }, 5_000_000);
}

#[test]
fn status_tells_of_everybody_who_is_exposed() {
    holds(Setup { name: "who is exposed", tells: true, ..SHIFT }, 3_500);
    let crash = &[Trouble::Crash, Trouble::Dead(Side::Target)];
    holds(Setup { name: "who is exposed, the target away, a crash", tells: true, troubles: crash, ..ONE_STEP }, 72_000);
    holds(
        Setup { name: "who is exposed, external-dns in a pass", tells: true, troubles: &[Trouble::Batches], ..SHIFT },
        25_000,
    );
}
