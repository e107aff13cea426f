//! Ends are ends: nothing is looked at, nothing is written; and how a higher attempt starts again.

use jiff::SignedDuration;
use namespace_migration::api::status::{NamespaceMigrationStatus, StepPhase};
use namespace_migration::api::{RETRY_ANNOTATION, ROLLBACK_ANNOTATION, Stage};
use namespace_migration::machine::drive::Needs;
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::{Observed, Side, decide, needs};
use serde_json::json;

use crate::executor::Faults;
use crate::planted::at;
use crate::recording::{Change, broken_promise, texts};
use crate::world::World;

fn completed() -> World {
    let mut world = World::new();
    world.run_until(Stage::Completed);
    world
}

fn rolled_back() -> World {
    let mut world = at(1, StepPhase::Holding);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.run_until(Stage::RolledBack);
    world
}

fn failed() -> World {
    let mut world = World::with(json!({"preflight": {"acknowledge": []}}));
    world.pass();
    world.advance(SignedDuration::from_hours(25));
    world.pass();
    assert_eq!(world.status.stage, Stage::Failed);
    world
}

#[test]
fn an_ended_migration_needs_nothing_and_does_nothing_whatever_is_seen() {
    for mut world in [completed(), rolled_back(), failed()] {
        let stage = world.status.stage;
        assert_eq!(needs(&world.order, &world.status), Needs::default(), "{stage}");
        let quiet = decide(&world.order, &world.status, &Observed::default(), world.now);
        assert_eq!(quiet.status, world.status, "{stage}: its status is written again");
        assert_eq!((quiet.events.len(), quiet.wake_at), (0, None), "{stage}");
        let before = world.writes.len();
        let all = Needs { clusters: true, probes: true, secrets: vec![], rights: true, neighbours: None, dns: None };
        world.verdicts = [(Side::Source, Verdict::Fail), (Side::Target, Verdict::Fail)].into();
        for side in [Side::Source, Side::Target] {
            world.foreign_weight(side, "web", 0, side == Side::Target);
            let observed = world.observe(&all, 0);
            world.advance(SignedDuration::from_hours(1000));
            let decision = decide(&world.order, &world.status, &observed, world.now);
            assert_eq!((decision.effects.len(), decision.status.stage), (0, stage));
        }
        world.advance(SignedDuration::from_hours(1000));
        world.settle();
        let ours = world.writes[before..].iter().filter(|write| write.ours).count();
        assert_eq!((world.status.stage, ours), (stage, 0));
    }
}

#[test]
fn a_higher_attempt_starts_again_with_a_higher_epoch_and_a_history() {
    let mut world = rolled_back();
    let before = world.writes.len();
    world.verdicts.insert(Side::Target, Verdict::Pass);
    world.edit(&json!({"attempt": 2}));
    assert!(needs(&world.order, &world.status).clusters);
    world.run_until(Stage::Completed);
    let epochs: Vec<_> = world.writes[before..]
        .iter()
        .filter_map(|write| match &write.change {
            Change::Weight { stamp, .. } => Some((stamp.attempt, stamp.epoch)),
            _ => None,
        })
        .collect();
    assert!(epochs.iter().all(|stamp| *stamp == (2, 3)), "{epochs:?}");
    let entry = &world.status.history[0];
    assert_eq!((entry.attempt, entry.stage), (1, Stage::RolledBack));
    let said = "The source serves everything again. The target is unhealthy. https shop.example /: it answered 503, expected 200.";
    assert_eq!(entry.message, said);
    assert!(world.status.cause.is_none());
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn a_higher_attempt_after_an_attempt_that_changed_nothing_starts_again() {
    let mut world = failed();
    world.edit(&json!({"attempt": 2, "preflight": {"acknowledge": [{"check": "AnnotationOnly", "reason": "r"}]}}));
    world.run_until(Stage::Completed);
    assert_eq!(world.status.history[0].stage, Stage::Failed);
}

#[test]
fn a_completed_migration_is_not_started_again_and_one_under_way_is_not_interrupted() {
    let mut done = completed();
    done.edit(&json!({"attempt": 2}));
    assert_eq!(needs(&done.order, &done.status), Needs::default());
    done.pass();
    assert_eq!(done.status.stage, Stage::Completed);
    let mut running = at(1, StepPhase::Holding);
    running.edit(&json!({"attempt": 2}));
    assert!(!needs(&running.order, &running.status).rights, "a read of the target would stand before a rollback");
    running.pass();
    assert_eq!((running.status.stage, running.status.attempt), (Stage::ShiftTraffic, 1));
}

#[test]
fn an_attempt_that_was_raised_before_the_way_back_began_does_not_follow_it_by_itself() {
    let mut from_completed = completed();
    from_completed.edit(&json!({"attempt": 2}));
    from_completed.pass();
    let mut running = at(1, StepPhase::Holding);
    running.edit(&json!({"attempt": 2}));
    running.pass();
    let mut preflight = World::with(json!({"preflight": {"acknowledge": []}, "attempt": 1}));
    preflight.pass();
    preflight.edit(&json!({"attempt": 2}));
    for mut world in [from_completed, running, preflight] {
        let stage = world.status.stage;
        world.annotate(ROLLBACK_ANNOTATION, Some("emergency"));
        world.run_until(Stage::RolledBack);
        assert_eq!(needs(&world.order, &world.status), Needs::default(), "{stage}");
        world.advance(SignedDuration::from_hours(1));
        world.settle();
        assert_eq!((world.status.stage, world.status.attempt), (Stage::RolledBack, 1), "{stage}");
        assert_eq!(world.status.unblock, "To try again: set spec.attempt to 3.", "{stage}");
        let mut by_request = world.clone();
        by_request.annotate(RETRY_ANNOTATION, Some("again"));
        by_request.pass();
        assert_eq!(by_request.status.attempt, 2, "{stage}");
        world.edit(&json!({"attempt": 3}));
        world.pass();
        assert_eq!(world.status.attempt, 3, "{stage}");
        assert_ne!(world.status.stage, Stage::RolledBack, "{stage}");
    }
}

#[test]
fn an_attempt_that_is_raised_before_it_fails_does_not_follow_the_end_by_itself() {
    let mut world = World::with(json!({"preflight": {"acknowledge": []}}));
    world.pass();
    world.edit(&json!({"attempt": 2}));
    world.advance(SignedDuration::from_hours(25));
    world.settle();
    assert_eq!((world.status.stage, world.status.attempt), (Stage::Failed, 1));
    world.edit(&json!({"attempt": 3}));
    world.pass();
    assert_eq!((world.status.stage, world.status.attempt), (Stage::Preflight, 3));
}

#[test]
fn an_attempt_that_is_raised_while_it_goes_back_follows_by_itself_and_status_says_which_does() {
    let mut early = at(1, StepPhase::Holding);
    early.edit(&json!({"attempt": 2}));
    early.pass();
    for raised_before in [false, true] {
        let mut world = if raised_before { early.clone() } else { at(1, StepPhase::Holding) };
        world.annotate(ROLLBACK_ANNOTATION, Some("emergency"));
        world.pass();
        assert_eq!(world.status.stage, Stage::RollingBack);
        if !raised_before {
            world.edit(&json!({"attempt": 2}));
        }
        world.pass();
        let said = if raised_before {
            "spec.attempt was raised to 2 before attempt 1 began to go back, so that it begins nothing by itself. To try again: set \
             it to 3."
        } else {
            "spec.attempt was raised to 2 while attempt 1 goes back: attempt 2 begins by itself when that is over."
        };
        assert_eq!(world.status.deferred_edits[0].message, said);
        for _ in 0..100 {
            world.step();
        }
        assert_eq!(world.status.attempt, if raised_before { 1 } else { 2 });
    }
}

#[test]
fn history_keeps_the_last_ten_ends() {
    let mut world = rolled_back();
    for attempt in 2..=13 {
        world.verdicts.insert(Side::Target, Verdict::Fail);
        world.edit(&json!({"attempt": attempt}));
        world.run_while(|status| status.stage != Stage::RolledBack || status.attempt != attempt);
    }
    let attempts: Vec<_> = world.status.history.iter().map(|entry| entry.attempt).collect();
    assert_eq!(attempts, (3..=12).rev().collect::<Vec<_>>());
}

#[test]
fn a_migration_that_is_deleted_and_made_anew_after_its_end_is_completed_at_once() {
    let world = completed();
    let mut anew = world.with_status(NamespaceMigrationStatus::default());
    anew.pass();
    assert_eq!(anew.status.stage, Stage::Completed);
    assert_eq!(texts(&anew), texts(&world));
}

#[test]
fn a_soaking_migration_writes_nothing_not_even_its_status() {
    let mut world = World::new();
    world.run_until(Stage::Bake);
    world.pass();
    let (status, writes) = (world.status.clone(), world.writes.len());
    for _ in 0..20 {
        world.advance(SignedDuration::from_mins(60));
        world.pass();
        assert_eq!((&world.status, world.writes.len()), (&status, writes));
    }
    assert_eq!(status.stage, Stage::Bake);
}

#[test]
fn a_rollback_that_was_decided_before_the_end_is_not_carried_out_after_it() {
    let mut world = World::new();
    world.run_until(Stage::Bake);
    world.settle();
    let mut other = world.clone();
    other.verdicts.insert(Side::Target, Verdict::Fail);
    let late = other.look();
    assert_eq!(late.effects.len(), 2, "it goes back");
    world.run_until(Stage::Completed);
    let before = texts(&world);
    world.execute(&late, &Faults::default());
    assert_eq!(texts(&world), before);
    // Who knows of the end may go back from it.
    world.annotate(ROLLBACK_ANNOTATION, Some("now"));
    world.run_until(Stage::RolledBack);
}
