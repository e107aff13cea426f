//! What the zone's own name servers prove, and what is only assumed: who answers and who does not, never a share.

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::status::{RehearsalPhase, ServedProof};
use namespace_migration::machine::Side;
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::records::{ListedRecord, Owner, RecordKind, RecordSet, Routing};
use namespace_migration::machine::traffic::Weight;
use serde_json::json;

use crate::recording::{broken_promise, texts};
use crate::world::World;

const HOST: &str = "shop.example";

fn third(leads_to: &str, weight: i32) -> ListedRecord {
    let set = RecordSet {
        kind: RecordKind::A,
        identifier: Some("somebody".into()),
        routing: Routing::Weighted(Weight::percent(weight)),
        ttl: None,
        leads_to: vec![leads_to.into()],
        owner: Owner::Absent { sought: vec![] },
    };
    ListedRecord { set, since: World::new().now }
}

fn seconds(world: &mut World, seconds: i64) {
    world.settle();
    world.advance(SignedDuration::from_secs(seconds));
    world.settle();
}

/// What is said of how the share of the host is known.
fn proof(world: &World) -> Option<ServedProof> {
    world.status.dns.iter().filter_map(|row| row.proof).min()
}

fn pipeline(world: &World, stage: Stage) -> &str {
    &world.status.pipeline.iter().find(|entry| entry.name == stage).unwrap().message
}

fn is_verified(world: &World) -> (&str, &str) {
    let found = world.status.conditions.iter().find(|condition| condition.type_ == "WeightsVerified").unwrap();
    (&found.status, &found.reason)
}

#[test]
fn a_migration_that_goes_well_says_of_each_gate_how_it_was_known() {
    let mut world = World::with_name_servers();
    world.run_until(Stage::ShiftTraffic);
    let rehearsal = world.status.rehearsal.clone().unwrap();
    assert_eq!((rehearsal.phase, rehearsal.lag_millis), (RehearsalPhase::Done, 0), "its own timer is no measurement");
    assert_eq!(pipeline(&world, Stage::WeightSource), "The source's records are weighted, at 100 (Assumed).");
    assert_eq!(pipeline(&world, Stage::PublishTarget), "The target is published at weight 0 (Assumed).");
    world.run_while(|status| status.reason != "HoldingStep");
    assert_eq!((proof(&world), is_verified(&world)), (Some(ServedProof::Assumed), ("Unknown", "Assumed")));
    assert_eq!(world.status.dns[0].found, "answered by source and target");
    world.run_until(Stage::Bake);
    assert_eq!((proof(&world), is_verified(&world)), (Some(ServedProof::Answered), ("True", "Answered")));
    assert_eq!(world.status.dns[0].found, "answered by target");
    world.run_until(Stage::Completed);
    assert_eq!(broken_promise(&world.writes), None);
    assert_eq!(world.served.broken, Vec::<String>::new());
}

#[test]
fn while_the_target_is_not_answered_the_source_is_not_lowered() {
    let mut world = World::with_name_servers();
    world.run_until(Stage::ShiftTraffic);
    world.dns.as_mut().unwrap().stopped.insert(Side::Target);
    for _ in 0..60 {
        seconds(&mut world, 60);
    }
    assert_eq!((world.source.weight("web"), world.target.weight("web")), (Some(100), Some(1)));
    assert_eq!((world.status.reason.as_str(), is_verified(&world)), ("DNSLate", ("False", "DNSLate")));
    assert!(
        world.status.message.contains("the target has not answered for shop.example yet"),
        "{}",
        world.status.message
    );
    world.dns.as_mut().unwrap().stopped.clear();
    world.run_until(Stage::Completed);
}

#[test]
fn a_rollback_is_over_when_the_target_was_missing_from_as_many_answers_as_would_have_shown_it() {
    let mut world = World::with_name_servers();
    world.run_while(|status| status.weight < 50 || status.reason != "HoldingStep");
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.run_until(Stage::RollingBack);
    let written = world.now;
    world.run_until(Stage::RolledBack);
    let took = world.now.duration_since(written);
    assert!(took >= SignedDuration::from_secs(459), "so many answers, one a second: {took}");
    assert_eq!(pipeline(&world, Stage::RollingBack), "The source serves everything again (Answered).");
    assert_eq!(world.dns.as_ref().unwrap().share(HOST), 0);
}

#[test]
fn a_third_that_was_not_in_the_last_answer_is_still_a_third() {
    let mut world = World::with_name_servers();
    world.run_while(|status| status.rehearsal.is_none());
    world.dns.as_mut().unwrap().records.get_mut(HOST).unwrap().push(third("192.0.2.99", 3));
    for _ in 0..90 {
        // Whenever it is looked, most of the last answers were the source's.
        seconds(&mut world, 7);
    }
    assert_eq!(world.status.stage, Stage::WeightSource, "{:?}", texts(&world));
    let said = "192.0.2.99 is among the last 459 answers for shop.example (A) and belongs to neither side";
    assert!(world.status.message.contains(said), "{}", world.status.message);
    let records = world.dns.as_mut().unwrap().records.get_mut(HOST).unwrap();
    records.retain(|record| record.set.identifier.as_deref() != Some("somebody"));
    world.run_until(Stage::ShiftTraffic);
}

#[test]
fn a_host_that_leads_nowhere_opens_no_gate() {
    let mut world = World::with_name_servers();
    let dns = world.dns.as_mut().unwrap();
    dns.stopped.extend([Side::Source, Side::Target]);
    dns.records.insert(HOST.into(), vec![]);
    world.run_until(Stage::WeightSource);
    for _ in 0..60 {
        seconds(&mut world, 60);
    }
    assert_eq!(world.status.stage, Stage::WeightSource, "{:?}", texts(&world));
    let said = "No name server has an answer for shop.example that leads anywhere.";
    assert!(world.status.message.contains(said), "{}", world.status.message);
    world.dns.as_mut().unwrap().stopped.clear();
    world.run_until(Stage::ShiftTraffic);
}

#[test]
fn a_server_that_knows_nothing_of_the_host_keeps_a_gate_closed() {
    let mut world = World::with_name_servers();
    world.run_while(|status| status.rehearsal.is_none());
    world.dns.as_mut().unwrap().answers.as_mut().unwrap().silent = Some("192.0.2.54:53".into());
    for _ in 0..60 {
        seconds(&mut world, 60);
    }
    assert_eq!(world.status.stage, Stage::WeightSource, "{:?}", texts(&world));
    let said = "Name server 192.0.2.54:53: the source has not answered for shop.example yet.";
    assert!(world.status.message.contains(said), "{}", world.status.message);
}

#[test]
fn a_target_of_unknown_address_is_gone_only_when_nobody_but_the_source_answers() {
    let mut world = World::with_name_servers();
    world.run_while(|status| status.weight < 10 || status.reason != "HoldingStep");
    world.dns.as_mut().unwrap().stopped.insert(Side::Target);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.run_until(Stage::RollingBack);
    world.settle();
    assert_eq!((world.source.weight("web"), world.target.weight("web")), (Some(100), Some(0)));
    // Its Ingress goes, and with it what is known of its address; its record stays.
    world.target.ingresses.clear();
    for _ in 0..100 {
        seconds(&mut world, 7);
    }
    assert_ne!(world.status.stage, Stage::RolledBack, "ten of 110 answers are the target's");
    world.dns.as_mut().unwrap().stopped.clear();
    world.run_until(Stage::RolledBack);
    assert_eq!(world.dns.as_ref().unwrap().share(HOST), 0);
}

#[test]
fn a_source_of_unknown_address_proves_nothing() {
    let mut world = World::with_name_servers();
    world.run_while(|status| status.weight < 10 || status.reason != "HoldingStep");
    world.ingress_mut(Side::Source, "web").addresses.clear();
    world.dns.as_mut().unwrap().stopped.insert(Side::Source);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.run_until(Stage::RollingBack);
    for _ in 0..30 {
        seconds(&mut world, 60);
    }
    assert_ne!(world.status.stage, Stage::RolledBack);
}

#[test]
fn an_edit_in_the_zone_that_takes_the_target_away_is_noticed_before_the_next_raise() {
    let mut world = World::with_name_servers();
    world.edit(&json!({"traffic": {"steps": [{"weight": 10, "hold": "30m"}, {"weight": 100, "hold": "1m"}]}}));
    world.run_while(|status| status.reason != "HoldingStep");
    let dns = world.dns.as_mut().unwrap();
    dns.stopped.insert(Side::Target);
    dns.records.get_mut(HOST).unwrap().retain(|record| record.set.owner.named() != Some("target-owner"));
    for _ in 0..60 {
        seconds(&mut world, 60);
    }
    assert_eq!(world.target.weight("web"), Some(10), "{}", world.status.message);
    assert!(
        world.status.message.contains("the target is missing from 88 answers in a row"),
        "{}",
        world.status.message
    );
    world.dns.as_mut().unwrap().stopped.clear();
    world.run_until(Stage::Completed);
}
