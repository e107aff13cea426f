//! Conditions: what kstatus, Argo CD and `kubectl wait` read.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::duration::DurationText;
use namespace_migration::api::status::{NamespaceMigrationStatus, StepPhase};
use namespace_migration::machine::controls::Controls;
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::order::OrderError;
use namespace_migration::machine::{Asked, Side, reject};
use serde_json::json;

use crate::controls::pause;
use crate::planted::at;
use crate::world::World;

/// Every condition, in the order in which `kubectl describe` shows them.
const ALL: [&str; 16] = [
    "Ready",
    "Reconciling",
    "Stalled",
    "Succeeded",
    "Finished",
    "PreflightPassed",
    "SourceWeighted",
    "TargetPrepared",
    "SecretsCopied",
    "TrafficShifted",
    "RolledBack",
    "TargetHealthy",
    "SourceHealthy",
    "WeightsVerified",
    "WeightContested",
    "SourceSilent",
];

fn is(status: &NamespaceMigrationStatus, kind: &str) -> String {
    status.conditions.iter().find(|condition| condition.type_ == kind).map(|found| found.status.clone()).unwrap()
}

/// What kstatus makes of it: <https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>
fn kstatus(status: &NamespaceMigrationStatus) -> &'static str {
    match (is(status, "Reconciling").as_str(), is(status, "Stalled").as_str(), is(status, "Ready").as_str()) {
        ("True", ..) => "InProgress",
        (_, "True", _) => "Failed",
        (_, _, "True") => "Current",
        _ => "InProgress",
    }
}

/// The five summaries and what kstatus makes of them.
fn row(world: &World) -> (String, &'static str) {
    let status = &world.status;
    let letter = |kind: &str| is(status, kind).chars().next().unwrap();
    (["Ready", "Reconciling", "Stalled", "Succeeded", "Finished"].map(letter).iter().collect(), kstatus(status))
}

fn stopped(mut world: World, change: impl Fn(&mut World)) -> World {
    change(&mut world);
    world.pass();
    world
}

#[test]
fn the_summaries_follow_the_table() {
    let fails = |world: &mut World| {
        world.verdicts.insert(Side::Target, Verdict::Fail);
    };
    let created = stopped(World::new(), |world| world.unreachable(Side::Source));
    let shifting = at(1, StepPhase::Holding);
    let away = stopped(at(1, StepPhase::RaiseTarget), |world| world.unreachable(Side::Target));
    let held = stopped(at(1, StepPhase::Holding), |world| {
        world.edit(&json!({"onFailure": "Hold"}));
        fails(world);
    });
    let contested = stopped(at(1, StepPhase::Holding), |world| world.foreign_weight(Side::Target, "web", 2, false));
    let paused = stopped(at(1, StepPhase::Holding), |world| world.edit(&json!({"suspend": true})));
    let mut at_ceiling = World::with(json!({"traffic": {"upTo": 0}}));
    at_ceiling.run_while(|status| status.reason != "AtCeiling");
    let back = stopped(at(1, StepPhase::Holding), fails);
    let mut blocked = stopped(at(1, StepPhase::Holding), |world| {
        fails(world);
        world.unreachable(Side::Target);
    });
    blocked.advance(jiff::SignedDuration::from_hours(1));
    blocked.pass();
    let mut rolled_back = back.clone();
    rolled_back.run_until(Stage::RolledBack);
    let mut completed = World::new();
    completed.run_until(Stage::Completed);
    for (situation, world, expected) in vec![
        ("just created", created, ("UTFUF", "InProgress")),
        ("shifting", shifting, ("FTFUF", "InProgress")),
        ("the target's API is down", away, ("FTFUF", "InProgress")),
        ("held", held, ("FFTUF", "Failed")),
        ("contested", contested, ("FTFUF", "InProgress")),
        ("paused", paused, ("FTFUF", "InProgress")),
        ("at the ceiling", at_ceiling, ("FTFUF", "InProgress")),
        ("rolling back", back, ("FTFUF", "InProgress")),
        ("rollback blocked", blocked, ("FFTUF", "Failed")),
        ("rolled back", rolled_back, ("FFTFT", "Failed")),
        ("completed", completed, ("TFFTT", "Current")),
    ] {
        assert_eq!(row(&world), (expected.0.to_owned(), expected.1), "{situation}");
    }
}

#[test]
fn a_spec_that_cannot_be_used_is_stalled_and_says_why() {
    let source = DurationText::from("ten minutes").span().unwrap_err();
    let error = OrderError::Duration { object: "NamespaceMigration shop/shop".into(), field: "spec.bake.for", source };
    let controls = Controls::default();
    let asked = |generation| Asked { generation, attempt: 1, controls: &controls };
    let mut world = World::new();
    let rejected = reject(&world.status, &asked(1), &error, world.now);
    world.save(&rejected.status);
    assert_eq!(row(&world), ("UFTUF".to_owned(), "Failed"));
    let said = "NamespaceMigration shop/shop has a spec.bake.for that cannot be read: \"ten minutes\" is not a duration; write one like 90s, 10m or 1h30m.";
    assert_eq!(world.status.message, said);
    world.run_until(Stage::Completed);
    let rejected = reject(&world.status, &asked(world.status.observed_generation), &error, world.now);
    assert_eq!(rejected.status, world.status, "a completed migration does not care");
}

#[test]
fn all_conditions_are_there_on_the_first_visit_and_say_something() {
    let mut world = World::new();
    world.unreachable(Side::Source);
    world.pass();
    let kinds: Vec<_> = world.status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
    assert_eq!(kinds, ALL);
    for condition in &world.status.conditions {
        assert!(!condition.reason.is_empty() && !condition.message.is_empty(), "{}", condition.type_);
        assert_eq!(condition.observed_generation, Some(1));
    }
}

#[test]
fn a_transition_time_moves_with_its_status_and_only_then() {
    let mut world = World::new();
    let mut known: BTreeMap<String, (String, jiff::Timestamp)> = BTreeMap::new();
    world.run_while(|status| status.stage != Stage::ShiftTraffic || status.step_text != "3/4");
    for verdict in [Verdict::Pass, Verdict::Inconclusive, Verdict::Pass, Verdict::Fail] {
        world.verdicts.insert(Side::Target, verdict);
        for _ in 0..4 {
            world.step();
            for condition in &world.status.conditions {
                let now = (condition.status.clone(), condition.last_transition_time.0);
                if let Some(before) = known.insert(condition.type_.clone(), now.clone()) {
                    assert_eq!(before.0 != now.0, before.1 != now.1, "{}: {before:?} {now:?}", condition.type_);
                }
            }
        }
    }
}

#[test]
fn the_parts_become_true_as_they_are_done_and_the_shift_false_when_it_goes_back() {
    let parts =
        ["PreflightPassed", "SourceWeighted", "TargetPrepared", "SecretsCopied", "TrafficShifted", "RolledBack"];
    let read =
        |world: &World| parts.map(|part| is(&world.status, part).chars().next().unwrap()).iter().collect::<String>();
    let mut world = World::new();
    world.pass();
    assert_eq!(read(&world), "TFFFFF");
    world.run_until(Stage::PublishTarget);
    assert_eq!(read(&world), "TTTTFF");
    world.run_until(Stage::Bake);
    assert_eq!(read(&world), "TTTTTF");
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.run_until(Stage::RolledBack);
    assert_eq!(read(&world), "TTTTFT");
}

#[test]
fn health_conditions_say_which_side_fails() {
    let mut world = at(1, StepPhase::Holding);
    assert_eq!(
        (is(&world.status, "TargetHealthy"), is(&world.status, "SourceHealthy")),
        ("True".into(), "True".into())
    );
    world.verdicts = [(Side::Source, Verdict::Fail), (Side::Target, Verdict::Inconclusive)].into();
    world.pass();
    assert_eq!(
        (is(&world.status, "TargetHealthy"), is(&world.status, "SourceHealthy")),
        ("Unknown".into(), "False".into())
    );
    assert_eq!(world.status.health, "Inconclusive");
}

#[test]
fn the_pipeline_shows_what_is_done_what_runs_and_what_will_not_be_done() {
    let read = |world: &World| {
        let states = world.status.pipeline.iter().map(|stage| format!("{:?}", stage.state));
        states.map(|state| state.chars().next().unwrap()).collect::<String>()
    };
    let mut world = World::new();
    world.unreachable(Side::Source);
    world.pass();
    assert_eq!(read(&world), "RWWWWWWWWWW");
    world.reachable(Side::Source);
    world.run_until(Stage::SmokeTest);
    assert_eq!(read(&world), "DDDDDDDRWWW");
    let mut completed = world.clone();
    completed.run_until(Stage::Completed);
    assert_eq!(read(&completed), "DDDDDDDDDDD");
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.run_until(Stage::RolledBack);
    assert_eq!(read(&world), "DDDDDDDFSSSDD");
}

#[test]
fn events_tell_each_stage_and_step_once() {
    let mut world = World::new();
    let mut told = vec![];
    for _ in 0..200 {
        let before = world.status.stage;
        told.extend(world.look().events.into_iter().map(|event| event.note));
        world.step();
        if before == Stage::Completed {
            break;
        }
    }
    let steps: Vec<_> = told.iter().filter(|note| note.starts_with("Step")).cloned().collect();
    let expected = [(1, 1), (2, 10), (3, 50), (4, 100)]
        .map(|(step, weight)| format!("Step {step}/4: the target gets {weight} percent."));
    assert_eq!(steps, expected);
    assert_eq!(told.iter().filter(|note| note.ends_with(" began.")).count(), 9, "{told:#?}");
    assert_eq!(told.last().unwrap(), "The service has moved: the target serves everything.");
}

#[test]
fn a_wait_says_since_when_and_starts_anew_only_with_another_reason() {
    let mut world = World::new();
    world.run_until(Stage::WeightSource);
    world.settle();
    let (reason, since) = (world.status.reason.clone(), world.status.waiting_since.clone());
    world.advance(SignedDuration::from_secs(20));
    world.pass();
    assert_eq!((&world.status.reason, &world.status.waiting_since), (&reason, &since));
    world.run_until(Stage::SmokeTest);
    assert!(world.status.reason != reason && world.status.waiting_since > since);
}

#[test]
fn the_conditions_are_those_of_the_reference_from_the_first_visit_on() {
    let mut world = World::new();
    world.pass();
    let kinds: Vec<_> = world.status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
    assert_eq!(kinds, namespace_migration::machine::summary::CONDITIONS.map(|(kind, _)| kind));
}

#[test]
fn when_it_goes_on_is_said_as_people_read_it_and_only_while_it_is_to_come() {
    let mut world = at(1, StepPhase::Holding);
    let next = world.status.next.as_ref().unwrap().0.to_string();
    let (day, clock) = next.split_once('T').unwrap();
    assert_eq!((day, world.status.next_text.as_str()), ("2026-11-21", format!("Nov 21 {clock}").as_str()));
    pause(&mut world);
    world.pass();
    assert_eq!((&world.status.next, world.status.next_text.as_str()), (&None, ""));
}

fn verified(world: &World) -> (String, String, String) {
    let found = world.status.conditions.iter().find(|condition| condition.type_ == "WeightsVerified").unwrap();
    (found.status.clone(), found.reason.clone(), found.message.clone())
}

#[test]
fn weights_are_verified_while_every_host_and_kind_serves_what_is_written() {
    let says = |world: &World| {
        let (status, reason, _) = verified(world);
        format!("{status} {reason}")
    };
    let mut world = World::with_dns();
    world.run_until(Stage::WeightSource);
    assert_eq!(says(&world), "Unknown NotYet", "nothing is written yet");
    let workloads = std::mem::take(&mut world.target.workloads);
    world.run_until(Stage::DeployWorkloads);
    world.settle();
    assert_eq!(
        says(&world),
        "True Verified",
        "the source is weighted, and is looked at while a pipeline is waited for"
    );
    world.target.workloads = workloads;
    let is_at =
        |phase| move |status: &NamespaceMigrationStatus| status.step.as_ref().is_none_or(|step| step.phase != phase);
    world.run_while(is_at(StepPhase::TargetSettling));
    world.settle();
    assert_eq!(says(&world), "False WaitingForDNS");
    let said = "shop.example (A) is not known to serve yet what is written. Seen: web-shop-blue 100, web-shop-green 1.";
    world.advance(SignedDuration::from_secs(5));
    world.pass();
    assert_eq!(verified(&world).2, said);
    world.run_while(is_at(StepPhase::Holding));
    let (status, reason, message) = verified(&world);
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Verified"));
    assert!(message.contains("Route53: the list of records is read"), "{message}");
    world.dns.as_mut().unwrap().unreadable = Some("AccessDenied".into());
    world.pass();
    assert!(says(&world).starts_with("False"), "{}", says(&world));
    world.dns.as_mut().unwrap().unreadable = None;
    let mut back = world.clone();
    world.run_until(Stage::Completed);
    assert_eq!(says(&world), "True Verified");
    back.verdicts.insert(Side::Target, Verdict::Fail);
    back.run_until(Stage::RollingBack);
    back.settle();
    assert!(says(&back).starts_with("False"), "{}", says(&back));
    back.run_until(Stage::RolledBack);
    assert_eq!(says(&back), "True Verified");
}

#[test]
fn where_nobody_asks_dns_weights_are_never_verified() {
    let mut world = World::new();
    for _ in 0..60 {
        world.step();
        assert_eq!(verified(&world).0, "Unknown", "{}", world.status.stage);
    }
    assert_eq!((world.status.stage, verified(&world).1.as_str()), (Stage::Completed, "Assumed"));
}
