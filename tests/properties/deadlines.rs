//! Every stage has a deadline, and what it leads to; what stops the clock never leads to a rollback.

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::status::{Rehearsal, StepPhase};
use namespace_migration::machine::Side;
use namespace_migration::machine::gate::{DnsRules, FollowTime, Verification};
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::observed::Reach;
use namespace_migration::machine::run::seconds;
use serde_json::json;

use crate::controls::standing;
use crate::planted::at;
use crate::recording::texts;
use crate::stages::says;
use crate::world::World;

#[test]
fn every_stage_that_waits_too_long_goes_back_and_says_for_what_it_waited() {
    for (stage, hours, waited) in [
        (Stage::PrepareTarget, 24, "Services of the Ingresses are not in namespace shop on the target: web."),
        (Stage::CopySecrets, 24, "Secret missing: it is not on the source."),
        (Stage::DeployWorkloads, 24, "Workloads on the target are not ready: Deployment/web is not there."),
        (Stage::PublishTarget, 1, "Ingress web on the target has no load balancer address yet."),
        (
            Stage::SmokeTest,
            1,
            "Both sides are being probed; several good answers in a row are needed. Last seen of https shop.example /: the address is not known.",
        ),
    ] {
        let mut world = standing(stage);
        world.advance(SignedDuration::from_hours(hours) - SignedDuration::from_mins(10));
        world.settle();
        assert_eq!(world.status.stage, stage, "too early");
        world.advance(SignedDuration::from_mins(15));
        world.settle();
        let cause = world.status.cause.as_ref().unwrap();
        assert_eq!(cause.reason, "DeadlineExceeded");
        let follow = if stage == Stage::PublishTarget { "3m" } else { "" };
        assert_eq!(cause.message, format!("{stage} took longer than {hours}h{follow}: {waited}"));
        world.run_until(Stage::RolledBack);
    }
}

#[test]
fn each_part_of_the_rehearsal_has_the_time_of_the_stage_anew() {
    let mut world = World::with_dns();
    world.order.dns.follow.interval = SignedDuration::from_mins(30);
    world.run_while(|status| status.rehearsal.is_none());
    // The first write was followed after 70 minutes of 92, and this one is not late after 40.
    world.dns.as_mut().unwrap().stopped.insert(Side::Source);
    world.status.stage_started_at = Some(seconds(world.now - SignedDuration::from_mins(70)));
    for _ in 0..8 {
        world.advance(SignedDuration::from_mins(5));
        world.pass();
        assert_eq!(says(&world).0, Stage::WeightSource, "{}", world.status.message);
        assert_eq!(world.status.reason, "WaitingForDNS", "{}", world.status.message);
    }
    world.dns.as_mut().unwrap().stopped.clear();
    world.run_while(|status| status.stage == Stage::WeightSource);
    assert!(world.status.cause.is_none(), "{:?}", world.status.cause);
}

#[test]
fn a_preflight_that_waits_too_long_fails_before_anything_is_changed() {
    let mut world = standing(Stage::Preflight);
    world.advance(SignedDuration::from_hours(25));
    world.pass();
    assert_eq!(world.status.stage, Stage::Failed);
    assert_eq!(texts(&world), Vec::<String>::new());
    let said = "It ended without a move. Preflight took longer than 24h: AnnotationOnly: Nobody asks DNS whether a weight is served: it is assumed after the time that it may take. Nothing was changed.";
    assert_eq!(world.status.message, said);
}

#[test]
fn under_hold_a_deadline_stalls_and_goes_on_when_what_was_missing_comes() {
    let mut world = standing(Stage::PublishTarget);
    world.edit(&json!({"onFailure": "Hold"}));
    world.advance(SignedDuration::from_hours(3));
    world.pass();
    let said = "PublishTarget took longer than 1h3m: Ingress web on the target has no load balancer address yet.";
    assert_eq!(says(&world), (Stage::PublishTarget, "DeadlineExceeded", said));
    world.target.ingresses.clear();
    world.load_balancer = true;
    world.run_until(Stage::Completed);
}

#[test]
fn a_deadline_that_has_passed_does_not_wake_again_and_again() {
    let mut world = standing(Stage::PublishTarget);
    world.edit(&json!({"onFailure": "Hold"}));
    world.advance(SignedDuration::from_hours(3));
    world.pass();
    assert_eq!(world.look().wake_at, None);
}

#[test]
fn a_step_that_cannot_be_written_goes_back_after_an_hour_but_holds_have_no_deadline() {
    let mut world = at(1, StepPhase::Holding);
    world.advance(SignedDuration::from_hours(9));
    world.unreachable(Side::Target);
    world.pass();
    world.settle();
    assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::ShiftTraffic, "TargetUnreachable"));
    world.advance(SignedDuration::from_mins(64));
    world.pass();
    let cause = world.status.cause.as_ref().unwrap();
    let said = "ShiftTraffic took longer than 1h3m: The target cluster of ClusterPair old-to-new does not answer: connection refused.";
    assert_eq!(cause.message, said);
}

#[test]
fn a_deadline_moves_nobody_to_a_source_that_fails_and_starts_anew_when_it_does_not_any_more() {
    let mut world = at(1, StepPhase::Holding);
    world.advance(SignedDuration::from_hours(9));
    world.unreachable(Side::Target);
    world.pass();
    world.settle();
    world.verdicts.insert(Side::Source, Verdict::Fail);
    world.advance(SignedDuration::from_mins(64));
    world.pass();
    let said = "ShiftTraffic took longer than 1h3m: The target cluster of ClusterPair old-to-new does not answer: connection refused. The source fails too, so that nobody is moved. https shop.example /: it answered 503, expected 200";
    assert_eq!(says(&world), (Stage::ShiftTraffic, "SourceUnhealthy", said));
    assert!(world.status.conditions.iter().any(|it| it.type_ == "Stalled" && it.status == "True"), "a person is told");
    let weights = (world.source.weight("web"), world.target.weight("web"));
    assert_eq!(weights, (Some(90), Some(10)), "nobody is moved");
    world.verdicts.insert(Side::Source, Verdict::Pass);
    world.settle();
    assert_eq!((world.status.stage, world.status.cause.is_none()), (Stage::ShiftTraffic, true), "its time begins anew");
    world.advance(SignedDuration::from_mins(64));
    world.pass();
    assert_eq!(world.status.cause.as_ref().map(|cause| cause.reason.as_str()), Some("DeadlineExceeded"));
}

#[test]
fn no_verdict_for_however_long_holds_and_goes_on_afterwards() {
    let mut world = at(1, StepPhase::Holding);
    world.advance(SignedDuration::from_mins(40));
    world.verdicts.insert(Side::Target, Verdict::Inconclusive);
    world.pass();
    world.advance(SignedDuration::from_hours(8));
    world.settle();
    assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::ShiftTraffic, "HealthUnknown"));
    world.verdicts.insert(Side::Target, Verdict::Pass);
    world.run_until(Stage::Completed);
}

#[test]
fn both_clusters_away_is_our_own_network_and_moves_nobody() {
    let mut world = at(1, StepPhase::Holding);
    world.advance(SignedDuration::from_mins(40));
    world.unreachable(Side::Source);
    world.unreachable(Side::Target);
    world.pass();
    world.advance(SignedDuration::from_hours(8));
    world.pass();
    assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::ShiftTraffic, "SourceUnreachable"));
    world.reachable(Side::Source);
    world.reachable(Side::Target);
    world.run_until(Stage::Completed);
}

#[test]
fn the_time_in_which_no_process_ran_is_not_held_against_a_stage() {
    let mut world = standing(Stage::PublishTarget);
    world.advance(SignedDuration::from_hours(8));
    world.restart();
    for side in [Side::Source, Side::Target] {
        (world.side_mut(side).reach, world.side_mut(side).synced) = (Reach::Unknown, false);
    }
    world.pass();
    assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::PublishTarget, "ConnectingToClusters"));
    world.reachable(Side::Source);
    world.reachable(Side::Target);
    world.load_balancer = true;
    world.run_until(Stage::Completed);
}

#[test]
fn a_rollback_past_its_deadline_is_blocked_but_still_tried() {
    let mut world = at(1, StepPhase::Holding);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.unreachable(Side::Target);
    world.pass();
    world.advance(SignedDuration::from_mins(19));
    let decision = world.pass();
    assert_eq!(world.status.stage, Stage::RollbackBlocked);
    assert!(decision.events.iter().any(|event| event.warning && event.note.contains("still being tried")));
    assert_eq!(decision.effects.len(), 1);
}

#[test]
fn a_hold_without_a_verdict_asks_for_a_person_after_a_quarter_of_an_hour() {
    for stage in [Stage::ShiftTraffic, Stage::Bake] {
        let mut world = at(1, StepPhase::Holding);
        world.run_until(stage);
        world.run_while(|status| status.reason != "HoldingStep" && status.reason != "Baking");
        world.verdicts.insert(Side::Target, Verdict::Inconclusive);
        world.pass();
        let stalled =
            |world: &World| world.status.conditions.iter().any(|c| c.type_ == "Stalled" && c.status == "True");
        assert!(!stalled(&world));
        world.advance(SignedDuration::from_mins(16));
        let decision = world.pass();
        assert!(stalled(&world) && world.status.stage == stage, "{stage}");
        assert_eq!(decision.events.iter().filter(|event| event.warning).count(), 1, "it is told once");
        assert_eq!(world.pass().events, []);
        world.verdicts.insert(Side::Target, Verdict::Pass);
        world.run_until(Stage::Completed);
    }
}

#[test]
fn a_dns_that_is_slower_than_a_deadline_is_not_late() {
    let mut world = World::new();
    let hours = SignedDuration::from_hours(3);
    world.order.dns = DnsRules {
        verification: Verification::AnnotationOnly,
        follow: FollowTime { interval: hours, propagation: hours, record_ttl: hours },
    };
    world.run_until(Stage::Bake);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.run_while(|status| !matches!(status.stage, Stage::RolledBack | Stage::RollbackBlocked));
    assert_eq!(world.status.stage, Stage::RolledBack);
}

/// Slow in two ways: the pair says so, or the rehearsal has measured it.
#[test]
fn a_dns_that_does_not_follow_in_the_shift_takes_nobody_back_however_slow_it_usually_is() {
    for measured in [false, true] {
        let mut world = World::with_dns();
        if !measured {
            world.order.dns.follow.interval = SignedDuration::from_mins(40);
        }
        world.run_until(Stage::ShiftTraffic);
        if measured {
            let lag_millis = i64::try_from(SignedDuration::from_mins(40).as_millis()).unwrap();
            let rehearsal = world.status.rehearsal.clone().unwrap();
            world.status.rehearsal = Some(Rehearsal { lag_millis, ..rehearsal });
        }
        world.dns.as_mut().unwrap().stopped.insert(Side::Target);
        world.run_while(|status| status.weight == 0);
        for _ in 0..60 {
            world.settle();
            world.advance(SignedDuration::from_mins(5));
            assert_eq!(
                (says(&world).0, world.status.cause.clone()),
                (Stage::ShiftTraffic, None),
                "measured: {measured}"
            );
        }
        assert!(is_stalled(&world), "a person is told: {}", world.status.message);
        world.dns.as_mut().unwrap().stopped.clear();
        world.run_until(Stage::Completed);
    }
}

#[test]
fn a_person_is_called_an_hour_after_dns_is_late_and_not_before() {
    let mut world = World::with_dns();
    world.order.dns.follow.interval = SignedDuration::from_mins(90);
    world.run_until(Stage::ShiftTraffic);
    world.dns.as_mut().unwrap().stopped.insert(Side::Target);
    world.run_while(|status| status.weight == 0);
    for (minutes, reason, stalled) in [(180, "WaitingForDNS", false), (60, "DNSLate", false), (5, "DNSLate", true)] {
        world.advance(SignedDuration::from_mins(minutes));
        world.settle();
        assert_eq!((says(&world).1, is_stalled(&world)), (reason, stalled), "{}", world.status.message);
    }
    let said = "ShiftTraffic took longer than 4h3m5s: Weight 1 is written on the target, but DNS has not followed; usually it does within";
    assert!(world.status.message.starts_with(said), "{}", world.status.message);
}

fn is_stalled(world: &World) -> bool {
    world.status.conditions.iter().any(|it| it.type_ == "Stalled" && it.status == "True")
}
