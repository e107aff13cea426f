//! Why DNS does not follow, as far as it can be told: each cause in its own words, and never as a failure of the application.

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::machine::Side;
use namespace_migration::machine::records::{ExternalDnsView, ListedRecord, RecordKind, RecordSet, Routing};
use namespace_migration::machine::traffic::Weight;

use crate::recording::texts;
use crate::world::World;

const HOST: &str = "shop.example";

/// The source's external-dns stands still, and this is known of it. What a person reads after a day.
fn told(facts: impl FnOnce(&World) -> ExternalDnsView) -> (String, String) {
    let mut world = World::with_dns();
    world.dns.as_mut().unwrap().stopped.insert(Side::Source);
    world.run_until(Stage::WeightSource);
    let known = facts(&world);
    world.dns.as_mut().unwrap().known.insert(Side::Source, known);
    late(&mut world);
    (world.status.message.clone(), world.status.unblock.clone())
}

/// A day passes. Nothing is moved, nothing is taken back, and it waits.
fn late(world: &mut World) {
    let stage = world.status.stage;
    for _ in 0..48 {
        world.settle();
        world.advance(SignedDuration::from_mins(30));
    }
    world.settle();
    assert_eq!((world.status.stage, world.status.cause.clone()), (stage, None), "{}", world.status.message);
    assert!(world.status.conditions.iter().any(|it| it.type_ == "Stalled" && it.status == "True"), "a person is told");
    assert_ne!(world.status.health, "Fail", "the application is not blamed");
}

fn known() -> ExternalDnsView {
    ExternalDnsView::default()
}

#[test]
fn without_any_fact_the_likely_causes_are_ranked_and_said_to_be_inferred() {
    let (message, unblock) = told(|_| known());
    assert!(message.contains("The A record of shop.example is still a simple one."), "{message}");
    assert!(
        message.contains("Likely causes (inferred, the most likely first): the external-dns of the source is down"),
        "{message}"
    );
    assert!(unblock.contains("log of the source's external-dns"), "{unblock}");
}

#[test]
fn each_known_fact_is_told_as_the_cause() {
    let cases: [(&str, &str, ExternalDnsView); 7] = [
        ("no ready Pod", "Bring the external-dns of the source back", ExternalDnsView { ready: Some(0), ..known() }),
        ("--policy=upsert-only", "--policy=sync", ExternalDnsView { policy: Some("upsert-only".into()), ..known() }),
        (
            "reads annotations that begin with other.io/",
            "annotationPrefix",
            ExternalDnsView { annotation_prefix: Some("other.io/".into()), ..known() },
        ),
        (
            "belongs to the external-dns source-owner; the source's is somebody-else",
            "--txt-owner-id",
            ExternalDnsView { owner: Some("somebody-else".into()), ..known() },
        ),
        (
            "no pass without an error since 2020",
            "InvalidChangeBatch",
            ExternalDnsView { last_sync: Some("2020-01-01T00:00:00Z".parse().unwrap()), ..known() },
        ),
        (
            "has passed without an error since",
            "--ingress-class",
            ExternalDnsView { last_sync: Some("2030-01-01T00:00:00Z".parse().unwrap()), ..known() },
        ),
        ("Likely causes (inferred", "log", ExternalDnsView { policy: Some("sync".into()), ready: Some(1), ..known() }),
    ];
    for (found, fix, facts) in cases {
        let (message, unblock) = told(|_| facts);
        assert!(message.contains(found), "{found} is not in: {message}");
        assert!(unblock.contains(fix), "{fix} is not in: {unblock}");
    }
}

#[test]
fn one_owner_id_on_both_sides_is_told() {
    let mut world = World::with_dns();
    world.dns.as_mut().unwrap().stopped.insert(Side::Source);
    for side in [Side::Source, Side::Target] {
        let facts = ExternalDnsView { owner: Some("one".into()), ..known() };
        world.dns.as_mut().unwrap().known.insert(side, facts);
    }
    world.run_until(Stage::WeightSource);
    late(&mut world);
    assert!(world.status.message.contains("Both external-dns have the owner id one"), "{}", world.status.message);
}

#[test]
fn a_record_without_ownership_is_told() {
    let mut world = World::with_dns();
    let dns = world.dns.as_mut().unwrap();
    dns.stopped.insert(Side::Source);
    dns.known.insert(Side::Source, ExternalDnsView { owner: Some("blue".into()), ..known() });
    dns.records.get_mut(HOST).unwrap()[0].set.owner = None;
    world.run_until(Stage::WeightSource);
    late(&mut world);
    assert!(world.status.message.contains("has no ownership record"), "{}", world.status.message);
}

#[test]
fn a_target_record_that_leads_to_the_source_holds_before_the_shift() {
    let record = ListedRecord {
        set: RecordSet {
            kind: RecordKind::A,
            identifier: Some("web-shop-green".into()),
            routing: Routing::Weighted(Weight::ZERO),
            ttl: None,
            leads_to: vec!["192.0.2.10".into()],
            owner: Some("target-owner".into()),
        },
        since: World::new().now,
    };
    let mut world = World::with_dns();
    world.run_until(Stage::PublishTarget);
    world.dns.as_mut().unwrap().stopped.insert(Side::Target);
    world.dns.as_mut().unwrap().records.get_mut(HOST).unwrap().push(record);
    late(&mut world);
    assert_eq!(world.status.reason, "DNSBlocked");
    assert!(world.status.message.contains("leads to 192.0.2.10, as the source's does"), "{}", world.status.message);
    assert!(!texts(&world).contains(&"target web 1".to_owned()));
}

#[test]
fn a_target_that_is_not_published_is_told_with_its_likely_causes() {
    let mut world = World::with_dns();
    world.run_until(Stage::PublishTarget);
    world.dns.as_mut().unwrap().stopped.insert(Side::Target);
    late(&mut world);
    assert!(
        world.status.message.contains("has no A record web-shop-green, which is the target's"),
        "{}",
        world.status.message
    );
    assert!(world.status.message.contains("differs in TTL or kind"), "{}", world.status.message);
}

#[test]
fn before_dns_has_been_read_nothing_is_written() {
    let mut world = World::with_dns();
    world.dns.as_mut().unwrap().unreadable = Some("AccessDenied".into());
    let records = std::mem::take(&mut world.dns.as_mut().unwrap().records);
    world.dns.as_mut().unwrap().stopped.extend([Side::Source, Side::Target]);
    world.run_until(Stage::WeightSource);
    for _ in 0..5 {
        world.settle();
        world.advance(SignedDuration::from_secs(30));
    }
    assert_eq!(texts(&world), Vec::<String>::new());
    assert!(world.status.message.contains("Nothing is written yet"), "{}", world.status.message);
    let dns = world.dns.as_mut().unwrap();
    (dns.unreadable, dns.records) = (None, records);
    dns.stopped.clear();
    world.run_until(Stage::ShiftTraffic);
}
