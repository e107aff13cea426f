//! Two migrations of one namespace: whoever comes second waits, and whatever it does afterwards, the first keeps its users.

use namespace_migration::api::status::RequestKind;
use namespace_migration::api::{NamespaceMigrationStatus, ROLLBACK_ANNOTATION, Stage};
use namespace_migration::machine::Side;
use namespace_migration::machine::neighbours::{Neighbour, Neighbours};
use namespace_migration::machine::stamp::{Direction, Stamp};
use serde_json::json;

use crate::controls::request;
use crate::stages::says;
use crate::world::World;

/// The same clusters, seen by another migration that knows nothing yet.
fn second(first: &World) -> World {
    let mut second = first.with_status(NamespaceMigrationStatus::default());
    second.order.owner = "home/shop/second".into();
    second
}

fn first_stamps(world: &mut World, direction: Direction) {
    let stamp = Stamp { owner: "home/shop/first".into(), attempt: 1, epoch: 1, direction };
    world.ingress_mut(Side::Source, "web").stamp = Some(stamp);
}

#[test]
fn a_lock_that_is_taken_after_pending_is_seen_in_preflight_and_before_the_first_write() {
    let mut world = World::with(json!({"preflight": {"acknowledge": []}}));
    world.settle();
    assert_eq!(world.status.stage, Stage::Preflight);
    first_stamps(&mut world, Direction::Forward);
    world.pass();
    let said = "Ingress web on the source is moved by another migration, home/shop/first.";
    assert_eq!(says(&world), (Stage::Preflight, "OwnedByAnother", said));

    let mut late = World::new();
    late.status.stage = Stage::WeightSource;
    late.status.plan = World::new().look().status.plan;
    first_stamps(&mut late, Direction::Forward);
    late.pass();
    assert_eq!(says(&late), (Stage::WeightSource, "OwnedByAnother", said));
    late.advance(jiff::SignedDuration::from_hours(9));
    late.pass();
    assert_eq!((late.status.stage, late.writes.len()), (Stage::WeightSource, 0), "it waits for the other's end");
}

#[test]
fn a_rollback_leaves_what_another_migration_has_completed_and_ends_without_a_write() {
    let mut first = World::new();
    first.run_until(Stage::Completed);
    let writes = first.writes.len();
    let mut second = second(&first);
    second.status =
        NamespaceMigrationStatus { stage: Stage::RollingBack, epoch: 7, attempt: 1, ..first.status.clone() };
    second.status.written_since = None;
    second.run_until(Stage::Failed);
    assert_eq!((second.source.weight("web"), second.target.weight("web")), (Some(0), Some(100)));
    assert_eq!(second.writes.len(), writes);
    let said =
        format!("Ingress web on the source is moved by another migration, {}, and was left alone.", first.order.owner);
    let ended = format!("The rollback is over, but not everything was given back. {said}");
    assert_eq!(second.status.message, ended);
    let mut asked = second.clone();
    asked.annotate(ROLLBACK_ANNOTATION, Some("late"));
    asked.settle();
    let refused = format!("Refused: it has gone back already, as far as it can, and ended as Failed. {said}");
    assert_eq!(request(&asked, RequestKind::Rollback).message, refused);
    assert!(second.status.message.contains(&said), "{}", second.status.message);
}

fn elsewhere(owner: &str, host: &str) -> Neighbour {
    let (namespace, name, hosts) = ("shop-two".into(), "front".into(), [host.to_owned()].into());
    Neighbour { namespace, name, hosts, owner: owner.to_owned() }
}

#[test]
fn a_host_that_another_operator_moves_in_another_namespace_is_waited_for_before_the_first_write() {
    let mut world = World::new();
    world.neighbours =
        vec![elsewhere("home/shop-two/first", "other.example"), elsewhere("home/shop-two/first", "shop.example")];
    world.settle();
    let said = "The host shop.example is moved by another migration, home/shop-two/first: Ingress front in namespace shop-two on the source.";
    assert_eq!(says(&world), (Stage::Pending, "OwnedByAnother", said));
    assert!(world.status.unblock.contains("annotate ingress front -n shop-two"), "{}", world.status.unblock);
    world.advance(jiff::SignedDuration::from_hours(9));
    world.pass();
    assert_eq!((says(&world).1, world.writes.len()), ("OwnedByAnother", 0), "it waits for the other's end");
    world.neighbours.pop();
    world.run_until(Stage::Completed);
}

/// Both have looked before either had stamped.
#[test]
fn of_two_that_begin_at_one_moment_at_one_host_the_later_name_goes_back_and_the_other_waits() {
    let begun = |other: &str| {
        let mut world = World::with_dns();
        world.run_until(Stage::WeightSource);
        world.pass();
        assert!(!world.writes.is_empty(), "it has stamped");
        world.neighbours = vec![elsewhere(other, "shop.example")];
        world.pass();
        world.pass();
        world
    };
    let mut yields = begun("11111111-0000/a/a");
    let cause = yields.status.cause.clone().unwrap();
    let said = "The host shop.example is moved by another migration, 11111111-0000/a/a: Ingress front in namespace shop-two on the \
                source. Both have begun at one moment, and this one gives way.";
    assert_eq!((cause.reason.as_str(), cause.message.as_str()), ("OwnedByAnother", said));
    yields.run_until(Stage::RolledBack);
    let mut waits = begun("99999999-0000/a/a");
    assert_eq!((waits.status.stage, waits.status.reason.as_str()), (Stage::WeightSource, "OwnedByAnother"));
    let writes = waits.writes.len();
    waits.advance(jiff::SignedDuration::from_mins(2));
    waits.settle();
    assert_eq!(waits.writes.len(), writes);
    waits.neighbours.clear();
    waits.run_until(Stage::Completed);
}

#[test]
fn other_namespaces_that_cannot_be_listed_are_waited_for_and_those_that_may_not_be_are_told() {
    let mut world = World::new();
    world.unlisted = Some(Neighbours::Unknown { at: world.now, why: "no answer within 10s".into() });
    world.settle();
    let said = "The Ingresses of the source are being listed, for other migrations at the hosts that move, which failed: no answer within 10s.";
    assert_eq!(says(&world), (Stage::Pending, "ConnectingToClusters", said));
    world.unlisted = Some(Neighbours::Refused { at: world.now });
    world.pass();
    let finding = world.status.preflight.iter().find(|finding| finding.check == "OtherNamespacesUnseen").unwrap();
    assert_eq!(
        finding.message,
        "The operator may not list the Ingresses of all namespaces on both sides: a migration of another operator that moves one of these \
         hosts in another namespace would not be seen."
    );
    assert_eq!(
        finding.fix,
        "Bind the ClusterRole namespace-migration-source of deploy/source there for all namespaces, or let one operator move all of them."
    );
    let said = format!("No blocker was found. {}", finding.message);
    world.run_until(Stage::Completed);
    assert_eq!(world.status.pipeline.iter().find(|entry| entry.name == Stage::Preflight).unwrap().message, said);
}

/// A process that was away while the attempt after its own was made and rolled back.
#[test]
fn the_end_of_a_later_attempt_is_never_overruled() {
    for direction in [Direction::RollingBack, Direction::RolledBack] {
        let mut late = World::new();
        late.run_until(Stage::SmokeTest);
        for side in [Side::Source, Side::Target] {
            let stamp = late.ingress_mut(side, "web").stamp.as_mut().unwrap();
            (stamp.attempt, stamp.epoch, stamp.direction) = (2, stamp.epoch + 4, direction);
        }
        let writes = late.writes.len();
        late.run_until(Stage::RolledBack);
        let forward = late.writes[writes..].iter().find(|write| !write.text().ends_with("RolledBack"));
        assert!(forward.is_none(), "{direction:?}: {}", forward.unwrap().text());
        assert_eq!(late.status.attempt, 2);
        assert_eq!((late.source.weight("web"), late.target.weight("web")), (Some(100), Some(0)));
    }
}

#[test]
fn a_target_that_another_migration_has_taken_meanwhile_is_waited_for() {
    let mut world = World::new();
    world.add_ingress(Side::Target, "web", "shop.example");
    world.run_until(Stage::WeightSource);
    world.pass();
    let stamp = Stamp { owner: "home/shop/first".into(), attempt: 1, epoch: 9, direction: Direction::Forward };
    world.ingress_mut(Side::Target, "web").stamp = Some(stamp);
    world.pass();
    let said = "Ingress web on the target is moved by another migration, home/shop/first.";
    assert_eq!(says(&world), (Stage::WeightSource, "OwnedByAnother", said));
    let writes = world.writes.len();
    world.advance(jiff::SignedDuration::from_hours(9));
    world.settle();
    assert_eq!((world.writes.len(), says(&world).1), (writes, "OwnedByAnother"), "it waits for the other's end");
}
