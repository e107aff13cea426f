//! What the pair does not allow, and who came first: it waits in words, and what goes back is never stopped by it.

use namespace_migration::api::status::StepPhase;
use namespace_migration::api::{NamespaceMigrationStatus, Stage};
use namespace_migration::machine::allowed::{Asked, NotAllowed, namespace};
use namespace_migration::machine::lock::{Holder, Thing};
use namespace_migration::machine::{Side, decide, health::Verdict, needs};
use serde_json::json;

use crate::planted::at;
use crate::recording::broken_promise;
use crate::stages::says;
use crate::world::World;

fn refusal() -> NotAllowed {
    let pair = serde_json::from_value(json!({
        "apiVersion": "namespacemigration.io/v1alpha1", "kind": "ClusterPair", "metadata": {"name": "old-to-new"},
        "spec": {
            "source": {"connection": {}, "identity": "1", "colour": "blue", "externalDNS": {"annotationPrefix": "dns/"}},
            "target": {"connection": {}, "identity": "2", "colour": "green", "externalDNS": {"annotationPrefix": "dns/"}},
            "allowedNamespaces": [],
        },
    }));
    let asked = Asked { from: "shop", object: "shop/shop", namespace: "shop", pair: "old-to-new" };
    namespace(&asked, &pair.unwrap()).unwrap()
}

#[test]
fn before_the_beginning_nothing_of_the_namespace_is_looked_at() {
    let mut world = World::new();
    world.order.not_allowed = Some(refusal());
    assert_eq!(needs(&world.order, &world.status), namespace_migration::machine::Needs::default());
    world.settle();
    let said = "ClusterPair old-to-new does not let the namespace shop move: its allowedNamespaces are empty.";
    assert_eq!((world.status.stage, world.status.message.as_str()), (Stage::Pending, said));
    assert!(
        world.status.unblock.contains("spec.allowedNamespaces of ClusterPair old-to-new"),
        "{}",
        world.status.unblock
    );
    assert!(world.writes.is_empty() && world.status.preflight.is_empty());
    world.order.not_allowed = None;
    world.run_until(Stage::Completed);
}

#[test]
fn a_permission_that_is_taken_away_freezes_the_weights_and_its_return_goes_on() {
    for (step, phase) in [(0, StepPhase::TargetSettling), (1, StepPhase::Holding), (2, StepPhase::SourceSettling)] {
        let mut world = at(step, phase);
        let writes = world.writes.len();
        world.order.not_allowed = Some(refusal());
        for _ in 0..50 {
            world.step();
        }
        assert_eq!((world.status.reason.as_str(), world.writes.len()), ("NotAllowed", writes), "{:?}", says(&world));
        assert!(world.status.message.ends_with(" The weights stay as they are."), "{}", world.status.message);
        world.order.not_allowed = None;
        world.run_until(Stage::Completed);
        assert_eq!(broken_promise(&world.writes), None);
    }
}

#[test]
fn a_permission_that_is_taken_away_stops_no_rollback() {
    let mut world = at(2, StepPhase::Holding);
    world.order.not_allowed = Some(refusal());
    world.step();
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.run_until(Stage::RolledBack);
    assert_eq!((world.source.weight("web"), world.target.weight("web")), (Some(100), Some(0)));
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn a_host_that_came_in_the_middle_and_is_not_allowed_freezes_the_weights() {
    let mut world = at(1, StepPhase::Holding);
    world.order.allowed_hosts = vec!["shop.example".into()];
    world.ingress_mut(Side::Source, "web").hosts.insert("foreign.example".into());
    let writes = world.writes.len();
    world.step();
    assert_eq!((world.status.reason.as_str(), world.writes.len()), ("PreflightBlocked", writes));
    let said = "HostNotAllowed: Ingress web has the host foreign.example";
    assert!(world.status.message.starts_with(said), "{}", world.status.message);
}

#[test]
fn who_came_first_is_named_and_waited_for_until_the_end() {
    for (thing, words) in [
        (Thing::Namespace { cluster: "c".into(), namespace: "shop".into() }, "The namespace shop"),
        (Thing::Host("shop.example".into()), "The host shop.example"),
    ] {
        let world = World::new();
        let mut observed = world.observe(&needs(&world.order, &world.status), 0);
        observed.in_front = Some(Holder { migration: "platform/first".into(), thing });
        let waits = decide(&world.order, &NamespaceMigrationStatus::default(), &observed, world.now);
        assert_eq!((waits.status.stage, waits.status.reason.as_str()), (Stage::Pending, "OwnedByAnother"));
        let said = format!("{words} is claimed by NamespaceMigration platform/first, which came first.");
        assert_eq!((waits.status.message, waits.effects.len()), (said, 0));
        assert!(waits.status.unblock.starts_with("Wait until the other one has ended"), "{}", waits.status.unblock);
    }
}
