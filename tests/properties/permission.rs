//! What the pair does not allow, and who came first: it waits in words, and what goes back is never stopped by it.

use jiff::SignedDuration;
use namespace_migration::api::status::{RequestKind, RequestOutcome, StepPhase};
use namespace_migration::api::{NamespaceMigrationStatus, RETRY_ANNOTATION, ROLLBACK_ANNOTATION, Stage};
use namespace_migration::machine::allowed::{Asked, NotAllowed, namespace};
use namespace_migration::machine::lock::{Holder, Thing};
use namespace_migration::machine::traffic::Weight;
use namespace_migration::machine::{Failure, Reason, Side, decide, failure, health::Verdict, needs};
use serde_json::json;

use crate::controls::request;
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
fn a_permission_that_is_taken_away_does_not_stop_the_way_down() {
    let mut bake = World::new();
    bake.run_until(Stage::Bake);
    for from in [at(2, StepPhase::Holding), at(1, StepPhase::TargetSettling), bake] {
        for namespace in [true, false] {
            let mut world = from.clone();
            if namespace {
                world.order.not_allowed = Some(refusal());
            } else {
                world.order.allowed_hosts = vec!["another.example".into()];
            }
            world.order.up_to = Weight::percent(1);
            for _ in 0..50 {
                world.step();
            }
            let reason = if namespace { "NotAllowed" } else { "PreflightBlocked" };
            assert_eq!(world.status.reason, reason, "{:?}", says(&world));
            let weights = (world.source.weight("web"), world.target.weight("web"));
            assert_eq!(weights, (Some(99), Some(1)), "{:?}", says(&world));
            world.order.up_to = Weight::FULL;
            let writes = world.writes.len();
            for _ in 0..20 {
                world.step();
            }
            assert_eq!(world.writes.len(), writes, "only raising stops");
            assert_eq!(broken_promise(&world.writes), None);
        }
    }
}

#[test]
fn what_is_asked_for_without_permission_is_answered_in_the_same_pass() {
    for kind in [RequestKind::Rollback, RequestKind::Retry] {
        let mut world = World::new();
        let annotation = if kind == RequestKind::Rollback { ROLLBACK_ANNOTATION } else { RETRY_ANNOTATION };
        world.annotate(annotation, Some("now"));
        world.order.not_allowed = Some(refusal());
        world.pass();
        let asked = request(&world, kind);
        let (outcome, message) = (asked.outcome, asked.message.as_str());
        if kind == RequestKind::Rollback {
            assert_eq!((outcome, message), (RequestOutcome::Done, "Everything is on the source."));
            assert_eq!((world.status.stage, world.writes.len()), (Stage::RolledBack, 0));
        } else {
            let said = "Refused: ClusterPair old-to-new does not let the namespace shop move: its allowedNamespaces are empty. Ask \
                        the platform admins to add shop to spec.allowedNamespaces of ClusterPair old-to-new, or use the pair that is \
                        meant for it. Then it goes on by itself.";
            assert_eq!((outcome, message), (RequestOutcome::Refused, said));
        }
    }
}

#[test]
fn what_a_lost_status_does_not_tell_goes_back_without_permission_too() {
    let shifting = at(1, StepPhase::Holding);
    for deleted in [false, true] {
        let mut world = shifting.with_status(NamespaceMigrationStatus::default());
        world.annotate(ROLLBACK_ANNOTATION, (!deleted).then_some("now"));
        if deleted {
            world.delete();
        }
        world.order.not_allowed = Some(refusal());
        world.pass();
        assert_eq!(
            (world.source.weight("web"), world.target.weight("web")),
            (Some(100), Some(0)),
            "{:?}",
            says(&world)
        );
        world.run_until(Stage::RolledBack);
    }
}

#[test]
fn a_new_reason_is_told_after_a_write_that_was_refused() {
    let mut world = at(1, StepPhase::Holding);
    world.advance(SignedDuration::from_mins(40));
    let (before, mut raise) = (world.status.clone(), world.look());
    assert!(!raise.effects.is_empty());
    let what = "Cannot write the weight of Ingress web on the target: the API server answered 403 Forbidden".to_owned();
    let refused = Failure { what, words: "no".into(), refused: true };
    failure::tell(&mut raise, &before, &[refused], world.now);
    world.save(&raise.status);
    assert_eq!(world.status.reason, "WriteRefused");
    world.order.not_allowed = Some(refusal());
    let told: Vec<_> = world.look().events.iter().map(|event| event.reason).collect();
    assert_eq!(told, [Reason::NotAllowed]);
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
