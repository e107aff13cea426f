//! A person has the last word: everything goes back to a source that fails when a request or a deletion says so.

use namespace_migration::api::status::{RequestKind, RequestOutcome, StepPhase};
use namespace_migration::api::{ROLLBACK_ANNOTATION, Stage};
use namespace_migration::machine::Side;
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::run::seconds;

use crate::controls::{request, weights};
use crate::planted::at;
use crate::recording::broken_promise;
use crate::world::World;

/// From now on the source fails, and this is known of the target: by itself that moves nobody.
fn failing(before: &World, target: Verdict) -> World {
    let mut world = before.clone();
    world.verdicts = [(Side::Source, Verdict::Fail), (Side::Target, target)].into();
    world.pass();
    assert_eq!((world.status.stage, weights(&world)), (before.status.stage, weights(before)), "{target:?}");
    world
}

/// Some of the users are on the target, or all, and the source fails beside a target of each verdict.
fn sick() -> Vec<World> {
    let mut baking = World::new();
    baking.run_until(Stage::Bake);
    let befores = [at(1, StepPhase::Holding), baking];
    let targets = [Verdict::Pass, Verdict::Inconclusive, Verdict::Fail];
    befores.iter().flat_map(|before| targets.map(|target| failing(before, target))).collect()
}

fn cause(world: &World) -> (&str, &str) {
    let cause = world.status.cause.as_ref().unwrap();
    (&cause.reason, &cause.message)
}

#[test]
fn a_requested_rollback_moves_everybody_to_a_source_that_fails_and_warns_of_it() {
    for mut world in sick() {
        world.annotate(ROLLBACK_ANNOTATION, Some("incident-7"));
        let said = format!(
            "A rollback was requested by kubectl-annotate at {} (token incident-7). The source fails now: https shop.example /: it \
             answered 503, expected 200.",
            seconds(world.now).0
        );
        let events = world.pass().events;
        assert_eq!(cause(&world), ("RollbackRequested", said.as_str()));
        let told = format!("RollingBack began. {said}");
        assert!(events.iter().any(|event| event.warning && event.note == told), "{events:?}");
        assert!(world.status.message.ends_with(&format!(" Why: {said}")), "{}", world.status.message);
        assert_eq!(weights(&world), (Some(100), Some(0)));
        world.run_until(Stage::RolledBack);
        assert_eq!(request(&world, RequestKind::Rollback).outcome, RequestOutcome::Done);
        assert_eq!(broken_promise(&world.writes), None);
    }
}

#[test]
fn a_deletion_that_takes_everything_back_moves_everybody_to_a_source_that_fails() {
    for mut world in sick() {
        let said = format!("The migration was deleted in {}, and spec.deletionPolicy is Rollback.", world.status.stage);
        world.delete();
        world.pass();
        assert_eq!(cause(&world), ("Deleted", said.as_str()));
        assert_eq!(weights(&world), (Some(100), Some(0)));
        world.run_until(Stage::RolledBack);
        assert!(world.gone && world.debts.is_empty(), "{}", world.status.message);
        assert_eq!((weights(&world), broken_promise(&world.writes)), ((Some(100), Some(0)), None));
    }
}
