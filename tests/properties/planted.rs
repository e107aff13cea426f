//! Planted mistakes: each promise can be broken, and the checker sees it. Without the mistake, the same story breaks nothing.

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::status::{StepPhase, StepProgress};
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::records::RecordKind;
use namespace_migration::machine::{Observed, Side, decide};
use serde_json::json;

use crate::executor::{Bug, Faults};
use crate::interleavings::drain;
use crate::recording::{broken_promise, ended_but_acts};
use crate::world::World;

/// A migration that stands in this phase of this step.
pub fn at(index: i32, phase: StepPhase) -> World {
    stands(World::new(), index, phase)
}

/// The same, in this world.
pub fn stands(mut world: World, index: i32, phase: StepPhase) -> World {
    let is_there = |step: &StepProgress| (step.index, step.phase) == (index, phase);
    world.run_while(|status| !status.step.as_ref().is_some_and(is_there));
    world
}

fn with(bug: Bug) -> Faults {
    Faults { bug: Some(bug), ..Faults::default() }
}

/// The target is set to 0 by somebody, unseen, just before the source is lowered to 0.
fn lowered_beside_a_foreign_zero(bug: Option<Bug>) -> Option<String> {
    let mut world = at(3, StepPhase::TargetSettling);
    world.foreign_weight(Side::Target, "web", 0, false);
    world.advance(SignedDuration::from_mins(10));
    world.pass_with(&Faults { stale: 1, bug, ..Faults::default() });
    broken_promise(&world.writes)
}

#[test]
fn a_write_without_a_look_at_the_live_objects_is_seen() {
    let said = "both sides are at 0 after: source web 0";
    assert_eq!(lowered_beside_a_foreign_zero(Some(Bug::NoPermit)).as_deref(), Some(said));
    assert_eq!(lowered_beside_a_foreign_zero(None), None);
}

#[test]
fn a_target_that_gets_more_than_its_step_is_seen() {
    let mut world = World::new();
    world.run_until(Stage::SmokeTest);
    while world.status.step.is_none() {
        world.step();
        world.pass_with(&with(Bug::RaisesTooFar));
    }
    world.pass_with(&with(Bug::RaisesTooFar));
    let said = "the target has 50 percent, 1 are allowed, after: target web 100";
    assert_eq!(broken_promise(&world.writes).as_deref(), Some(said));
}

/// The target is raised, and its external-dns follows with A, but not with AAAA.
fn raised_in_one_kind_only(bug: Option<Bug>) -> Option<String> {
    let mut world = World::new();
    world.give_both_kinds();
    let mut world = stands(world.in_a_zone(), 1, StepPhase::RaiseTarget);
    world.lag(Side::Target, RecordKind::Aaaa, true);
    for _ in 0..20 {
        world.pass_with(&Faults { bug, ..Faults::default() });
        world.advance(SignedDuration::from_secs(30));
    }
    broken_promise(&world.writes)
}

#[test]
fn a_gate_that_looks_at_one_kind_of_record_only_is_seen() {
    let said = "given before DNS showed who receives: source web 90";
    assert_eq!(raised_in_one_kind_only(Some(Bug::LooksAtOneKind)).as_deref(), Some(said));
    assert_eq!(raised_in_one_kind_only(None), None);
}

/// A raise is sent and hangs; the target fails and is rolled back; then the raise arrives.
fn a_late_raise(without_precondition: bool) -> Option<String> {
    let mut world = at(0, StepPhase::Holding);
    world.advance(SignedDuration::from_mins(20));
    world.pass_with(&Faults { delay: Some(0), ..Faults::default() });
    assert_eq!(world.in_flight.len(), 1, "nothing is in flight");
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.settle();
    let sent = world.in_flight.remove(0);
    assert_eq!(world.land(&sent, without_precondition), without_precondition);
    broken_promise(&world.writes)
}

#[test]
fn an_old_write_that_arrives_after_a_rollback_is_seen() {
    let said = "raised in spite of the rollback of epoch 2: target web 10";
    assert_eq!(a_late_raise(true).as_deref(), Some(said));
    assert_eq!(a_late_raise(false), None);
}

/// The target has everything and fails, while the source's API server is away.
fn target_lowered_first(bug: Option<Bug>) -> Option<String> {
    let mut world = World::new();
    world.run_until(Stage::Bake);
    world.unreachable(Side::Source);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.pass();
    world.pass_with(&Faults { bug, ..Faults::default() });
    broken_promise(&world.writes)
}

#[test]
fn a_target_lowered_while_the_source_is_at_zero_is_seen() {
    let said = "both sides are at 0 after: target web 0 RollingBack";
    assert_eq!(target_lowered_first(Some(Bug::IgnoresTheOrder)).as_deref(), Some(said));
    assert_eq!(target_lowered_first(None), None);
}

#[test]
fn a_rollback_that_never_writes_the_target_does_not_come_back() {
    let mut world = at(1, StepPhase::Holding);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    for _ in 0..20 {
        world.pass_with(&with(Bug::ForgetsTheTarget));
        world.advance(SignedDuration::from_mins(5));
    }
    assert_eq!(world.status.stage, Stage::RollbackBlocked);
    assert_eq!(world.target.weight("web"), Some(10));
    assert_eq!(drain(&mut world), Ok(()));
    assert_eq!(world.target.weight("web"), Some(0));
}

#[test]
fn an_ended_migration_that_acts_is_seen() {
    let mut world = at(0, StepPhase::Holding);
    world.advance(SignedDuration::from_mins(20));
    let acting = world.look();
    assert!(!acting.effects.is_empty());
    world.run_until(Stage::Completed);
    assert!(ended_but_acts(&world.status, &acting).is_some());
    let quiet = decide(&world.order, &world.status, &Observed::default(), world.now);
    assert_eq!(ended_but_acts(&world.status, &quiet), None);
}

/// A paused migration whose fences are written, and a ceiling below its share.
fn fenced(bug: Option<Bug>) -> Option<String> {
    let mut world = at(1, StepPhase::Holding);
    world.edit(&json!({"suspend": true}));
    world.pass_with(&Faults { bug, ..Faults::default() });
    broken_promise(&world.writes)
}

#[test]
fn a_weight_that_moves_in_a_pause_is_seen() {
    let said = "the target has 53 percent, 10 are allowed, after: target web 100";
    assert_eq!(fenced(Some(Bug::IgnoresThePause)).as_deref(), Some(said));
    assert_eq!(fenced(None), None);
    let mut world = at(1, StepPhase::Holding);
    world.advance(SignedDuration::from_mins(40));
    let raise = world.look();
    world.edit(&json!({"suspend": true}));
    world.execute(&raise, &Faults::default());
    assert_eq!(broken_promise(&world.writes).as_deref(), Some("it was paused, and yet: target web 50"));
}

#[test]
fn a_raise_above_the_ceiling_is_seen() {
    let mut world = at(1, StepPhase::Holding);
    world.advance(SignedDuration::from_mins(40));
    let raise = world.look();
    world.edit(&json!({"traffic": {"upTo": 10}}));
    world.execute(&raise, &Faults::default());
    let said = "the target has 36 percent, 10 are allowed, after: target web 50";
    assert_eq!(broken_promise(&world.writes).as_deref(), Some(said));
}

/// A raise is on the wire when the ceiling is lowered, and arrives when the target has been lowered.
fn a_raise_after_the_way_down(without_precondition: bool) -> World {
    let mut world = at(1, StepPhase::Holding);
    world.advance(SignedDuration::from_mins(40));
    world.pass_with(&Faults { delay: Some(0), ..Faults::default() });
    world.edit(&json!({"traffic": {"upTo": 10}}));
    world.run_while(|status| status.reason != "AtCeiling");
    let sent = world.in_flight.remove(0);
    assert_eq!(world.land(&sent, without_precondition), without_precondition);
    world
}

#[test]
fn an_old_raise_that_arrives_at_the_ceiling_is_a_contest_unless_the_api_server_refuses_it() {
    let mut world = a_raise_after_the_way_down(true);
    world.pass();
    assert_eq!(world.target.weight("web"), Some(50));
    let mut world = a_raise_after_the_way_down(false);
    world.pass();
    assert_eq!((world.target.weight("web"), world.status.reason.as_str()), (Some(10), "AtCeiling"));
}

#[test]
fn a_token_that_nobody_answers_is_seen() {
    let mut world = at(1, StepPhase::Holding);
    world.run_until(Stage::Completed);
    assert_eq!(crate::interleavings::unanswered(&world), None);
    let open = json!({
        "kind": "Rollback", "token": "a", "at": "2026-11-21T08:00:00Z", "stage": "Bake", "outcome": "Accepted", "message": "",
    });
    world.status.requests.push(serde_json::from_value(open).unwrap());
    let said = crate::interleavings::unanswered(&world).unwrap();
    assert!(said.starts_with("Completed, but nobody has answered"), "{said}");
}
