//! What DNS shows is looked at again before a write that relies on it: between two gates lie hours in which anybody may edit the zone.

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::status::StepPhase;
use namespace_migration::machine::Side;
use namespace_migration::machine::records::{ListedRecord, Owner, Routing};
use namespace_migration::machine::traffic::Weight;
use serde_json::json;

use crate::planted::stands;
use crate::recording::{broken_promise, texts};
use crate::world::World;

const HOST: &str = "shop.example";

/// A migration that waits for a pipeline to deploy the workloads: nobody reads DNS meanwhile.
fn waits_for_a_pipeline(mut world: World) -> World {
    let workloads = std::mem::take(&mut world.target.workloads);
    world.run_until(Stage::DeployWorkloads);
    world.settle();
    world.advance(SignedDuration::from_hours(5));
    world.target.workloads = workloads;
    world
}

/// Somebody edits the records of a side in the zone itself, and its external-dns does not put that back.
fn edit(world: &mut World, side: Side, routing: &Routing) {
    let now = world.now;
    let dns = world.dns.as_mut().unwrap();
    dns.stopped.insert(side);
    let owner = Owner::Named(format!("{side}-owner"));
    for record in dns.records.get_mut(HOST).unwrap().iter_mut().filter(|record| record.set.owner == owner) {
        (record.set.routing, record.since) = (routing.clone(), now);
    }
}

/// The external-dns of a side runs again, and puts back what was edited.
fn put_back(world: &mut World, side: Side) {
    world.dns.as_mut().unwrap().stopped.remove(&side);
    world.advance(SignedDuration::from_secs(1));
}

fn minutes(world: &mut World, minutes: i64) {
    for _ in 0..minutes * 2 {
        world.settle();
        world.advance(SignedDuration::from_secs(30));
    }
    world.settle();
}

#[test]
fn beside_a_source_whose_record_is_simple_again_nothing_is_published() {
    let mut world = waits_for_a_pipeline(World::with_dns());
    edit(&mut world, Side::Source, &Routing::Simple);
    world.run_until(Stage::PublishTarget);
    minutes(&mut world, 30);
    assert!(!texts(&world).contains(&"create Ingress web".to_owned()), "{:?}", texts(&world));
    assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::PublishTarget, "DNSLate"));
    let said = &world.status.message;
    assert!(said.starts_with("Nothing is published on the target yet"), "{said}");
    assert!(said.contains("The A record of shop.example is still a simple one."), "{said}");
    put_back(&mut world, Side::Source);
    world.run_until(Stage::ShiftTraffic);
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn what_came_to_the_host_since_the_source_was_weighted_is_named_before_anything_is_published() {
    let mut world = waits_for_a_pipeline(World::with_dns());
    let mut third: ListedRecord = world.dns.as_ref().unwrap().records[HOST][0].clone();
    (third.set.identifier, third.set.owner) = (Some("somebody".into()), Owner::Unread);
    world.dns.as_mut().unwrap().records.get_mut(HOST).unwrap().push(third);
    world.run_until(Stage::PublishTarget);
    minutes(&mut world, 5);
    assert!(!texts(&world).contains(&"create Ingress web".to_owned()), "{:?}", texts(&world));
    assert_eq!(world.status.reason, "DNSBlocked");
    assert!(world.status.message.contains("third A record at shop.example: somebody"), "{}", world.status.message);
}

#[test]
fn what_was_read_before_the_stage_is_too_old_to_publish_by() {
    let mut world = waits_for_a_pipeline(World::with_dns());
    world.dns.as_mut().unwrap().read_at = Some(world.now - SignedDuration::from_mins(1));
    world.run_until(Stage::PublishTarget);
    minutes(&mut world, 90);
    assert!(!texts(&world).contains(&"create Ingress web".to_owned()), "{:?}", texts(&world));
    assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::PublishTarget, "DNSUnreadable"));
    world.dns.as_mut().unwrap().read_at = None;
    world.run_until(Stage::ShiftTraffic);
}

#[test]
fn an_ingress_that_a_pipeline_brings_late_goes_to_0_at_once_whatever_dns_shows() {
    let mut world = waits_for_a_pipeline(World::with_dns());
    edit(&mut world, Side::Source, &Routing::Simple);
    world.run_until(Stage::PublishTarget);
    world.add_ingress(Side::Target, "web", HOST);
    world.foreign_weight(Side::Target, "web", 100, false);
    world.pass();
    assert_eq!(world.side(Side::Target).weight("web"), Some(0), "it has a record already: {:?}", texts(&world));
}

#[test]
fn a_record_that_somebody_edits_during_a_hold_to_the_targets_favour_takes_everything_back() {
    for (side, weight) in [(Side::Target, 60), (Side::Source, 5)] {
        let mut world = stands(World::with_dns(), 1, StepPhase::Holding);
        minutes(&mut world, 10);
        edit(&mut world, side, &Routing::Weighted(Weight::percent(weight)));
        minutes(&mut world, 90);
        assert_eq!(world.side(Side::Target).weight("web"), Some(0), "more users than its step allows are taken back");
        let cause = world.status.cause.clone().unwrap();
        assert_eq!(cause.reason, "ForeignWeight", "{}", cause.message);
        assert!(cause.message.contains("shop.example"), "{}", cause.message);
        put_back(&mut world, side);
        world.run_until(Stage::RolledBack);
    }
}

#[test]
fn a_record_that_somebody_edits_before_the_first_step_is_noticed_before_it() {
    let mut world = World::with_dns();
    world.edit(&json!({"traffic": {"upTo": 0}}));
    world.run_while(|status| status.reason != "AtCeiling");
    edit(&mut world, Side::Target, &Routing::Weighted(Weight::FULL));
    world.edit(&json!({"traffic": {"upTo": 100}}));
    minutes(&mut world, 30);
    assert_eq!(world.side(Side::Target).weight("web"), Some(0), "{}", world.status.message);
    assert!(world.status.message.contains("has weight 100; weight 0 is written"), "{}", world.status.message);
}

#[test]
fn where_nobody_edits_anything_the_look_before_a_raise_takes_one_reading() {
    let mut world = stands(World::with_dns(), 1, StepPhase::Holding);
    world.run_while(|status| status.step.as_ref().is_some_and(|step| step.phase == StepPhase::Holding));
    let over = world.now;
    world.run_while(|status| status.step.as_ref().is_some_and(|step| step.phase == StepPhase::RaiseTarget));
    assert!(world.now.duration_since(over) <= SignedDuration::from_secs(10), "{}", world.now.duration_since(over));
    assert_eq!(world.side(Side::Target).weight("web"), Some(50));
}
