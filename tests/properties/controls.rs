//! What a person stops, holds, sends back and tries again: in every stage, once for each token, and never beyond a ceiling.

use jiff::SignedDuration;
use namespace_migration::api::status::{RequestKind, RequestOutcome, RequestStatus, StepPhase};
use namespace_migration::api::{
    NamespaceMigrationStatus, PAUSED_ANNOTATION, RETRY_ANNOTATION, ROLLBACK_ANNOTATION, Stage,
};
use namespace_migration::machine::Side;
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::observed::NamespaceFacts;
use serde_json::json;

use crate::executor::Faults;
use crate::planted::at;
use crate::recording::{Change, broken_promise, texts};
use crate::stages::says;
use crate::world::{SETTLE, World};

/// The stages in which a migration can be met, each with a world that stands there.
pub fn every_stage() -> Vec<(Stage, World)> {
    let stages = [
        Stage::Preflight,
        Stage::WeightSource,
        Stage::PrepareTarget,
        Stage::CopySecrets,
        Stage::DeployWorkloads,
        Stage::PublishTarget,
        Stage::SmokeTest,
        Stage::ShiftTraffic,
        Stage::Bake,
    ];
    let mut pending = World::new();
    pending.unreachable(Side::Target);
    pending.settle();
    let others = stages.into_iter().map(|stage| (stage, standing(stage)));
    std::iter::once((Stage::Pending, pending)).chain(others).collect()
}

fn standing(stage: Stage) -> World {
    let mut world = match stage {
        Stage::Preflight => World::with(json!({"preflight": {"acknowledge": []}})),
        Stage::CopySecrets => World::with(json!({"secrets": {"include": ["missing"]}})),
        Stage::ShiftTraffic => return at(1, StepPhase::Holding),
        _ => World::new(),
    };
    match stage {
        Stage::PrepareTarget => world.target.services.clear(),
        Stage::DeployWorkloads => world.target.workloads.clear(),
        Stage::PublishTarget => world.load_balancer = false,
        Stage::SmokeTest => drop(world.verdicts.insert(Side::Target, Verdict::Inconclusive)),
        _ => {}
    }
    world.run_until(stage);
    world.settle();
    assert_eq!(world.status.stage, stage);
    world
}

fn weights(world: &World) -> (Option<i32>, Option<i32>) {
    (world.source.weight("web"), world.target.weight("web"))
}

fn pause(world: &mut World) {
    world.annotate(PAUSED_ANNOTATION, Some("incident"));
}

fn resume(world: &mut World) {
    world.annotate(PAUSED_ANNOTATION, None);
}

pub fn request(world: &World, kind: RequestKind) -> &RequestStatus {
    world.status.requests.iter().find(|request| request.kind == kind).unwrap()
}

fn epoch(world: &World) -> i64 {
    world.status.epoch
}

#[test]
fn a_pause_freezes_every_stage_and_says_who_since_when_and_how_to_go_on() {
    for (stage, mut world) in every_stage() {
        let (before, old_epoch) = (weights(&world), epoch(&world));
        pause(&mut world);
        world.pass();
        let state = if stage > Stage::Preflight {
            "weights stay as they are, checks go on, and a rollback stays armed"
        } else {
            "nothing was written yet, and nothing is"
        };
        let since = world.status.pause.as_ref().unwrap().since.0;
        let said = format!(
            "It is paused by the annotation namespacemigration.io/paused (kubectl-annotate) since {since}: {state}."
        );
        assert_eq!(says(&world), (stage, "Paused", said.as_str()));
        assert_eq!(
            world.status.unblock,
            "To go on: kubectl annotate migration shop -n shop namespacemigration.io/paused-."
        );
        assert_eq!(epoch(&world) - old_epoch, i64::from(stage > Stage::Preflight), "{stage}: raised once");
        // Everything that it waited for comes, and a long time passes: nothing moves.
        world.load_balancer = true;
        world.reachable(Side::Target);
        world.verdicts.insert(Side::Target, Verdict::Pass);
        world.settle();
        world.advance(SignedDuration::from_secs(10));
        world.settle();
        let frozen = world.status.clone();
        for _ in 0..10 {
            world.advance(SignedDuration::from_hours(9));
            world.pass();
        }
        assert_eq!((weights(&world), world.status.stage, epoch(&world)), (before, stage, frozen.epoch), "{stage}");
        assert_eq!(world.status.conditions, frozen.conditions, "{stage}: it flutters");
        assert_eq!(broken_promise(&world.writes), None);
    }
}

#[test]
fn a_pause_stamps_both_sides_with_the_weights_that_are_live() {
    let mut world = at(1, StepPhase::Holding);
    let before = world.writes.len();
    pause(&mut world);
    world.settle();
    assert_eq!(texts(&world)[before..], ["source web 90", "target web 10"]);
    let stamps: Vec<_> = world.writes[before..].iter().filter_map(stamped_epoch).collect();
    assert_eq!(stamps, [2, 2]);
    assert_eq!(world.status.pause.as_ref().unwrap().epoch, 2);
}

fn stamped_epoch(write: &crate::recording::Write) -> Option<i64> {
    if let Change::Weight { stamp, .. } = &write.change { Some(stamp.epoch) } else { None }
}

#[test]
fn a_write_that_was_on_the_wire_when_it_was_paused_changes_nothing() {
    let mut world = at(0, StepPhase::Holding);
    world.advance(SignedDuration::from_mins(20));
    world.pass_with(&Faults { delay: Some(0), ..Faults::default() });
    assert_eq!(world.in_flight.len(), 1);
    pause(&mut world);
    world.settle();
    let sent = world.in_flight.remove(0);
    assert!(!world.land(&sent, false));
    assert_eq!(weights(&world), (Some(99), Some(1)));
}

#[test]
fn a_fence_never_undoes_a_write_that_arrived_before_it() {
    let mut world = at(0, StepPhase::Holding);
    world.advance(SignedDuration::from_mins(20));
    world.pass_with(&Faults { delay: Some(0), ..Faults::default() });
    pause(&mut world);
    let sent = world.in_flight.remove(0);
    assert!(world.land(&sent, false));
    // The pass has not seen it yet.
    world.pass_with(&Faults { stale: 1, ..Faults::default() });
    assert_eq!(weights(&world), (Some(99), Some(10)));
    world.settle();
    assert_eq!(weights(&world), (Some(99), Some(10)));
    resume(&mut world);
    world.run_until(Stage::Completed);
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn a_side_that_is_away_gets_its_fence_when_it_returns() {
    let mut world = at(1, StepPhase::Holding);
    world.unreachable(Side::Target);
    pause(&mut world);
    world.settle();
    let said = "The fence on the target is not written yet: The target cluster of ClusterPair old-to-new does not answer: connection refused.";
    assert!(world.status.message.contains(said), "{}", world.status.message);
    let before = world.writes.len();
    world.reachable(Side::Target);
    world.settle();
    assert_eq!(texts(&world)[before..], ["target web 10"]);
    assert!(!world.status.message.contains("fence"), "{}", world.status.message);
}

#[test]
fn after_a_pause_it_goes_on_exactly_where_it_was() {
    for (stage, mut world) in every_stage() {
        let (steps, before) = (world.status.step.clone(), weights(&world));
        pause(&mut world);
        world.settle();
        // DNS follows in a pause as well: a stage that waits for it alone may end with the pause.
        let long =
            if stage == Stage::WeightSource { SignedDuration::from_secs(30) } else { SignedDuration::from_hours(200) };
        world.advance(long);
        world.settle();
        resume(&mut world);
        world.pass();
        assert_eq!((world.status.stage, weights(&world)), (stage, before), "{}", world.status.message);
        assert!(world.status.pause.is_none());
        let place = |step: &Option<namespace_migration::api::status::StepProgress>| {
            step.as_ref().map(|step| (step.index, step.phase))
        };
        if stage != Stage::Bake {
            assert_eq!(place(&world.status.step), place(&steps), "{stage}");
        }
        world.edit(&json!({
            "preflight": {"acknowledge": [{"check": "AnnotationOnly", "reason": "r"}]}, "secrets": {"include": []},
        }));
        world.reachable(Side::Target);
        world.target.services = world.source.services.clone();
        world.target.workloads = world.source.workloads.clone();
        world.load_balancer = true;
        world.verdicts.insert(Side::Target, Verdict::Pass);
        world.run_until(Stage::Completed);
        assert_eq!(broken_promise(&world.writes), None);
    }
}

#[test]
fn the_clock_of_a_hold_stands_still_in_a_pause() {
    let mut world = at(0, StepPhase::Holding);
    let begun = world.now;
    world.advance(SignedDuration::from_mins(4));
    world.pass();
    world.edit(&json!({"suspend": true}));
    world.pass();
    assert!(world.status.message.contains("paused by spec.suspend since"), "{}", world.status.message);
    assert_eq!(world.status.unblock, "To go on: set spec.suspend to false.");
    world.advance(SignedDuration::from_hours(30));
    world.pass();
    world.edit(&json!({"suspend": false}));
    world.run_while(|status| status.step_text == "1/4");
    let held = world.now.duration_since(begun) - SignedDuration::from_hours(30);
    assert!(held >= SignedDuration::from_mins(10) && held < SignedDuration::from_mins(11), "{held:?}");
}

#[test]
fn a_rollback_stays_armed_in_a_pause_and_a_pause_does_not_stop_it() {
    let mut failing = at(1, StepPhase::Holding);
    pause(&mut failing);
    failing.settle();
    let mut harmed = failing.clone();
    let mut asked = failing.clone();
    failing.verdicts.insert(Side::Target, Verdict::Fail);
    harmed.foreign_weight(Side::Target, "web", 100, false);
    asked.annotate(ROLLBACK_ANNOTATION, Some("a"));
    for (mut world, cause) in [(failing, "TargetUnhealthy"), (harmed, "ForeignWeight"), (asked, "RollbackRequested")] {
        world.pass();
        assert_eq!(world.status.cause.as_ref().unwrap().reason, cause);
        assert_eq!(weights(&world), (Some(100), Some(0)));
        let said = "It is paused by the annotation namespacemigration.io/paused (kubectl-annotate), which does not stop a rollback.";
        assert!(world.status.message.contains(said), "{}", world.status.message);
        assert!(world.status.pause.is_none());
        world.run_until(Stage::RolledBack);
    }
}

#[test]
fn what_stops_the_clock_is_told_beside_a_pause() {
    let mut world = at(1, StepPhase::Holding);
    pause(&mut world);
    world.foreign_weight(Side::Target, "web", 5, false);
    world.settle();
    let said = "Meanwhile: The weight of Ingress web on the target was changed to 5 by helm; 10 is expected.";
    assert!(world.status.message.ends_with(said), "{}", world.status.message);
    assert_eq!(world.target.weight("web"), Some(5), "what somebody else wrote is not stamped");
}

#[test]
fn a_requested_rollback_goes_back_from_every_stage_and_is_echoed() {
    for (stage, mut world) in every_stage() {
        let before = world.writes.len();
        world.annotate(ROLLBACK_ANNOTATION, Some("incident-7"));
        world.pass();
        let said = "A rollback was requested by kubectl-annotate at 2026-11-21T08:00:00Z (token incident-7).";
        let cause = world.status.cause.clone().unwrap();
        assert_eq!((cause.reason.as_str(), cause.message.as_str()), ("RollbackRequested", said), "{stage}");
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
        world.reachable(Side::Target);
        world.target.services = world.source.services.clone();
        world.target.workloads = world.source.workloads.clone();
        world.load_balancer = true;
        world.verdicts.insert(Side::Target, Verdict::Pass);
        world.run_until(Stage::Completed);
    }
}

/// A migration whose end is known, and a request for a rollback.
fn requested_after(mut world: World, token: &str) -> World {
    world.annotate(ROLLBACK_ANNOTATION, Some(token));
    world.settle();
    world
}

fn completed() -> World {
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
    let cases: [(Change, &str); 9] = [
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

#[test]
fn a_ceiling_of_zero_prepares_and_tests_and_waits_before_the_first_step() {
    let mut world = World::with(json!({"traffic": {"upTo": 0}}));
    world.run_while(|status| status.reason != "AtCeiling");
    let said = "The next step gives the target 1 percent, and spec.traffic.upTo is 0: it stays at 0 percent, and health is watched.";
    assert_eq!(says(&world), (Stage::ShiftTraffic, "AtCeiling", said));
    let fix = "Raise spec.traffic.upTo to 1 or more: kubectl patch migration shop -n shop --type merge -p '{\"spec\":{\"traffic\":{\"upTo\":1}}}'";
    assert_eq!((world.status.unblock.as_str(), world.status.step_text.as_str()), (fix, "0/4"));
    let status = world.status.clone();
    world.advance(SignedDuration::from_hours(500));
    let decision = world.pass();
    assert_eq!((&world.status, decision.wake_at), (&status, None), "it has no deadline");
    let mut sick = world.clone();
    sick.verdicts.insert(Side::Target, Verdict::Fail);
    sick.run_until(Stage::RolledBack);
    world.edit(&json!({"traffic": {"upTo": 100}}));
    world.run_until(Stage::Completed);
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn a_ceiling_between_two_steps_holds_the_one_below_and_a_higher_one_lets_it_go_on_at_once() {
    let mut world = World::with(json!({"traffic": {"upTo": 49}}));
    world.run_while(|status| status.reason != "AtCeiling");
    assert_eq!((world.status.step_text.as_str(), weights(&world)), ("2/4", (Some(90), Some(10))));
    let said = "The next step gives the target 50 percent, and spec.traffic.upTo is 49: it stays at 10 percent, and health is watched.";
    assert_eq!(world.status.message, said);
    world.edit(&json!({"traffic": {"upTo": 50}}));
    world.pass();
    assert_eq!(world.target.weight("web"), Some(50), "what was held has been held");
}

#[test]
fn a_lower_ceiling_brings_the_traffic_back_down_step_by_step_source_first() {
    let mut world = at(2, StepPhase::Holding);
    let before = world.writes.len();
    world.edit(&json!({"traffic": {"upTo": 1}}));
    world.run_while(|status| status.reason != "AtCeiling");
    assert_eq!(texts(&world)[before..], ["source web 90", "target web 10", "source web 99", "target web 1"]);
    for pair in world.writes[before..].windows(2) {
        assert!(pair[1].at.duration_since(pair[0].at) >= SETTLE, "it is not seen to be served");
    }
    assert_eq!((world.status.step_text.as_str(), world.status.stage), ("1/4", Stage::ShiftTraffic));
    assert_eq!(broken_promise(&world.writes), None);
    let begun = world.now;
    world.edit(&json!({"traffic": {"upTo": 0}}));
    world.run_while(|status| status.step_text != "0/4");
    assert_eq!(weights(&world), (Some(100), Some(0)));
    world.edit(&json!({"traffic": {"upTo": 100}}));
    world.run_until(Stage::Completed);
    assert!(world.now.duration_since(begun) > SignedDuration::from_hours(24));
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn at_the_lower_step_the_hold_begins_anew_when_the_ceiling_is_raised_again() {
    let mut world = at(2, StepPhase::Holding);
    world.edit(&json!({"traffic": {"upTo": 10}}));
    world.run_while(|status| status.step.as_ref().is_none_or(|step| step.index != 1));
    let begun = world.now;
    world.edit(&json!({"traffic": {"upTo": 100}}));
    world.run_while(|status| status.step_text == "2/4");
    assert!(world.now.duration_since(begun) >= SignedDuration::from_mins(30));
}

#[test]
fn the_way_down_may_begin_in_every_phase_and_in_the_bake() {
    let phases = [
        StepPhase::RaiseTarget,
        StepPhase::TargetSettling,
        StepPhase::LowerSource,
        StepPhase::SourceSettling,
        StepPhase::Holding,
    ];
    let mut worlds: Vec<_> = [1, 3].into_iter().flat_map(|step| phases.map(|phase| at_phase(step, phase))).collect();
    let mut bake = World::new();
    bake.run_until(Stage::Bake);
    worlds.push(bake);
    for mut world in worlds {
        let (stage, step) = (world.status.stage, world.status.step.clone());
        world.edit(&json!({"traffic": {"upTo": 1}}));
        world.run_while(|status| status.reason != "AtCeiling");
        assert_eq!(weights(&world), (Some(99), Some(1)), "from {stage} {step:?}");
        assert_eq!(world.status.stage, Stage::ShiftTraffic);
        assert_eq!(broken_promise(&world.writes), None, "from {stage} {step:?}");
        let mut back = world.clone();
        back.verdicts.insert(Side::Target, Verdict::Fail);
        back.run_until(Stage::RolledBack);
        world.edit(&json!({"traffic": {"upTo": 100}}));
        world.run_until(Stage::Completed);
        assert_eq!(broken_promise(&world.writes), None, "from {stage} {step:?}");
    }
}

/// Phases that one pass goes through are met by a write that does not arrive.
fn at_phase(step: i32, phase: StepPhase) -> World {
    match phase {
        StepPhase::RaiseTarget | StepPhase::LowerSource => {
            let before = if phase == StepPhase::RaiseTarget {
                (step - 1, StepPhase::Holding)
            } else {
                (step, StepPhase::TargetSettling)
            };
            let mut world = at(before.0, before.1);
            world.advance(SignedDuration::from_hours(2));
            while world.status.step.as_ref().map(|step| step.phase) != Some(phase) {
                world.pass_with(&Faults { delay: Some(0), ..Faults::default() });
            }
            world
        }
        _ => at(step, phase),
    }
}

#[test]
fn a_raise_that_arrives_after_the_way_down_began_is_refused() {
    let mut world = at_phase(2, StepPhase::RaiseTarget);
    assert_eq!(world.in_flight.len(), 1);
    world.edit(&json!({"traffic": {"upTo": 10}}));
    world.run_while(|status| status.reason != "AtCeiling");
    let sent = world.in_flight.remove(0);
    assert!(!world.land(&sent, false), "the target is raised above the ceiling");
}

#[test]
fn a_status_that_was_not_saved_on_the_way_down_is_no_contest() {
    let mut world = at(3, StepPhase::Holding);
    world.edit(&json!({"traffic": {"upTo": 1}}));
    for _ in 0..200 {
        world.pass_with(&Faults { crash_before_save: true, ..Faults::default() });
        world.step();
        assert_ne!(world.status.reason, "WeightContested", "{}", world.status.message);
    }
    world.run_while(|status| status.reason != "AtCeiling");
    assert_eq!(weights(&world), (Some(99), Some(1)));
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn nobody_is_moved_back_to_a_source_that_fails() {
    let mut world = at(1, StepPhase::Holding);
    world.verdicts.insert(Side::Source, Verdict::Fail);
    world.edit(&json!({"traffic": {"upTo": 1}}));
    world.settle();
    let said = "spec.traffic.upTo is 1, but the source fails, so that nobody is moved back to it. https shop.example /: it answered 503, expected 200";
    assert_eq!(says(&world), (Stage::ShiftTraffic, "SourceUnhealthy", said));
    assert_eq!(weights(&world), (Some(90), Some(10)));
    world.verdicts.insert(Side::Source, Verdict::Pass);
    world.run_while(|status| status.reason != "AtCeiling");
}

#[test]
fn a_ceiling_after_the_end_changes_nothing_and_says_what_would() {
    let mut world = completed();
    let before = world.writes.len();
    world.edit(&json!({"traffic": {"upTo": 10}}));
    world.settle();
    assert_eq!((world.status.stage, world.writes.len()), (Stage::Completed, before));
    let said = "spec.traffic.upTo is 10, which changes nothing any more. To go back: kubectl annotate migration shop -n shop \
        namespacemigration.io/rollback-requested=TOKEN, with a token that was not used before.";
    assert_eq!(world.status.unblock, said);
}
