//! Rollbacks: source 100, then target 0, whatever is away.

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::status::StepPhase;
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::observed::{NamespaceFacts, SecretFacts};
use namespace_migration::machine::stamp::Direction;
use namespace_migration::machine::traffic::Weight;
use namespace_migration::machine::{Effect, Side};
use serde_json::json;

use crate::planted::at;
use crate::recording::{broken_promise, texts};
use crate::stages::says;
use crate::world::World;

fn failing(mut world: World) -> World {
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world
}

/// The writes since there were so many.
fn since(world: &World, count: usize) -> Vec<String> {
    texts(world)[count..].to_vec()
}

/// What a rollback waits for. Why everything goes back is said behind it, always.
fn waits(world: &World) -> (Stage, &str, &str) {
    let (stage, reason, message) = says(world);
    let (wait, why) = message.split_once(" Why: ").unwrap();
    assert_eq!(why, world.status.cause.as_ref().unwrap().message);
    (stage, reason, wait)
}

#[test]
#[allow(clippy::large_stack_arrays, reason = "a test has stack enough for five worlds")]
fn an_unhealthy_target_goes_back_from_every_watched_stage_at_once() {
    let mut smoke = World::new();
    smoke.run_until(Stage::SmokeTest);
    smoke.step();
    let mut bake = World::new();
    bake.run_until(Stage::Bake);
    for (world, stage) in [
        (smoke, Stage::SmokeTest),
        (at(0, StepPhase::TargetSettling), Stage::ShiftTraffic),
        (at(2, StepPhase::SourceSettling), Stage::ShiftTraffic),
        (at(3, StepPhase::Holding), Stage::ShiftTraffic),
        (bake, Stage::Bake),
    ] {
        assert_eq!(world.status.stage, stage);
        let (mut world, before) = (failing(world.clone()), world.writes.len());
        world.pass();
        let back = ["source web 100 RollingBack", "target web 0 RollingBack"];
        assert_eq!(since(&world, before), back, "from {stage}");
        let cause = world.status.cause.as_ref().unwrap();
        let said = "The target is unhealthy. https shop.example /: it answered 503, expected 200.";
        assert_eq!((cause.reason.as_str(), cause.message.as_str()), ("TargetUnhealthy", said));
        assert_eq!(world.status.epoch, 2);
        world.run_until(Stage::RolledBack);
        let ended = ["source web 100 RolledBack", "target web 0 RolledBack"];
        assert_eq!(since(&world, before + 2), ended);
        let said = format!("The source serves everything again. {said}");
        assert_eq!(says(&world), (Stage::RolledBack, "RolledBack", said.as_str()));
        assert_eq!(world.status.unblock, "Mend the target first. To try again: set spec.attempt to 2.");
        assert_eq!(broken_promise(&world.writes), None);
    }
}

#[test]
fn the_verdict_that_led_to_a_rollback_stays_to_be_read() {
    let mut world = failing(at(1, StepPhase::Holding));
    world.run_until(Stage::RolledBack);
    assert_eq!(world.status.health, "Fail");
    assert!(world.status.checks.iter().any(|check| check.side == "Target" && check.verdict == "Fail"));
}

#[test]
fn a_rollback_waits_for_dns_before_it_is_over_and_anew_when_it_is_undone() {
    let mut world = failing(at(1, StepPhase::Holding));
    world.settle();
    let said = "The source has 100 and the target 0; DNS needs time to follow.";
    assert_eq!(waits(&world), (Stage::RollingBack, "WaitingForRollbackDNS", said));
    world.advance(SignedDuration::from_mins(2));
    world.foreign_weight(Side::Target, "web", 80, false);
    world.settle();
    assert_eq!(world.target.weight("web"), Some(0));
    world.advance(SignedDuration::from_mins(2));
    world.pass();
    assert_eq!(world.status.stage, Stage::RollingBack, "users may still follow the foreign weight");
    world.advance(SignedDuration::from_mins(2));
    world.settle();
    assert_eq!(world.status.stage, Stage::RolledBack);
}

#[test]
fn on_failure_hold_moves_nobody_and_goes_on_when_the_target_is_well_again() {
    let mut world = failing(at(1, StepPhase::Holding));
    world.edit(&json!({"onFailure": "Hold"}));
    let before = world.writes.len();
    world.pass();
    let said = "The target is unhealthy. https shop.example /: it answered 503, expected 200.";
    assert_eq!(says(&world), (Stage::ShiftTraffic, "Held", said));
    let fix = "Mend the target, then it goes on by itself; or set spec.onFailure to Rollback to send everything back; \
               or lower spec.traffic.upTo to 1 or less to bring users back step by step.";
    assert_eq!(world.status.unblock, fix);
    assert_eq!(world.writes.len(), before);
    let mut mended = world.clone();
    mended.verdicts.insert(Side::Target, Verdict::Pass);
    mended.run_until(Stage::Completed);
    world.edit(&json!({"onFailure": "Rollback"}));
    world.run_until(Stage::RolledBack);
}

#[test]
fn users_are_not_moved_from_one_broken_side_to_another() {
    let mut world = failing(at(1, StepPhase::Holding));
    world.verdicts.insert(Side::Source, Verdict::Fail);
    let before = world.writes.len();
    world.pass();
    let said = "The target is unhealthy, and so is the source; nobody is moved. https shop.example /: it answered 503, expected 200.";
    assert_eq!(says(&world), (Stage::ShiftTraffic, "SourceUnhealthyToo", said));
    world.advance(SignedDuration::from_hours(30));
    world.pass();
    assert_eq!((world.status.stage, world.writes.len()), (Stage::ShiftTraffic, before), "its deadline moved users");
    world.verdicts.insert(Side::Source, Verdict::Inconclusive);
    world.pass();
    assert_eq!(world.status.stage, Stage::RollingBack, "an inconclusive source does not block a rollback");
}

#[test]
fn with_the_target_away_the_source_gets_100_at_once_and_the_exposure_is_told() {
    let mut world = failing(at(2, StepPhase::Holding));
    world.unreachable(Side::Target);
    world.pass();
    assert_eq!((world.source.weight("web"), world.target.weight("web")), (Some(100), Some(50)));
    // Half of them, until DNS has followed the source's 100.
    for (percent, minutes) in [(50, 3), (34, 0)] {
        world.pass();
        let said = format!(
            "The source has 100. The target's 0 is not written yet. Up to {percent} percent of users are still sent to the target. The target does not answer: connection refused."
        );
        assert_eq!(waits(&world), (Stage::RollingBack, "RollbackWaitsForTarget", said.as_str()));
        assert_eq!(world.status.exposed_percent, Some(percent));
        world.advance(SignedDuration::from_mins(minutes) + SignedDuration::from_secs(1));
    }
    let fix = "Bring the target's API server back; the write is tried again by itself. If it is lost, delete the DNS records \
               with the set identifier web-shop-green by hand.";
    assert_eq!(world.status.unblock, fix);
    world.advance(SignedDuration::from_mins(20));
    world.pass();
    assert_eq!(world.status.stage, Stage::RollbackBlocked);
    world.reachable(Side::Target);
    world.run_until(Stage::RolledBack);
    assert_eq!((world.target.weight("web"), world.status.exposed_percent), (Some(0), None));
}

#[test]
fn with_the_source_away_before_the_last_step_the_target_goes_to_0_at_once() {
    let mut world = failing(at(1, StepPhase::Holding));
    world.unreachable(Side::Source);
    world.pass();
    assert_eq!((world.source.weight("web"), world.target.weight("web")), (Some(90), Some(0)));
    // Until DNS has followed the target's 0.
    for (sent, minutes) in
        [("Up to 10 percent of users are still sent to the target.", 3), ("No user is sent to the target.", 0)]
    {
        world.pass();
        let said = format!(
            "The source does not answer: connection refused. The target has 0, because the source is not at 0. {sent}"
        );
        assert_eq!(waits(&world), (Stage::RollingBack, "RollbackWaitsForSource", said.as_str()));
        world.advance(SignedDuration::from_mins(minutes) + SignedDuration::from_secs(1));
    }
    world.reachable(Side::Source);
    world.run_until(Stage::RolledBack);
}

#[test]
fn with_the_source_away_after_the_last_step_nothing_of_the_target_is_touched() {
    for phase in [StepPhase::SourceSettling, StepPhase::Holding] {
        let mut world = failing(at(3, phase));
        world.unreachable(Side::Source);
        let before = world.writes.len();
        world.pass();
        world.pass();
        assert_eq!(world.writes.len(), before);
        let said = "The source does not answer: connection refused. The source may be at weight 0, so the target keeps its weight until the source has 100. Up to 100 percent of users are still sent to the target.";
        assert_eq!(waits(&world), (Stage::RollingBack, "RollbackWaitsForSource", said));
        world.reachable(Side::Source);
        world.run_until(Stage::RolledBack);
        assert_eq!(since(&world, before)[..2], ["source web 100 RollingBack", "target web 0 RollingBack"]);
        assert_eq!(broken_promise(&world.writes), None);
    }
}

#[test]
fn a_new_process_that_never_saw_the_source_freezes_after_the_last_step_too() {
    let mut world = failing(at(3, StepPhase::Holding));
    world.unreachable(Side::Source);
    world.restart();
    world.step();
    world.pass();
    world.pass();
    assert_eq!(world.status.stage, Stage::RollingBack);
    assert_eq!(world.target.weight("web"), Some(100));
}

#[test]
fn a_source_ingress_that_is_gone_is_waited_for_and_adopted_when_it_is_back() {
    let mut world = failing(at(2, StepPhase::Holding));
    world.source.ingresses.clear();
    world.pass();
    let said = "Ingress web is gone from the source, so the target's keeps its weight.";
    assert_eq!(waits(&world), (Stage::RollingBack, "RollbackWaitsForSource", said));
    let fix = "Deploy Ingress web to the source again; it gets weight 100 as soon as it is there.";
    assert_eq!(world.status.unblock, fix);
    assert_eq!((world.target.weight("web"), world.status.exposed_percent), (Some(50), Some(100)));
    world.advance(SignedDuration::from_hours(2));
    world.pass();
    assert_eq!(world.status.stage, Stage::RollbackBlocked);
    world.add_ingress(Side::Source, "web", "shop.example");
    world.run_until(Stage::RolledBack);
    assert_eq!((world.source.weight("web"), world.target.weight("web")), (Some(100), Some(0)));
}

#[test]
fn a_source_that_is_being_deleted_is_not_given_users() {
    let mut world = failing(at(2, StepPhase::Holding));
    world.source.namespace = Some(NamespaceFacts { uid: "n".into(), terminating: true });
    world.pass();
    assert_eq!((world.source.weight("web"), world.target.weight("web")), (Some(50), Some(50)));
    let said = "Ingress web on the source, or its namespace, is being deleted, so it is not given users and the target keeps its weight.";
    assert_eq!(waits(&world), (Stage::RollingBack, "Terminating", said));
}

#[test]
fn a_rollback_from_a_source_that_was_never_weighted_exposes_nobody() {
    let mut world = World::new();
    world.add_ingress(Side::Target, "web", "shop.example");
    world.pass();
    world.recreate(Side::Source, "web");
    world.advance(SignedDuration::from_hours(2));
    let decision = world.look();
    assert_eq!((decision.status.stage, decision.status.exposed_percent), (Stage::RollingBack, None));
}

/// A migration with a Secret and an Ingress of ours on the target.
fn with_objects(policy: &str) -> World {
    let mut world = World::with(json!({"rollback": {"objects": policy}, "secrets": {"include": ["api-key"]}}));
    let digests = [("key".to_owned(), "a".to_owned())].into();
    let facts = SecretFacts { uid: "s".into(), kind: "Opaque".into(), refusal: None, digests, created_by: None };
    world.source.secrets.insert("api-key".into(), facts);
    world
}

#[test]
fn objects_are_removed_newest_first_after_dns_has_followed() {
    let mut world = with_objects("Remove");
    world.run_until(Stage::Bake);
    let (mut world, before) = (failing(world.clone()), world.writes.len());
    world.run_until(Stage::RolledBack);
    let expected = [
        "source web 100 RollingBack",
        "target web 0 RollingBack",
        "remove Ingress web",
        "remove Secret api-key",
        "source web 100 RolledBack",
    ];
    assert_eq!(since(&world, before), expected);
    let removed = world.writes.iter().find(|write| write.text() == "remove Ingress web").unwrap().at;
    assert!(removed.duration_since(world.writes[before + 1].at) >= crate::world::SETTLE);
}

#[test]
fn objects_are_kept_by_default_and_another_object_of_that_name_is_never_removed() {
    let mut kept = with_objects("Keep");
    kept.run_until(Stage::Bake);
    failing(kept.clone()).run_until(Stage::RolledBack);
    let mut world = with_objects("Remove");
    world.run_until(Stage::Bake);
    let facts = world.target.secrets.get_mut("api-key").unwrap();
    (facts.uid, facts.created_by) = ("another".into(), None);
    let mut world = failing(world);
    world.run_until(Stage::RolledBack);
    assert!(world.target.secrets.contains_key("api-key"));
    assert!(!texts(&world).contains(&"remove Secret api-key".to_owned()));
}

#[test]
fn a_secret_that_was_left_out_after_it_was_copied_is_removed_too() {
    let mut world = with_objects("Remove");
    world.run_until(Stage::Bake);
    world.edit(&json!({"secrets": {"include": []}}));
    let mut world = failing(world);
    world.run_until(Stage::RolledBack);
    assert!(world.target.secrets.is_empty(), "{:?}", texts(&world));
}

#[test]
fn after_a_lost_status_our_objects_are_still_found_and_removed() {
    let mut world = with_objects("Remove");
    world.run_until(Stage::Bake);
    let mut world = failing(world);
    world.pass();
    world.status = namespace_migration::api::NamespaceMigrationStatus::default();
    world.run_until(Stage::RolledBack);
    assert!(world.target.secrets.is_empty() && world.target.ingresses.is_empty(), "{:?}", texts(&world));
}

#[test]
fn every_forward_effect_has_its_undo() {
    let mut world = with_objects("Remove");
    let mut forward = vec![];
    while world.status.stage != Stage::Bake {
        forward.extend(world.look().effects);
        world.step();
    }
    let stamp = world.order.stamp(1, 9, Direction::RollingBack);
    for effect in &forward {
        let Effect::WriteWeight(write) = effect else { continue };
        let undo = write.undo(&stamp, true);
        let back = if write.side == Side::Source { Weight::FULL } else { Weight::ZERO };
        assert_eq!((undo.weight, undo.stamp.epoch, undo.after_source), (back, 9, write.side == Side::Target));
        assert_eq!((&undo.ingress, &undo.identifier, undo.side), (&write.ingress, &write.identifier, write.side));
    }
    let mut world = failing(world);
    world.run_until(Stage::RolledBack);
    let undone = texts(&world);
    for effect in &forward {
        let undo = match effect {
            Effect::WriteWeight(write) if write.side == Side::Source => {
                format!("source {} 100 RollingBack", write.ingress)
            }
            Effect::WriteWeight(write) => format!("target {} 0 RollingBack", write.ingress),
            Effect::CreateIngress(creation) => format!("remove Ingress {}", creation.name),
            Effect::CreateSecret { name } => format!("remove Secret {name}"),
            Effect::Hold => {
                assert!(!world.order.deletion.held, "the object is still held");
                continue;
            }
            other => panic!("going forward: {other:?}"),
        };
        assert!(undone.contains(&undo), "{effect:?} was not undone: {undone:?}");
    }
}

#[test]
fn after_any_prefix_of_a_migration_a_rollback_reaches_100_and_0() {
    let mut world = World::new();
    let mut prefixes = 0;
    while world.status.stage != Stage::Completed {
        let mut back = failing(world.clone());
        let drained = crate::interleavings::drain(&mut back);
        assert_eq!(drained, Ok(()), "from {:?}", says(&world));
        if back.status.stage == Stage::RolledBack {
            prefixes += 1;
            assert_eq!((back.source.weight("web"), back.target.weight("web").unwrap_or(0)), (Some(100), 0));
        }
        assert_eq!(broken_promise(&back.writes), None);
        world.step();
    }
    assert!(prefixes > 20, "only {prefixes} prefixes were rolled back");
}

#[test]
fn an_object_whose_mark_a_person_took_off_is_kept_and_one_that_is_held_is_deleted_once() {
    let failing = || {
        let mut world = World::with(json!({"rollback": {"objects": "Remove"}}));
        world.run_until(Stage::ShiftTraffic);
        world.verdicts.insert(Side::Target, Verdict::Fail);
        world
    };
    let mut kept = failing();
    kept.ingress_mut(Side::Target, "web").created_by = None;
    kept.run_until(Stage::RolledBack);
    assert!(kept.target.ingresses.contains_key("web"));

    let mut held = failing();
    held.ingress_mut(Side::Target, "web").deleting = true;
    held.run_while(|status| status.reason != "RemovingObjects");
    let decision = held.look();
    assert_eq!(decision.effects, []);
    assert!(decision.status.message.starts_with("Ingress web on the target is being deleted, but something holds it"));
}
