//! Deletion in mid-way: what each policy does to the weights, what it waits for, and that the object goes.

use jiff::SignedDuration;
use namespace_migration::api::status::StepPhase;
use namespace_migration::api::{ROLLBACK_ANNOTATION, Stage};
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::{Effect, Side, needs};
use serde_json::json;

use crate::controls::every_stage;
use crate::executor::{Bug, Faults};
use crate::planted::at;
use crate::recording::{broken_promise, texts};
use crate::stages::says;
use crate::world::World;

const OVERRIDE: &str = "To let the object go at once and leave all weights as they are: kubectl patch namespacemigration shop \
                        -n shop --type merge -p '{\"spec\":{\"deletionPolicy\":\"Orphan\"}}'";

fn deleted(mut world: World, policy: &str) -> World {
    world.edit(&json!({"deletionPolicy": policy}));
    world.delete();
    world
}

fn shifting() -> World {
    at(1, StepPhase::Holding)
}

fn weights(world: &World) -> (Option<i32>, Option<i32>) {
    (world.source.weight("web"), world.target.weight("web"))
}

/// Passes and time, until the object is gone.
fn until_gone(world: &mut World) {
    for _ in 0..100 {
        world.step();
        if world.gone {
            return;
        }
    }
    panic!("it stays: {:?}", says(world));
}

#[test]
fn the_object_is_held_before_the_first_write_and_released_at_an_end() {
    let mut world = World::new();
    world.run_while(|status| status.stage < Stage::WeightSource);
    assert!(world.order.deletion.held);
    assert_eq!(texts(&world), ["source web 100"]);
    let mut before = World::new();
    while before.look().status.stage != Stage::WeightSource {
        before.step();
    }
    assert_eq!(before.look().effects[0], Effect::Hold);
    world.run_until(Stage::Completed);
    assert!(!world.order.deletion.held);
    world.delete();
    assert!(world.gone);
}

#[test]
fn a_finalizer_that_somebody_removed_is_put_back_before_the_next_forward_write() {
    let mut world = shifting();
    world.strip_finalizer();
    world.pass();
    assert!(!world.order.deletion.held, "while it only waits, nothing is written");
    world.advance(SignedDuration::from_mins(40));
    assert_eq!(world.look().effects[0], Effect::Hold);
    world.pass();
    assert!(world.order.deletion.held);
}

#[test]
fn a_rollback_of_one_that_had_completed_holds_the_object_before_its_first_write() {
    let mut world = World::new();
    world.run_until(Stage::Completed);
    world.annotate(ROLLBACK_ANNOTATION, Some("back"));
    let decision = world.look();
    assert_eq!((decision.status.stage, &decision.effects[0]), (Stage::RollingBack, &Effect::Hold));
    assert!(decision.effects.len() > 1);
    // The process dies after its first write, and somebody deletes the object: everything still goes back.
    world.pass_with(&Faults { crash_after: Some(1), ..Faults::default() });
    let mut world = deleted(world, "Rollback");
    assert!(!world.gone);
    until_gone(&mut world);
    assert_eq!(weights(&world), (Some(100), Some(0)));
}

#[test]
fn nothing_stands_before_the_writes_of_a_rollback_of_one_that_runs() {
    let mut world = shifting();
    world.strip_finalizer();
    world.verdicts.insert(Side::Target, Verdict::Fail);
    let effects = world.look().effects;
    assert_eq!(effects.iter().position(|effect| *effect == Effect::Hold), Some(effects.len() - 1));
}

#[test]
fn deleting_it_before_the_first_write_lets_it_go_at_once() {
    for (stage, world) in every_stage().into_iter().filter(|(stage, _)| *stage <= Stage::Preflight) {
        let world = deleted(world, "Rollback");
        assert!(world.gone && world.writes.is_empty() && world.debts.is_empty(), "{stage}: {:?}", says(&world));
    }
}

#[test]
fn what_was_held_and_has_written_nothing_ends_as_failed_and_says_so() {
    for policy in ["Rollback", "Freeze"] {
        let mut world = World::new();
        // The process dies between the finalizer and the first write.
        world.pass_with(&Faults { crash_after: Some(0), ..Faults::default() });
        let mut world = deleted(world, policy);
        assert!(world.order.deletion.held && !world.gone, "{policy}");
        let last = world.pass();
        let said = "It ended without a move. The migration was deleted before anything was written.";
        assert_eq!(says(&world), (Stage::Failed, "Failed", said), "{policy}");
        assert!(last.events.iter().any(|event| event.warning && event.note == said), "{policy}: {:?}", last.events);
        assert!(world.gone && world.writes.is_empty() && world.debts.is_empty(), "{policy}: {:?}", texts(&world));
    }
}

#[test]
fn rollback_takes_everything_back_first_and_says_why() {
    for stage in [Stage::PublishTarget, Stage::ShiftTraffic, Stage::Bake] {
        let mut world = World::new();
        world.run_until(stage);
        world.step();
        let mut world = deleted(world, "Rollback");
        world.pass();
        let cause = world.status.cause.clone().unwrap();
        let said = format!("The migration was deleted in {stage}, and spec.deletionPolicy is Rollback.");
        assert_eq!((cause.reason.as_str(), cause.message), ("Deleted", said));
        until_gone(&mut world);
        assert_eq!((world.status.stage, world.source.weight("web")), (Stage::RolledBack, Some(100)));
        assert_eq!(world.target.weight("web").unwrap_or(0), 0);
        assert_eq!((world.debts.weights.len(), broken_promise(&world.writes)), (0, None));
    }
}

#[test]
fn a_deletion_says_what_it_waits_for_until_when_and_the_way_out() {
    let mut world = deleted(shifting(), "Rollback");
    world.unreachable(Side::Target);
    world.pass();
    world.pass();
    let (stage, reason, message) = says(&world);
    assert_eq!((stage, reason), (Stage::RollingBack, "RollbackWaitsForTarget"));
    let deadline = world.order.deletion.deadline().unwrap();
    let said = format!(
        "The source has 100. The target's 0 is not written yet. Up to 10 percent of users are still sent to the target. The target does \
         not answer: connection refused. The object is being deleted and goes when this is done, at the latest at {deadline}. Why: \
         The migration was deleted in ShiftTraffic, and spec.deletionPolicy is Rollback."
    );
    assert_eq!(message, said);
    let bring = "Bring the target's API server back; the write is tried again by itself. If it is lost, delete the DNS records with the \
                 set identifier web-shop-green by hand.";
    let unblock = format!("{bring} {OVERRIDE}");
    assert_eq!(world.status.unblock, unblock);
    assert_eq!(world.look().wake_at, Some(deadline));
}

/// The target is dead when it is deleted. What is left at the end of everything.
fn dead_target(bug: Option<Bug>) -> World {
    let mut world = deleted(shifting(), "Rollback");
    world.unreachable(Side::Target);
    world.pass();
    world.advance(SignedDuration::from_mins(16));
    world.pass_with(&Faults { bug, ..Faults::default() });
    assert!(world.gone, "{:?}", says(&world));
    assert_eq!(weights(&world), (Some(100), Some(10)));
    world
}

#[test]
fn what_a_dead_target_is_owed_is_noted_at_the_deadline_and_paid_when_it_is_back() {
    let mut world = dead_target(None);
    let owed: Vec<_> =
        world.debts.weights.iter().map(|left| (left.cluster(), left.weight, left.epoch, left.why.as_str())).collect();
    let why = "The target does not answer: connection refused.";
    assert_eq!(owed.len(), 2, "{owed:?}");
    assert_eq!(owed[1], (Side::Target, 0, 2, why));
    world.pay();
    let left: Vec<_> = world.debts.weights.iter().map(namespace_migration::api::Leftover::cluster).collect();
    assert_eq!(left, [Side::Target], "the source is there: its last stamp is written at once");
    world.reachable(Side::Target);
    world.pay();
    assert_eq!((world.debts.weights.len(), weights(&world)), (0, (Some(100), Some(0))));
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn a_debt_that_is_forgotten_is_seen() {
    let mut world = dead_target(Some(Bug::ForgetsTheDebt));
    world.reachable(Side::Target);
    world.pay();
    assert_eq!(weights(&world), (Some(100), Some(10)));
}

#[test]
fn a_dead_source_that_may_be_at_0_is_owed_its_100_before_the_target_its_0() {
    let mut world = World::new();
    world.run_until(Stage::Bake);
    let mut world = deleted(world, "Rollback");
    world.unreachable(Side::Source);
    world.pass();
    world.advance(SignedDuration::from_mins(16));
    world.pass();
    assert!(world.gone);
    world.pay();
    assert_eq!(weights(&world), (Some(0), Some(100)), "two zeros would be an even split");
    world.reachable(Side::Source);
    world.pay();
    let last: Vec<_> = texts(&world).into_iter().rev().take(2).collect();
    assert_eq!(last, ["target web 0 RolledBack", "source web 100 RolledBack"]);
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn a_debt_is_cancelled_when_a_new_migration_of_that_name_has_begun_a_newer_epoch() {
    let mut world = dead_target(None);
    world.reachable(Side::Target);
    let debts = world.debts.weights.clone();
    world.create_anew();
    world.pass();
    world.edit(&json!({"attempt": 2}));
    world.run_while(|status| (status.attempt, status.stage) != (2, Stage::Bake));
    assert_eq!(world.debts.weights, debts, "nobody has paid");
    let before = world.writes.len();
    world.pay();
    assert_eq!((world.debts.weights.len(), world.writes.len()), (0, before));
    assert_eq!(weights(&world), (Some(0), Some(100)));
}

#[test]
fn freeze_keeps_the_weights_under_a_new_stamp_and_one_of_the_same_name_goes_on() {
    let mut world = deleted(shifting(), "Freeze");
    let before = world.writes.len();
    until_gone(&mut world);
    assert_eq!(texts(&world)[before..], ["source web 90".to_owned(), "target web 10".to_owned()]);
    let epoch = |side: Side| world.side(side).ingresses["web"].stamp.as_ref().unwrap().epoch;
    assert_eq!((epoch(Side::Source), epoch(Side::Target)), (2, 2));
    world.create_anew();
    world.pass();
    assert_eq!((world.status.stage, world.status.weight), (Stage::ShiftTraffic, 10));
    world.run_until(Stage::Completed);
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn a_freeze_says_what_it_writes_who_has_chosen_that_and_which_side_is_away() {
    let mut world = shifting();
    world.edit_as("on-call", &json!({"deletionPolicy": "Freeze"}));
    world.delete();
    let fences = "Both sides get a new stamp at the weights that they have, so that no older write can change them: spec.deletionPolicy is \
                  Freeze (on-call).";
    let deadline = world.order.deletion.deadline().unwrap();
    let goes = format!("The object is being deleted and goes when this is done, at the latest at {deadline}.");
    let mut away = world.clone();
    world.pass();
    assert_eq!(says(&world), (Stage::ShiftTraffic, "Freezing", format!("{fences} {goes}").as_str()));
    assert_eq!(world.status.unblock, OVERRIDE);
    away.unreachable(Side::Target);
    away.pass();
    let trouble = "The target cluster of ClusterPair old-to-new does not answer: connection refused.";
    assert_eq!(says(&away), (Stage::ShiftTraffic, "Freezing", format!("{fences} {trouble} {goes}").as_str()));
    let fix = format!(
        "Mend the target cluster, or its connection in ClusterPair old-to-new; it is tried again by itself. Weights stay meanwhile; what \
         goes back is still written where a cluster answers. {OVERRIDE}"
    );
    assert_eq!(away.status.unblock, fix);
}

#[test]
fn a_freeze_waits_for_a_dead_side_until_the_deadline_and_then_lets_go() {
    let mut world = deleted(shifting(), "Freeze");
    world.unreachable(Side::Target);
    world.pass();
    let (stage, reason, message) = says(&world);
    assert_eq!((stage, reason), (Stage::ShiftTraffic, "Freezing"));
    assert!(message.contains("does not answer") && world.status.unblock.ends_with(OVERRIDE), "{message}");
    world.advance(SignedDuration::from_mins(16));
    let last = world.pass();
    assert_eq!((world.gone, weights(&world)), (true, (Some(90), Some(10))));
    let said = "The weights stay and the object is let go, as spec.deletionPolicy Freeze asks. Without the new stamp: Ingress web on \
                the target, which does not answer: connection refused. When the target is back, nothing is written there: the \
                weight is the one of before, under a stamp that does not refuse a write which this migration had sent before. \
                Compare it then; a migration of the same name goes on from it.";
    assert_eq!(world.status.message, said);
    assert!(last.events.iter().any(|event| event.warning && event.note == said), "{:?}", last.events);
}

#[test]
fn freeze_does_not_stop_a_rollback_for_health() {
    let mut world = shifting();
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.pass();
    let mut world = deleted(world, "Freeze");
    until_gone(&mut world);
    assert_eq!((world.status.stage, weights(&world)), (Stage::RolledBack, (Some(100), Some(0))));
}

#[test]
fn orphan_lets_go_at_once_without_looking_at_a_cluster_also_when_it_is_asked_for_later() {
    for policy in ["Rollback", "Freeze"] {
        let mut world = deleted(shifting(), policy);
        for side in [Side::Source, Side::Target] {
            world.unreachable(side);
        }
        world.pass();
        assert!(!world.gone);
        world.edit(&json!({"deletionPolicy": "Orphan"}));
        assert!(!needs(&world.order, &world.status).clusters);
        world.pass();
        assert_eq!((world.gone, weights(&world)), (true, (Some(90), Some(10))));
        assert_eq!((world.status.reason.as_str(), world.debts.weights.len()), ("Orphaned", 0));
    }
}

#[test]
fn an_edit_to_freeze_stops_a_rollback_that_the_deletion_began() {
    let mut world = deleted(shifting(), "Rollback");
    world.unreachable(Side::Target);
    world.pass();
    world.edit(&json!({"deletionPolicy": "Freeze"}));
    world.pass();
    assert_eq!((world.gone, weights(&world)), (true, (Some(100), Some(10))));
    world.reachable(Side::Target);
    world.create_anew();
    world.run_until(Stage::RolledBack);
    assert_eq!(weights(&world), (Some(100), Some(0)), "one of the same name ends the rollback");
}

#[test]
fn a_deleted_migration_whose_status_is_lost_is_still_taken_back() {
    let world = shifting();
    let mut world =
        deleted(world.with_status(namespace_migration::api::NamespaceMigrationStatus::default()), "Rollback");
    until_gone(&mut world);
    assert_eq!(weights(&world), (Some(100), Some(0)));
}

#[test]
fn an_ended_attempt_is_not_tried_again_on_an_object_that_goes() {
    let mut world = shifting();
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.run_until(Stage::RolledBack);
    world.edit(&json!({"attempt": 2}));
    world.order.deletion.asked_at = Some(world.now);
    assert!(!needs(&world.order, &world.status).clusters);
    world.pass();
    assert_eq!((world.status.stage, world.status.attempt), (Stage::RolledBack, 1));
}

#[test]
fn a_rollback_from_the_end_that_may_have_begun_is_owed_when_both_clusters_die_and_the_object_is_deleted() {
    for effects_before_the_crash in 0..3 {
        let mut world = World::new();
        world.run_until(Stage::Completed);
        world.pass();
        world.annotate(ROLLBACK_ANNOTATION, Some("back"));
        world.pass_with(&Faults { crash_after: Some(effects_before_the_crash), ..Faults::default() });
        crate::interleavings::goes(&mut world).unwrap();
        assert_eq!(weights(&world), (Some(100), Some(0)), "{:?}", texts(&world));
    }
}

#[test]
fn what_has_no_ingress_on_either_side_any_more_goes_at_once_and_nobody_is_told_that_the_target_serves() {
    let mut world = World::new();
    world.run_while(|status| status.stage < Stage::PrepareTarget);
    world.source.ingresses.clear();
    world.target.ingresses.clear();
    world.annotate(ROLLBACK_ANNOTATION, Some("back"));
    world.settle();
    let (stage, reason, message) = says(&world);
    assert_eq!((stage, reason), (Stage::RollingBack, "RollbackWaitsForSource"));
    assert!(message.starts_with("Ingress web is on neither side, so nobody serves its hosts. Why: "), "{message}");
    let writes = world.writes.len();
    let mut world = deleted(world, "Rollback");
    world.pass();
    assert!(world.gone, "{:?}", says(&world));
    assert_eq!(world.writes.len(), writes);
    let said = "The object is let go: none of its Ingresses is on either side any more, so nothing can be taken back.";
    assert!(world.status.message.starts_with(said), "{}", world.status.message);
}
