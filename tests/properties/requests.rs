//! What a person sends back and tries again: once for each token, refused where it makes no sense.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use namespace_migration::api::status::{RequestKind, RequestOutcome, StepPhase};
use namespace_migration::api::{NamespaceMigrationStatus, RETRY_ANNOTATION, ROLLBACK_ANNOTATION, Stage};
use namespace_migration::machine::Side;
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::observed::{NamespaceFacts, WorkloadFacts};
use namespace_migration::machine::run::seconds;
use serde_json::json;

use crate::controls::{bring_what_is_missing, every_stage, request, standing, weights};
use crate::executor::Faults;
use crate::planted::at;
use crate::recording::{broken_promise, texts};
use crate::world::World;

#[test]
fn a_requested_rollback_goes_back_from_every_stage_and_is_echoed() {
    for (stage, mut world) in every_stage() {
        let before = world.writes.len();
        world.annotate(ROLLBACK_ANNOTATION, Some("incident-7"));
        let asked = seconds(world.now).0;
        world.pass();
        let said = format!("A rollback was requested by kubectl-annotate at {asked} (token incident-7).");
        let cause = world.status.cause.clone().unwrap();
        assert_eq!((cause.reason.as_str(), cause.message.as_str()), ("RollbackRequested", said.as_str()), "{stage}");
        if stage <= Stage::Preflight {
            assert_eq!((world.status.stage, world.writes.len()), (Stage::RolledBack, before), "at once, no write");
        } else {
            assert_eq!(weights(&world).0, Some(100), "{stage}");
            assert!(weights(&world).1.is_none_or(|weight| weight == 0), "{stage}");
            assert_eq!(request(&world, RequestKind::Rollback).outcome, RequestOutcome::Accepted);
            world.run_until(Stage::RolledBack);
        }
        let asked = request(&world, RequestKind::Rollback);
        assert_eq!((asked.token.as_str(), asked.by.as_str(), asked.stage), ("incident-7", "kubectl-annotate", stage));
        assert_eq!((asked.outcome, asked.message.as_str()), (RequestOutcome::Done, "Everything is on the source."));
        assert_eq!(broken_promise(&world.writes), None);
        // The same token does nothing in the next attempt.
        world.edit(&json!({
            "attempt": 2, "preflight": {"acknowledge": [{"check": "AnnotationOnly", "reason": "r"}]},
            "secrets": {"include": []},
        }));
        bring_what_is_missing(&mut world);
        world.run_until(Stage::Completed);
    }
}

/// A migration whose end is known, and a request for a rollback.
fn requested_after(mut world: World, token: &str) -> World {
    world.annotate(ROLLBACK_ANNOTATION, Some(token));
    world.settle();
    world
}

pub fn completed() -> World {
    let mut world = World::new();
    world.run_until(Stage::Completed);
    world.settle();
    world
}

#[test]
fn a_completed_migration_goes_back_while_the_source_still_serves() {
    let mut world = requested_after(completed(), "regret");
    assert_eq!((world.status.stage, weights(&world)), (Stage::RollingBack, (Some(100), Some(0))));
    let back = ["source web 100 RollingBack", "target web 0 RollingBack"];
    assert_eq!(texts(&world)[texts(&world).len() - 2..], back);
    world.run_until(Stage::RolledBack);
    assert_eq!(request(&world, RequestKind::Rollback).outcome, RequestOutcome::Done);
    assert_eq!(broken_promise(&world.writes), None);
    world.annotate(RETRY_ANNOTATION, Some("again"));
    world.run_until(Stage::Completed);
    assert_eq!(world.status.attempt, 2);
}

#[test]
fn a_completed_migration_does_not_go_back_to_a_source_that_cannot_serve() {
    type Change = fn(&mut World);
    let cases: [(Change, &str); 12] = [
        (|world| world.unreachable(Side::Source), "the source cluster does not answer: connection refused"),
        (|world| drop(world.source.ingresses.remove("web")), "Ingress web is gone from the source"),
        (|world| world.ingress_mut(Side::Source, "web").deleting = true, "Ingress web on the source is being deleted"),
        (
            |world| world.ingress_mut(Side::Source, "web").addresses.clear(),
            "Ingress web on the source has no load balancer address",
        ),
        (
            |world| world.source.namespace = Some(NamespaceFacts { uid: "n".into(), terminating: true }),
            "the namespace shop is gone from the source or being deleted",
        ),
        (
            |world| world.source.workloads.get_mut("Deployment/web").unwrap().ready = 1,
            "Deployment/web on the source has 1 of 2 Pods ready",
        ),
        (|world| world.source.workloads.clear(), "Deployment/web does not run on the source any more"),
        (
            |world| world.source.services.clear(),
            "Service web, to which Ingress web sends its requests, is gone from the source",
        ),
        (
            |world| {
                unselected(world);
                let facts = world.source.workloads.get_mut("Deployment/web").unwrap();
                (facts.ready, facts.desired) = (0, 3);
            },
            "no workload on the source has a ready Pod: Deployment/web has 0 of 3",
        ),
        (
            |world| {
                world.target.workloads.clear();
                world.source.workloads.get_mut("Deployment/web").unwrap().desired = 0;
            },
            "Deployment/web, which serves Ingress web, is scaled to 0 on the source",
        ),
        (
            |world| world.source.workloads.get_mut("Deployment/web").unwrap().desired = 0,
            "Deployment/web does not run on the source any more",
        ),
        (
            |world| {
                let facts = world.ingress_mut(Side::Target, "web");
                facts.stamp.as_mut().unwrap().owner = "home/shop/onward".into();
            },
            "Ingress web on the target belongs to another migration by now, home/shop/onward",
        ),
    ];
    for (change, what) in cases {
        let mut world = completed();
        let before = world.writes.len();
        change(&mut world);
        let mut world = requested_after(world, "regret");
        let asked = request(&world, RequestKind::Rollback);
        let said = format!(
            "Refused: the source cannot take the users back: {what}. Bring it back and ask again with another value."
        );
        assert_eq!((asked.outcome, asked.message.as_str()), (RequestOutcome::Refused, said.as_str()));
        assert_eq!((world.status.stage, world.writes.len()), (Stage::Completed, before));
        world.advance(SignedDuration::from_hours(1));
        let quiet = world.status.clone();
        world.pass();
        assert_eq!(world.status, quiet, "it is looked at again");
    }
}

/// The Services do not say which Pods they send requests to.
fn unselected(world: &mut World) {
    for side in [Side::Source, Side::Target] {
        world.side_mut(side).services.values_mut().for_each(|service| service.selector.clear());
    }
}

#[test]
fn what_serves_no_ingress_that_moved_refuses_no_rollback_from_the_end() {
    let batch = WorkloadFacts { desired: 3, ready: 0, current: true, labels: BTreeMap::new() };
    for told in [true, false] {
        let mut world = completed();
        if !told {
            unselected(&mut world);
        }
        world.source.workloads.insert("Deployment/batch".into(), batch.clone());
        world.target.workloads.insert("Deployment/new".into(), batch.clone());
        let world = requested_after(world, "regret");
        assert_eq!(world.status.stage, Stage::RollingBack, "{}", request(&world, RequestKind::Rollback).message);
    }
    let mut nothing_is_watched = completed();
    unselected(&mut nothing_is_watched);
    nothing_is_watched.source.workloads.clear();
    assert_eq!(
        requested_after(nothing_is_watched, "regret").status.stage,
        Stage::RollingBack,
        "Pods may be others' make"
    );
}

#[test]
fn a_rollback_beside_a_deletion_that_keeps_the_weights_is_refused_and_says_what_would_do_it() {
    let mut world = at(1, StepPhase::Holding);
    world.unreachable(Side::Target);
    world.edit(&json!({"deletionPolicy": "Freeze"}));
    world.delete();
    world.annotate(ROLLBACK_ANNOTATION, Some("late"));
    world.pass();
    let said = "Refused: the object is being deleted, and with spec.deletionPolicy Freeze all weights stay; set that to Rollback to \
                send everything back.";
    assert_eq!(request(&world, RequestKind::Rollback).message, said);
    world.edit(&json!({"deletionPolicy": "Rollback"}));
    world.pass();
    assert_eq!(weights(&world).0, Some(100));
}

#[test]
fn a_rollback_that_waits_for_a_list_says_for_which() {
    let mut world = World::new();
    world.unreachable(Side::Source);
    world.source.synced = false;
    world.annotate(ROLLBACK_ANNOTATION, Some("early"));
    world.pass();
    let said = "It is done as soon as the source can be listed, which tells whether anything was written. The source cluster of \
                ClusterPair old-to-new does not answer: connection refused.";
    assert_eq!(request(&world, RequestKind::Rollback).message, said);
    world.reachable(Side::Source);
    world.pass();
    assert_eq!(world.status.stage, Stage::RolledBack);
}

#[test]
fn a_rollback_is_refused_where_there_is_nothing_to_send_back() {
    let mut back = at(1, StepPhase::Holding);
    back.verdicts.insert(Side::Target, Verdict::Fail);
    back.unreachable(Side::Target);
    back.pass();
    let asked = |mut world: World| {
        world.annotate(ROLLBACK_ANNOTATION, Some("late"));
        world.pass();
        world
    };
    let rolling = asked(back.clone());
    assert_eq!(request(&rolling, RequestKind::Rollback).message, "Refused: it is rolling back already.");
    back.advance(SignedDuration::from_hours(1));
    back.pass();
    assert_eq!(back.status.stage, Stage::RollbackBlocked);
    let blocked = asked(back.clone());
    assert_eq!(request(&blocked, RequestKind::Rollback).outcome, RequestOutcome::Refused);
    back.reachable(Side::Target);
    back.run_until(Stage::RolledBack);
    let mut failed = World::with(json!({"preflight": {"acknowledge": []}}));
    failed.pass();
    failed.advance(SignedDuration::from_hours(25));
    failed.pass();
    for (world, stage) in [(back, "RolledBack"), (failed, "Failed")] {
        let before = world.writes.len();
        let world = requested_after(world, "late");
        let said = format!("Refused: it has ended as {stage} already: the source serves everything.");
        assert_eq!(request(&world, RequestKind::Rollback).message, said);
        assert_eq!(world.writes.len(), before);
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let world = requested_after(at(1, StepPhase::Holding), "");
    let said = "Refused: its value is empty; give it a text of 1 to 64 characters that was not used before.";
    assert_eq!(request(&world, RequestKind::Rollback).message, said);
    assert_eq!(world.status.stage, Stage::ShiftTraffic);
}

#[test]
fn a_crash_at_any_moment_handles_a_token_once() {
    let crashes = [
        Faults { crash_before: Some(0), ..Faults::default() },
        Faults { crash_after: Some(0), ..Faults::default() },
        Faults { crash_after: Some(1), ..Faults::default() },
        Faults { crash_before_save: true, ..Faults::default() },
    ];
    for from in [at(1, StepPhase::Holding), completed()] {
        for crash in &crashes {
            let mut world = from.clone();
            world.annotate(ROLLBACK_ANNOTATION, Some("once"));
            world.pass_with(crash);
            world.reachable(Side::Source);
            world.reachable(Side::Target);
            world.run_until(Stage::RolledBack);
            let asked = request(&world, RequestKind::Rollback);
            assert_eq!(asked.outcome, RequestOutcome::Done, "{crash:?}: {}", asked.message);
            assert_eq!(world.status.cause.as_ref().unwrap().reason, "RollbackRequested", "{crash:?}");
            assert_eq!(broken_promise(&world.writes), None);
            let mut again = world.clone();
            again.annotate(RETRY_ANNOTATION, Some("once more"));
            again.pass_with(crash);
            again.reachable(Side::Source);
            again.reachable(Side::Target);
            again.run_until(Stage::Completed);
            assert_eq!((again.status.attempt, again.status.history.len()), (2, 1), "{crash:?}");
        }
    }
}

#[test]
fn a_lost_status_does_not_make_an_old_token_a_new_one() {
    let mut world = at(1, StepPhase::Holding);
    world.annotate(ROLLBACK_ANNOTATION, Some("old"));
    world.run_until(Stage::RolledBack);
    world.annotate(RETRY_ANNOTATION, Some("old"));
    world.run_until(Stage::Completed);
    let mut lost = world.with_status(NamespaceMigrationStatus::default());
    lost.settle();
    assert_eq!((lost.status.stage, lost.writes.len()), (Stage::Completed, world.writes.len()));
    assert_eq!(request(&lost, RequestKind::Rollback).outcome, RequestOutcome::Refused);
    lost.advance(SignedDuration::from_hours(5));
    lost.settle();
    assert_eq!((lost.status.stage, lost.writes.len()), (Stage::Completed, world.writes.len()));
}

#[test]
fn an_old_token_is_refused_when_the_status_is_lost_in_mid_shift_and_a_new_one_is_done() {
    let mut world = at(1, StepPhase::Holding);
    world.annotate(ROLLBACK_ANNOTATION, Some("old"));
    world.run_until(Stage::RolledBack);
    world.advance(SignedDuration::from_hours(1));
    world.edit(&json!({"attempt": 2}));
    for stage in [Stage::WeightSource, Stage::SmokeTest, Stage::ShiftTraffic, Stage::Bake] {
        world.run_while(|status| (status.attempt, status.stage) != (2, stage));
        world.settle();
        let mut lost = world.with_status(NamespaceMigrationStatus::default());
        lost.settle();
        assert_eq!((weights(&lost), &lost.status.cause), (weights(&world), &None), "{stage}");
        let asked = request(&lost, RequestKind::Rollback);
        let said = "Refused: the status was lost, and it is older than the weight that was written at ";
        assert!(asked.message.starts_with(said), "{stage}: {}", asked.message);
        lost.advance(SignedDuration::from_secs(1));
        let mut lost = lost.with_status(NamespaceMigrationStatus::default());
        lost.annotate(ROLLBACK_ANNOTATION, Some("new"));
        lost.run_until(Stage::RolledBack);
        assert_eq!(request(&lost, RequestKind::Rollback).outcome, RequestOutcome::Done, "{stage}");
        assert_eq!(broken_promise(&lost.writes), None);
    }
}

#[test]
fn a_retry_of_an_object_that_goes_is_refused() {
    let mut world = at(1, StepPhase::Holding);
    world.annotate(ROLLBACK_ANNOTATION, Some("a"));
    world.run_until(Stage::RolledBack);
    world.order.deletion.asked_at = Some(world.now);
    world.order.deletion.held = true;
    world.annotate(RETRY_ANNOTATION, Some("a"));
    let decided = world.look().status;
    assert_eq!((decided.stage, decided.attempt), (Stage::RolledBack, 1));
    let retry = decided.requests.iter().find(|request| request.kind == RequestKind::Retry).unwrap();
    let said = "Refused: the object is being deleted, so that no other attempt can begin.";
    assert_eq!((retry.outcome, retry.message.as_str()), (RequestOutcome::Refused, said));
}

#[test]
fn a_retry_begins_the_next_attempt_after_an_end_and_the_spec_must_then_be_higher() {
    let mut world = at(1, StepPhase::Holding);
    world.annotate(ROLLBACK_ANNOTATION, Some("a"));
    world.run_until(Stage::RolledBack);
    world.annotate(RETRY_ANNOTATION, Some("a"));
    world.pass();
    assert_eq!(world.status.attempt, 2);
    let asked = request(&world, RequestKind::Retry);
    assert_eq!((asked.outcome, asked.message.as_str()), (RequestOutcome::Done, "Attempt 2 began."));
    world.annotate(ROLLBACK_ANNOTATION, Some("b"));
    world.run_until(Stage::RolledBack);
    world.edit(&json!({"attempt": 2}));
    world.pass();
    assert_eq!((world.status.stage, world.status.attempt), (Stage::RolledBack, 2));
    // A lost status does not begin it anew, though the spec asks for a lower attempt than was made.
    let mut lost = world.with_status(NamespaceMigrationStatus::default());
    lost.annotate(RETRY_ANNOTATION, None);
    lost.run_until(Stage::RolledBack);
    assert_eq!(lost.writes.len(), world.writes.len());
    world.edit(&json!({"attempt": 3}));
    world.run_until(Stage::Completed);
    assert_eq!(world.status.attempt, 3);
}

#[test]
fn a_retry_gives_a_stage_its_time_anew_and_a_blocked_rollback_another_chance() {
    let mut world = standing(Stage::PublishTarget);
    world.advance(SignedDuration::from_mins(50));
    world.annotate(RETRY_ANNOTATION, Some("a"));
    world.pass();
    let asked = request(&world, RequestKind::Retry);
    assert_eq!(asked.message, "Everything is looked at again, and PublishTarget has 1h3m from now on.");
    world.advance(SignedDuration::from_mins(50));
    world.settle();
    assert_eq!(world.status.stage, Stage::PublishTarget);
    world.advance(SignedDuration::from_mins(15));
    world.settle();
    assert_eq!(world.status.stage, Stage::RollingBack, "the same token gives no more time");

    let mut blocked = at(1, StepPhase::Holding);
    blocked.unreachable(Side::Target);
    blocked.verdicts.insert(Side::Target, Verdict::Fail);
    blocked.pass();
    blocked.advance(SignedDuration::from_hours(1));
    blocked.pass();
    assert_eq!(blocked.status.stage, Stage::RollbackBlocked);
    blocked.annotate(RETRY_ANNOTATION, Some("a"));
    blocked.pass();
    assert_eq!(blocked.status.stage, Stage::RollingBack);
    assert_eq!(request(&blocked, RequestKind::Retry).outcome, RequestOutcome::Done);
}

#[test]
fn a_completed_migration_has_nothing_to_try_again() {
    let mut world = completed();
    world.annotate(RETRY_ANNOTATION, Some("a"));
    world.settle();
    let said = "Refused: the service has moved, so that there is nothing to try again; a rollback can be requested.";
    assert_eq!(request(&world, RequestKind::Retry).message, said);
    assert_eq!(world.status.stage, Stage::Completed);
}
