//! What the operator may not do is told before the move, as far as this migration needs it, and what is given is noticed.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::machine::Side;
use namespace_migration::machine::observed::SecretFacts;
use namespace_migration::machine::right::{Right, Rights};
use serde_json::{Value, json};

use crate::recording::texts;
use crate::world::World;

const ACCOUNT: &str = "system:serviceaccount:ops:mover";

fn refuse(world: &mut World, side: Side, refused: &[(&str, &str)]) {
    let is_refused = |right: &Right| refused.contains(&(right.verb, right.resource));
    let refused: BTreeSet<_> = Right::all(side).into_iter().filter(is_refused).collect();
    world.side_mut(side).rights = Rights::Known { refused, account: ACCOUNT.into() };
}

fn refusing(spec: Value, side: Side, refused: &[(&str, &str)]) -> World {
    let mut world = World::with(spec);
    refuse(&mut world, side, refused);
    world
}

#[test]
fn every_gap_is_listed_with_the_role_that_closes_it_and_nothing_is_written() {
    let spec = json!({"secrets": {"include": ["a"]}});
    let mut world = refusing(spec, Side::Target, &[("patch", "ingresses"), ("get", "secrets"), ("create", "secrets")]);
    refuse(&mut world, Side::Source, &[("watch", "deployments")]);
    let decision = world.pass();
    assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::Preflight, "PreflightBlocked"));
    let message = "Permissions: The source refuses: watch deployments.apps in namespace shop. \
                   The target refuses: create, get secrets; patch ingresses.networking.k8s.io in namespace shop.";
    assert_eq!(world.status.message, message);
    let fix = "Bind the ClusterRole namespace-migration-source of deploy/source to system:serviceaccount:ops:mover on the source. \
               Bind the ClusterRole namespace-migration-target of deploy/target to system:serviceaccount:ops:mover on the target. \
               The clusters are asked again by themselves.";
    assert_eq!(world.status.unblock, fix);
    assert_eq!(decision.wake_at, Some(world.now + SignedDuration::from_secs(10)));
    world.settle();
    assert_eq!(texts(&world), Vec::<String>::new());
    refuse(&mut world, Side::Source, &[]);
    refuse(&mut world, Side::Target, &[]);
    world.source.secrets.insert("a".into(), SecretFacts::default());
    world.run_until(Stage::Completed);
}

#[test]
fn gaps_at_home_are_listed_with_where_they_are_and_what_mends_each() {
    let gaps = [("patch", "clusterpairs/status"), ("create", "events"), ("get", "secrets"), ("update", "leases")];
    let is_gap = |right: &Right| gaps.contains(&(right.verb, right.resource));
    let refused: BTreeSet<_> = Right::at_home(true).into_iter().filter(is_gap).collect();
    let mut world = World::new();
    world.home_rights = Rights::Known { refused, account: String::new() };
    let decision = world.pass();
    let message = "Permissions: The home cluster refuses: patch clusterpairs/status.namespacemigration.io; create events.events.k8s.io \
                   in namespace shop; get secrets; update leases.coordination.k8s.io in namespace namespace-migration.";
    assert_eq!(world.status.message, message);
    let fix = "Bind the ClusterRole namespace-migration-home and the Role namespace-migration-home of deploy/base to the operator's \
               identity on the home cluster. The clusters are asked again by themselves.";
    assert_eq!(world.status.unblock, fix);
    assert_eq!(decision.wake_at, Some(world.now + SignedDuration::from_secs(10)));
    world.home_rights = Rights::Known { refused: BTreeSet::new(), account: ACCOUNT.into() };
    world.run_until(Stage::Completed);
}

#[test]
fn what_this_migration_does_not_need_may_be_refused() {
    let unneeded = [("get", "secrets"), ("create", "secrets"), ("delete", "secrets"), ("delete", "ingresses")];
    let mut world = refusing(json!({}), Side::Target, &unneeded);
    world.run_until(Stage::Completed);
    let mut world = refusing(json!({}), Side::Target, &[("create", "ingresses")]);
    world.add_ingress(Side::Target, "web", "shop.example");
    world.run_until(Stage::Completed);
}

#[test]
fn what_it_needs_by_its_spec_is_asked_for() {
    for (spec, verb, resource) in [
        (json!({"rollback": {"objects": "Remove"}}), "delete", "ingresses"),
        (json!({"rollback": {"objects": "Remove"}, "secrets": {"include": ["a"]}}), "delete", "secrets"),
        (json!({"secrets": {"include": ["a"]}}), "create", "secrets"),
        (json!({}), "create", "ingresses"),
    ] {
        let mut world = refusing(spec, Side::Target, &[(verb, resource)]);
        world.settle();
        let said = format!("Permissions: The target refuses: {verb} {resource}");
        assert!(world.status.message.starts_with(&said), "{}", world.status.message);
    }
}

#[test]
fn a_side_that_shows_nothing_is_no_empty_side_but_lacks_a_right() {
    let mut world = refusing(json!({}), Side::Target, &[("list", "ingresses")]);
    world.target.synced = false;
    world.settle();
    let checks: Vec<_> = world.status.preflight.iter().map(|finding| finding.check.as_str()).collect();
    assert_eq!(checks, ["Permissions"]);
    let said = "Permissions: The target refuses: list ingresses.networking.k8s.io in namespace shop.";
    assert_eq!(world.status.message, said);
}

#[test]
fn a_cluster_that_does_not_say_what_may_be_done_is_a_blocker_and_asked_again() {
    let mut world = World::new();
    world.target.rights = Rights::Unknown { why: "the API server answered 403 Forbidden".into() };
    let decision = world.pass();
    let said =
        "Permissions: The target does not say what the operator may do there: the API server answered 403 Forbidden.";
    assert_eq!(world.status.message, said);
    let fix = "Let the operator's identity on the target ask (ClusterRole system:basic-user). The clusters are asked again by themselves.";
    assert_eq!(world.status.unblock, fix);
    assert!(decision.wake_at.is_some());
}

#[test]
fn a_home_that_does_not_say_what_may_be_done_is_a_blocker_and_asked_again() {
    let mut world = World::new();
    world.home_rights = Rights::Unknown { why: "the API server answered 403 Forbidden".into() };
    let decision = world.pass();
    let said = "Permissions: The home cluster does not say what the operator may do there: the API server answered 403 Forbidden.";
    assert_eq!((world.status.stage, world.status.message.as_str()), (Stage::Preflight, said));
    let fix = "Let the operator's identity on the home cluster ask (ClusterRole system:basic-user). The clusters are asked again by \
               themselves.";
    assert_eq!(world.status.unblock, fix);
    assert_eq!(decision.wake_at, Some(world.now + SignedDuration::from_secs(10)));
    world.home_rights = Rights::Known { refused: BTreeSet::new(), account: ACCOUNT.into() };
    world.run_until(Stage::Completed);
}

#[test]
fn nobody_is_asked_once_the_move_has_begun() {
    let mut world = World::new();
    world.run_until(Stage::WeightSource);
    world.target.rights = Rights::Unknown { why: "nobody should ask".into() };
    world.run_until(Stage::Completed);
}

#[test]
fn a_missing_right_cannot_be_acknowledged() {
    let acknowledge = ["AnnotationOnly", "Permissions"].map(|check| json!({"check": check, "reason": "r"}));
    let mut world =
        refusing(json!({"preflight": {"acknowledge": acknowledge}}), Side::Source, &[("patch", "ingresses")]);
    world.settle();
    assert_eq!(world.status.reason, "PreflightBlocked");
}
