//! A pause freezes every stage, fences what is on the wire, and never stops a rollback.

use jiff::SignedDuration;
use namespace_migration::api::status::StepPhase;
use namespace_migration::api::{ROLLBACK_ANNOTATION, Stage};
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::pause::must_be_told_soon;
use namespace_migration::machine::{Effect, Side};
use serde_json::json;

use crate::controls::{bring_what_is_missing, epoch, every_stage, pause, resume, standing, weights};
use crate::executor::Faults;
use crate::planted::at;
use crate::recording::{Change, broken_promise, texts};
use crate::stages::says;
use crate::world::World;

#[test]
fn a_pause_freezes_every_stage_and_says_who_since_when_and_how_to_go_on() {
    for (stage, mut world) in every_stage() {
        let (before, old_epoch) = (weights(&world), epoch(&world));
        pause(&mut world);
        world.pass();
        let state = if stage > Stage::Preflight {
            "weights stay as they are, checks go on, and a rollback stays armed"
        } else {
            "this attempt has written nothing, and writes nothing until the pause is over"
        };
        let since = world.status.pause.as_ref().unwrap().since.0;
        let said = format!(
            "It is paused by the annotation namespacemigration.io/paused (kubectl-annotate) since {since}: {state}."
        );
        assert_eq!(says(&world), (stage, "Paused", said.as_str()));
        assert_eq!(
            world.status.unblock,
            "To go on: kubectl annotate migration shop -n shop namespacemigration.io/paused-"
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
fn a_pause_may_be_told_before_it_is_fenced_and_the_fences_come_later() {
    for (stage, mut world) in every_stage() {
        pause(&mut world);
        let (before, decision) = (world.status.clone(), world.look());
        assert_eq!(must_be_told_soon(&before, &decision), !decision.effects.is_empty(), "{stage}");
        assert!(decision.effects.iter().all(Effect::stands_alone), "{stage}: {:?}", decision.effects);
        world.save(&decision.status);
        assert!(!must_be_told_soon(&world.status, &world.look()), "{stage}: it is told once");
        world.restart();
        world.settle();
        let stamped = |side: Side| world.side(side).ingresses.get("web").and_then(|found| found.stamp.as_ref());
        let epochs = [Side::Source, Side::Target].into_iter().filter_map(stamped).map(|stamp| stamp.epoch);
        assert!(epochs.into_iter().all(|epoch| epoch == world.status.epoch), "{stage}: {:?}", world.status);
    }
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
        bring_what_is_missing(&mut world);
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
    assert_eq!(world.status.unblock, "To go on: set spec.suspend to false");
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
    assert!(world.status.message.contains(said), "{}", world.status.message);
    world.advance(SignedDuration::from_hours(1));
    world.settle();
    assert!(world.status.message.contains(said), "{}", world.status.message);
    assert_eq!(world.target.weight("web"), Some(5), "what somebody else wrote is not stamped");
}

#[test]
fn what_a_person_asks_for_in_a_hurry_waits_for_no_read() {
    for stage in [Stage::Preflight, Stage::CopySecrets] {
        let reads = |world: &World| {
            let needs = namespace_migration::machine::needs(&world.order, &world.status);
            needs.rights || !needs.secrets.is_empty()
        };
        let mut world = standing(stage);
        assert!(reads(&world), "{stage}");
        pause(&mut world);
        assert!(!reads(&world), "a pause in {stage}");
        resume(&mut world);
        assert!(reads(&world), "{stage}");
    }
}

#[test]
fn beside_on_failure_hold_a_pause_promises_no_rollback_and_keeps_every_way_out() {
    let mut world = at(1, StepPhase::Holding);
    world.edit(&json!({"onFailure": "Hold"}));
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.settle();
    let (_, reason, _) = says(&world);
    assert_eq!(reason, "Held");
    let ways_out = world.status.unblock.clone();
    pause(&mut world);
    world.settle();
    let (_, reason, message) = says(&world);
    assert_eq!(reason, "Paused");
    let said =
        "weights stay as they are and checks go on; a failing target does not go back, because spec.onFailure is Hold.";
    assert!(message.contains(said) && message.contains("Meanwhile: The target is unhealthy."), "{message}");
    let resume = "To go on: kubectl annotate migration shop -n shop namespacemigration.io/paused-";
    let unblock = &world.status.unblock;
    assert!(unblock.starts_with(&ways_out) && unblock.ends_with(resume), "{unblock}");
}
