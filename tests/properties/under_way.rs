//! What changes in the clusters after the checks have passed: nobody is moved by it, and a person is asked.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::status::StepPhase;
use namespace_migration::machine::Side;
use namespace_migration::machine::observed::NamespaceFacts;

use crate::planted::at;
use crate::stages::says;
use crate::world::World;

#[test]
fn an_ingress_that_comes_after_the_plan_stops_the_clock_until_it_is_excluded() {
    let mut world = at(1, StepPhase::Holding);
    world.add_ingress(Side::Source, "late", "late.example");
    world.pass();
    let said = "Ingress late (late.example) has come to the source since the plan was agreed, and would stay behind.";
    assert_eq!(says(&world), (Stage::ShiftTraffic, "UnplannedIngress", said));
    world.advance(SignedDuration::from_hours(30));
    world.pass();
    assert_eq!(world.status.stage, Stage::ShiftTraffic, "nobody is moved by it");
    world.order.excluded_ingresses = BTreeSet::from(["late".to_owned()]);
    world.run_until(Stage::Completed);
}

#[test]
fn a_namespace_that_is_deleted_under_way_stops_the_clock() {
    let mut world = at(1, StepPhase::Holding);
    let uid = world.source.identity.clone();
    world.source.namespace = Some(NamespaceFacts { uid: uid.clone(), terminating: true });
    world.pass();
    let said = "SourceNamespace: The namespace shop on the source is being deleted.";
    assert_eq!(says(&world), (Stage::ShiftTraffic, "PreflightBlocked", said));
    world.source.namespace = Some(NamespaceFacts { uid, terminating: false });
    world.run_until(Stage::Completed);
}

#[test]
fn a_target_that_serves_users_already_is_told_before_they_would_be_sent_back() {
    let mut world = World::new();
    for (side, weight) in [(Side::Source, "50"), (Side::Target, "50")] {
        world.add_ingress(side, "web", "shop.example");
        let facts = world.ingress_mut(side, "web");
        facts.identifier = Some(format!("web-{side}"));
        facts.weight_text = Some(weight.to_owned());
    }
    world.settle();
    let said = "TargetHasUsers: Ingress web on the target has weight 50 already: its users would be sent back to the source before the move.";
    assert_eq!(says(&world), (Stage::Preflight, "PreflightBlocked", said));
    world.order.acknowledged.insert("TargetHasUsers".into(), "they know".into());
    world.run_until(Stage::Completed);
}
