//! What each stage waits for: one word, one sentence, and what a person can do.

use namespace_migration::api::Stage;
use namespace_migration::api::status::StepPhase;
use namespace_migration::machine::Side;
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::observed::{NamespaceFacts, Reach};
use namespace_migration::machine::stamp::{Direction, Stamp};

use crate::planted::at;
use crate::recording::texts;
use crate::world::{TARGET, World};

/// Stage, reason and sentence of the status.
pub fn says(world: &World) -> (Stage, &str, &str) {
    (world.status.stage, &world.status.reason, &world.status.message)
}

fn passed(mut world: World) -> World {
    world.pass();
    world
}

#[test]
fn pending_says_which_cluster_it_waits_for_and_why() {
    let mut world = World::new();
    world.source.reach = Reach::Unknown;
    let said = "The namespace shop on the source is being listed.";
    assert_eq!(says(&passed(world.clone())), (Stage::Pending, "ConnectingToClusters", said));
    world.source.reach = Reach::Refused {
        why: "the API server refuses the credentials (401)".into(),
        fix: "Put new ones there.".into(),
    };
    let said =
        "The source cluster of ClusterPair old-to-new cannot be used: the API server refuses the credentials (401).";
    assert_eq!(says(&passed(world.clone())), (Stage::Pending, "ClusterRefused", said));
    assert_eq!(passed(world.clone()).status.unblock, "Put new ones there.");
    world.reachable(Side::Source);
    world.unreachable(Side::Target);
    let said = "The target cluster of ClusterPair old-to-new does not answer: connection refused.";
    assert_eq!(says(&passed(world.clone())), (Stage::Pending, "TargetUnreachable", said));
    let fix = "Mend the target cluster, or its connection in ClusterPair old-to-new; it is tried again by itself.";
    assert_eq!(passed(world.clone()).status.unblock, fix);
    world.target.reach = Reach::WrongCluster { found: "33333333".into() };
    let said = "The target cluster of ClusterPair old-to-new is another cluster than the ClusterPair names: its identity is 33333333.";
    assert_eq!(says(&passed(world.clone())), (Stage::Pending, "WrongCluster", said));
    world.target.reach = Reach::WrongCluster { found: world.order.source.identity.clone() };
    let said = "That is the source: both connections lead to the same cluster.";
    assert!(passed(world).status.message.ends_with(said));
}

#[test]
fn another_cluster_than_the_pair_names_is_told_with_what_to_mend() {
    let mut world = World::new();
    world.target.reach = Reach::WrongCluster { found: "33333333".into() };
    let fix = format!(
        "ClusterPair old-to-new expects the identity {TARGET}: let its connection lead to that cluster, or mend spec.target.identity."
    );
    assert_eq!(passed(world.clone()).status.unblock, fix);
    world.target.reach = Reach::WrongCluster { found: world.order.source.identity.clone() };
    let fix = format!(
        "Let the connection of the target in ClusterPair old-to-new lead to the cluster with the identity {TARGET}."
    );
    assert_eq!(passed(world).status.unblock, fix);
}

#[test]
fn a_namespace_that_another_migration_moves_is_left_alone_until_that_one_has_ended() {
    let mut world = World::new();
    let mut stamp = Stamp { owner: "home/shop/other".into(), attempt: 1, epoch: 4, direction: Direction::Forward };
    world.ingress_mut(Side::Source, "web").stamp = Some(stamp.clone());
    world.pass();
    let said = "Ingress web on the source is moved by another migration, home/shop/other.";
    assert_eq!(says(&world), (Stage::Pending, "OwnedByAnother", said));
    let fix = &world.status.unblock;
    assert!(fix.starts_with("Wait for the other migration to end, or delete this one."), "{fix}");
    assert!(
        fix.ends_with("kubectl --context=SOURCE annotate ingress web -n shop namespacemigration.io/stamp-"),
        "{fix}"
    );
    stamp.direction = Direction::RolledBack;
    world.ingress_mut(Side::Source, "web").stamp = Some(stamp);
    world.run_until(Stage::Completed);
}

#[test]
fn weight_source_writes_and_then_waits_for_dns() {
    let mut world = World::new();
    world.pass();
    let said = "The source's Ingresses get their DNS set identifier and weight 100.";
    assert_eq!(says(&world), (Stage::WeightSource, "WritingWeights", said));
    world.pass();
    let said = "The source's records are being made weighted, which users do not notice; DNS needs time to follow.";
    assert_eq!(says(&world), (Stage::WeightSource, "WaitingForDNS", said));
    assert_eq!(world.status.next.as_ref().unwrap().0.to_string(), "2026-11-21T08:03:00Z");
}

#[test]
fn prepare_target_names_the_namespace_and_the_services_that_are_missing() {
    let mut world = World::new();
    world.target.namespace = None;
    world.target.services.clear();
    world.run_until(Stage::PrepareTarget);
    let said = "The namespace shop is not on the target.";
    assert_eq!(says(&world), (Stage::PrepareTarget, "WaitingForNamespace", said));
    assert_eq!(world.status.unblock, "Create it there as it was created on the source.");
    world.target.namespace = Some(NamespaceFacts { uid: "n".into(), terminating: true });
    world.pass();
    let said = "The namespace shop on the target is being deleted.";
    assert_eq!(says(&world), (Stage::PrepareTarget, "Terminating", said));
    world.target.namespace = Some(NamespaceFacts { uid: "n".into(), terminating: false });
    world.pass();
    let said = "Services of the Ingresses are not in namespace shop on the target: web.";
    assert_eq!(says(&world), (Stage::PrepareTarget, "WaitingForServices", said));
}

#[test]
fn deploy_workloads_names_what_is_missing_scaled_down_or_not_ready() {
    let mut world = World::new();
    let web = world.target.workloads.remove("Deployment/web").unwrap();
    world.run_until(Stage::DeployWorkloads);
    let ready = |desired: i32, ready: i32| {
        let facts = namespace_migration::machine::observed::WorkloadFacts { desired, ready, ..web.clone() };
        Some(facts)
    };
    for (facts, found) in [
        (None, "Deployment/web is not there"),
        (ready(0, 0), "Deployment/web is scaled to 0"),
        (ready(3, 1), "Deployment/web has 1 of 3 Pods ready"),
    ] {
        if let Some(facts) = facts {
            world.target.workloads.insert("Deployment/web".into(), facts);
        }
        world.pass();
        let said = format!("Workloads on the target are not ready: {found}.");
        assert_eq!(says(&world), (Stage::DeployWorkloads, "WaitingForWorkloads", said.as_str()));
    }
    world.target.workloads.insert("Deployment/web".into(), ready(3, 3).unwrap());
    world.pass();
    assert_eq!(world.status.stage, Stage::PublishTarget);
}

#[test]
fn a_source_that_was_not_listed_yet_does_not_make_the_target_complete() {
    for (stage, forget) in [(Stage::PrepareTarget, "services"), (Stage::DeployWorkloads, "workloads")] {
        let mut world = World::new();
        match forget {
            "services" => world.target.services.clear(),
            _ => world.target.workloads.clear(),
        }
        world.run_until(stage);
        world.unreachable(Side::Source);
        world.source.synced = false;
        world.pass();
        assert_eq!((world.status.stage, world.status.reason.as_str()), (stage, "SourceUnreachable"));
    }
}

#[test]
fn an_ingress_that_helm_deploys_waits_for_helm_on_the_target() {
    let mut world = World::new();
    world.ingress_mut(Side::Source, "web").deployed_by = Some("the Helm release web".into());
    world.run_until(Stage::PublishTarget);
    let said = "Ingress web is not on the target. The source's is deployed by the Helm release web, which must deploy the target's as well.";
    assert_eq!(says(&world), (Stage::PublishTarget, "WaitingForIngressOwner", said));
    let fix = "Let the Helm release web deploy Ingress web to namespace shop of the target, with weight 0 or without weight annotations.";
    assert_eq!(world.status.unblock, fix);
    world.add_ingress(Side::Target, "web", "shop.example");
    world.run_until(Stage::SmokeTest);
    assert_eq!(texts(&world), ["source web 100", "target web 0"]);
}

#[test]
fn a_target_ingress_that_is_there_already_gets_0_before_the_source_is_converted() {
    let mut world = World::new();
    world.add_ingress(Side::Target, "web", "shop.example");
    world.run_until(Stage::SmokeTest);
    assert_eq!(texts(&world), ["target web 0", "source web 100"]);
}

#[test]
fn a_target_ingress_that_a_pipeline_brings_with_a_weight_gets_0_at_once() {
    let mut world = World::new();
    world.target.workloads.clear();
    world.run_until(Stage::DeployWorkloads);
    world.add_ingress(Side::Target, "web", "shop.example");
    let facts = world.ingress_mut(Side::Target, "web");
    (facts.identifier, facts.weight_text) = (Some("web-shop-green".into()), Some("100".into()));
    world.settle();
    assert_eq!(world.target.weight("web"), Some(0));
    assert_eq!(world.status.reason, "WaitingForWorkloads");
}

#[test]
fn publish_target_waits_for_a_load_balancer_address_of_its_own() {
    let mut world = World::new();
    world.load_balancer = false;
    world.run_until(Stage::PublishTarget);
    let said = "The target's Ingresses get their DNS set identifier and weight 0.";
    assert_eq!(says(&world), (Stage::PublishTarget, "CreatingIngress", said));
    world.pass();
    let said = "Ingress web on the target has no load balancer address yet.";
    assert_eq!(says(&world), (Stage::PublishTarget, "WaitingForLoadBalancer", said));
    world.ingress_mut(Side::Target, "web").addresses = ["192.0.2.10".to_owned()].into();
    world.pass();
    let said = "Ingress web on the target has the source's load balancer address 192.0.2.10.";
    assert_eq!(says(&world), (Stage::PublishTarget, "WaitingForLoadBalancer", said));
    world.ingress_mut(Side::Target, "web").addresses = ["192.0.2.20".to_owned()].into();
    world.pass();
    let said =
        "The target's records are being published at weight 0, which users do not notice; DNS needs time to follow.";
    assert_eq!(says(&world), (Stage::PublishTarget, "WaitingForDNS", said));
}

#[test]
fn smoke_test_waits_for_a_verdict_and_says_on_what() {
    let mut world = World::new();
    world.run_until(Stage::SmokeTest);
    world.pass();
    let said = "Both sides are being probed; several good answers in a row are needed. Last seen of https shop.example /: it has not been asked yet.";
    assert_eq!(says(&world), (Stage::SmokeTest, "Testing", said));
    assert!(texts(&world).iter().all(|text| !text.starts_with("target web ")), "users were sent before the test");
}

#[test]
fn shift_traffic_says_what_is_written_what_dns_follows_and_what_is_held() {
    let mut world = World::new();
    world.run_until(Stage::ShiftTraffic);
    assert_eq!(says(&world), (Stage::ShiftTraffic, "WritingWeights", "The target gets weight 1."));
    world.pass();
    let said = "Weight 1 is written on the target; DNS needs time to follow.";
    assert_eq!(says(&world), (Stage::ShiftTraffic, "WaitingForDNS", said));
    let mut world = at(1, StepPhase::Holding);
    let said = "The target must stay healthy at 10 percent for 30m.";
    assert_eq!(says(&world), (Stage::ShiftTraffic, "HoldingStep", said));
    assert_eq!((world.status.step_text.as_str(), world.status.weight), ("2/4", 10));
    world.verdicts.insert(Side::Target, Verdict::Inconclusive);
    world.pass();
    let said = "There is no verdict on the target, so the clock stands still (https shop.example /: the address is not known).";
    assert_eq!(says(&world), (Stage::ShiftTraffic, "HealthUnknown", said));
    world.unreachable(Side::Target);
    world.pass();
    let said = "The target cluster of ClusterPair old-to-new does not answer: connection refused.";
    assert_eq!(says(&world), (Stage::ShiftTraffic, "TargetUnreachable", said), "that is why there is no verdict");
}

#[test]
fn a_step_is_not_written_while_a_cluster_is_away_or_there_is_no_verdict() {
    let mut world = at(0, StepPhase::Holding);
    world.advance(jiff::SignedDuration::from_mins(20));
    let mut away = world.clone();
    away.unreachable(Side::Target);
    away.pass();
    assert_eq!((away.status.stage, away.status.reason.as_str()), (Stage::ShiftTraffic, "TargetUnreachable"));
    assert_eq!(away.status.step_text, "2/4");
    let writes = away.writes.len();
    away.verdicts.insert(Side::Target, Verdict::Inconclusive);
    away.reachable(Side::Target);
    away.pass();
    assert_eq!(away.status.reason, "HealthUnknown");
    assert_eq!(away.writes.len(), writes);
}

#[test]
fn bake_says_that_silence_is_not_measured_and_completed_says_it_again() {
    let mut world = World::new();
    world.run_until(Stage::Bake);
    let said =
        "The target has all traffic and must stay healthy for 24h. Whether the source is silent is not measured.";
    assert_eq!(says(&world), (Stage::Bake, "Baking", said));
    world.run_until(Stage::Completed);
    let said = "The target serves everything. Nobody has measured whether the source still gets requests.";
    assert_eq!(says(&world), (Stage::Completed, "Completed", said));
    assert_eq!(world.status.unblock, "");
}
