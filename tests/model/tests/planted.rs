//! Planted mistakes are found, each with its shortest story; without the mistake, the same configuration keeps its promises.
#![allow(clippy::panic, clippy::print_stderr, reason = "what is found is printed")]

use model::{PLAIN, Plant, Setup, Trouble, explore};
use namespace_migration::api::Stage;
use namespace_migration::machine::Side;

const SMOKE: Setup = Setup { from: Stage::SmokeTest, ..PLAIN };
const SHIFT: Setup = Setup { from: Stage::ShiftTraffic, ..PLAIN };

/// The promise that the mistake breaks, and without it does not.
fn finds(setup: Setup, plant: Plant, expected: &str) {
    let sound = explore(setup);
    assert_eq!(sound.broken, None, "without the mistake");
    finds_alone(setup, plant, expected);
}

/// The promise that the mistake breaks in one of the large configurations, which `promises` explores without it.
fn finds_alone(setup: Setup, plant: Plant, expected: &str) {
    let Some(story) = explore(Setup { plant: Some(plant), ..setup }).broken else {
        panic!("{plant:?} is not found");
    };
    eprintln!("{plant:?}, {story}");
    assert!(story.contains(expected), "{story}");
}

#[test]
fn a_source_that_is_lowered_first_is_found() {
    let setup = Setup { name: "lower first", steps: &[100], ..SMOKE };
    finds(setup, Plant::LowerFirst, "two zeros are written");
}

#[test]
fn the_permit_alone_keeps_a_decision_that_lowers_first_from_two_zeros() {
    let plant = Some(Plant::LowerFirstBehindThePermit);
    let found = explore(Setup { name: "lower first, behind the permit", plant, steps: &[100], ..SMOKE });
    assert_eq!(found.broken, None);
}

#[test]
fn a_weight_that_counts_as_served_when_it_is_written_is_found() {
    finds(Setup { name: "no DNS gate", ..SHIFT }, Plant::NoGate, "before DNS shows who receives");
}

#[test]
fn a_rollback_without_a_fence_is_found() {
    let troubles = &[Trouble::Delay];
    finds(Setup { name: "no fence", troubles, ..SHIFT }, Plant::NoFence, "after a rollback has written it");
}

#[test]
fn a_write_without_a_resource_version_is_found() {
    let troubles = &[Trouble::Delay];
    finds(Setup { name: "no resourceVersion", troubles, ..SHIFT }, Plant::NoVersion, "after a rollback has written it");
}

#[test]
fn a_rollback_that_waits_for_the_target_is_found() {
    let troubles = &[Trouble::Dead(Side::Target)];
    finds(Setup { name: "waits for the target", troubles, ..SHIFT }, Plant::WaitsForTarget, "with the target dead");
}

#[test]
fn a_rollback_that_takes_users_from_the_target_when_the_source_did_not_answer_is_found() {
    let troubles = &[Trouble::Dead(Side::Source)];
    let setup = Setup { name: "forgets the source", troubles, steps: &[100], ..SHIFT };
    finds(setup, Plant::ForgetsTheSource, "beside a source at 0 that is out of reach");
}

/// Weights that harm nobody, and that are replaced once they have stood for long enough.
const REPLACED: Setup = Setup { foreign: 2, ..SHIFT };

#[test]
fn a_replacement_that_lowers_the_source_first_is_found() {
    let troubles = &[Trouble::Foreign(Side::Source, Some(100)), Trouble::Foreign(Side::Target, Some(0))];
    let setup = Setup { name: "replaces giver first", troubles, ..REPLACED };
    finds_alone(setup, Plant::ReplacesGiverFirst, "two zeros are written");
}

#[test]
fn a_replacement_that_does_not_wait_for_what_is_put_back_first_is_found() {
    let troubles = &[Trouble::Foreign(Side::Source, Some(20)), Trouble::Foreign(Side::Target, Some(5))];
    let setup = Setup { name: "replaces what DNS does not show", troubles, ..REPLACED };
    finds_alone(setup, Plant::ReplacesUnseen, "beside a source that DNS serves with Some(20)");
}

#[test]
fn a_hold_that_does_not_look_at_dns_is_found() {
    let troubles = &[Trouble::Address(Side::Target)];
    finds(Setup { name: "holds blindly", troubles, ..SHIFT }, Plant::HoldsBlindly, "DNS serves 0 percent");
}

#[test]
fn a_rollback_that_ends_where_nobody_answers_is_found() {
    let troubles = &[Trouble::Address(Side::Source), Trouble::Address(Side::Target)];
    let setup = Setup { name: "nobody answers", troubles, steps: &[100], ..SHIFT };
    finds_alone(setup, Plant::EndsUnanswered, "RolledBack, but it is not back");
}

#[test]
fn a_status_that_tells_nobody_to_be_exposed_is_found() {
    let setup = Setup { name: "tells too little", tells: true, ..SHIFT };
    finds(setup, Plant::TellsTooLittle, "and status tells of 0");
}
