//! Two Ingresses at one host: the shares of a host are those of the sums of its records.

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::status::StepPhase;
use namespace_migration::machine::Side;
use namespace_migration::machine::records::Routing;
use namespace_migration::machine::traffic::Weight;

use crate::planted::stands;
use crate::recording::{broken_promise, texts};
use crate::world::World;

const HOST: &str = "shop.example";

fn two_at_one_host() -> World {
    let mut world = World::new();
    world.add_ingress(Side::Source, "api", HOST);
    world.in_a_zone()
}

/// The zone shows another weight for the target's record of one Ingress, and its external-dns does not put that back.
fn edit(world: &mut World, identifier: &str, weight: i32) {
    let dns = world.dns.as_mut().unwrap();
    dns.stopped.insert(Side::Target);
    let mut records = dns.records.get_mut(HOST).unwrap().iter_mut();
    let record = records.find(|record| record.set.identifier.as_deref() == Some(identifier)).unwrap();
    record.set.routing = Routing::Weighted(Weight::percent(weight));
}

#[test]
fn they_move_together_and_the_host_never_gets_more_than_the_step() {
    let mut world = two_at_one_host();
    world.run_while(|status| status.weight < 10 || status.reason != "HoldingStep");
    assert_eq!((world.status.served, world.dns.as_ref().unwrap().share(HOST)), (Some(10), 10), "20 of 200");
    world.run_until(Stage::Completed);
    assert_eq!(broken_promise(&world.writes), None);
    assert_eq!(world.served.broken, Vec::<String>::new());
}

#[test]
fn a_share_is_that_of_the_sums_of_all_records() {
    let mut world = two_at_one_host();
    world.run_while(|status| status.weight < 10 || status.reason != "HoldingStep");
    edit(&mut world, "api-shop-green", 0);
    world.pass();
    assert_eq!(world.status.served, Some(6), "10 of 190, rounded up");
    edit(&mut world, "api-shop-green", 100);
    world.pass();
    assert_eq!(world.status.served, Some(38), "110 of 290, rounded up");
}

#[test]
fn the_source_is_lowered_when_the_records_of_both_are_served() {
    let mut world = stands(two_at_one_host(), 1, StepPhase::TargetSettling);
    world.advance(SignedDuration::from_secs(5));
    edit(&mut world, "api-shop-green", 1);
    for _ in 0..40 {
        world.pass();
        world.advance(SignedDuration::from_secs(30));
    }
    assert!(!texts(&world).contains(&"source web 90".to_owned()), "{:?}", texts(&world));
    assert!(
        world.status.message.contains("record api-shop-green of shop.example has weight 1"),
        "{}",
        world.status.message
    );
    world.dns.as_mut().unwrap().stopped.clear();
    world.run_until(Stage::Completed);
}
