//! Why DNS does not follow, as far as it can be told: each cause in its own words, and never as a failure of the application.

use jiff::{SignedDuration, Timestamp};
use namespace_migration::api::Stage;
use namespace_migration::dns::trouble::ReadError;
use namespace_migration::machine::external_dns::{Count, DeploymentSight, ExternalDnsView, Filters, PassErrors};
use namespace_migration::machine::records::{ListedRecord, Owner, RecordKind, RecordSet, Routing};
use namespace_migration::machine::traffic::Weight;
use namespace_migration::machine::{Side, decide, needs};

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
    let cases: [(&str, &str, ExternalDnsView); 8] = [
        ("no ready Pod", "Bring the external-dns of the source back", ExternalDnsView { ready: Some(0), ..known() }),
        (
            "is scaled to 0 (Deployment dns/blue): it does not run",
            "Scale the external-dns of the source up",
            ExternalDnsView {
                wanted: Some(0),
                ready: Some(0),
                deployment: DeploymentSight::Seen { name: "dns/blue".into() },
                ..known()
            },
        ),
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
        ("Likely causes (inferred", "log", ExternalDnsView { policy: Some("sync".into()), ready: Some(1), ..known() }),
        (
            "Likely causes (inferred, the most likely first): its Deployment dns/blue is not there",
            "log",
            ExternalDnsView { deployment: DeploymentSight::Gone { name: "dns/blue".into() }, ..known() },
        ),
        (
            "Its Deployment dns/blue could tell more, but may not be read: forbidden.",
            "Let the operator list and watch the Deployment dns/blue on the source",
            ExternalDnsView {
                deployment: DeploymentSight::Refused { name: "dns/blue".into(), why: "forbidden".into() },
                ..known()
            },
        ),
    ];
    for (found, fix, facts) in cases {
        says(found, fix, facts);
    }
}

fn says(found: &str, fix: &str, facts: ExternalDnsView) {
    let (message, unblock) = told(|_| facts);
    assert!(message.contains(found), "{found} is not in: {message}");
    assert!(unblock.contains(fix), "{fix} is not in: {unblock}");
}

/// What its metrics told in 2020, long before anything is written.
fn metrics() -> ExternalDnsView {
    let long_ago = Some("2020-01-01T00:00:00Z".parse().unwrap());
    ExternalDnsView { last_sync: long_ago, asked_at: long_ago, ..known() }
}

#[test]
fn what_the_metrics_tell_of_the_passes_is_told_apart() {
    let later: Option<Timestamp> = Some("2030-01-01T00:00:00Z".parse().unwrap());
    let silent = ExternalDnsView {
        trouble: Some("its metrics at http://dns:7979/metrics cannot be read: connection refused".into()),
        trouble_since: Some("2026-11-21T08:03:00Z".parse().unwrap()),
        ..metrics()
    };
    let with = |errors: PassErrors| ExternalDnsView { last_attempt: later, errors, ..metrics() };
    let grew = Count { number: Some(9), grew_at: later };
    let cases: [(&str, &str, ExternalDnsView); 8] = [
        (
            "does not answer, its metrics at http://dns:7979/metrics cannot be read: connection refused since 2026-11-21T08:03:00Z: it \
             is down (inferred). Its last pass without an error was at 2020-01-01T00:00:00Z.",
            "Bring the external-dns of the source back",
            silent.clone(),
        ),
        ("has a ready Pod, but its metrics at", "metricsURL", ExternalDnsView { ready: Some(1), ..silent }),
        (
            "no pass without an error since 2020-01-01T00:00:00Z: it is down, or it fails",
            "InvalidChangeBatch",
            metrics(),
        ),
        (
            "and those that it had have failed (3 in a row): it runs, and Route 53 refuses or throttles its changes",
            "InvalidChangeBatch names the record, Throttling the account",
            with(PassErrors { in_a_row: Some(3), ..PassErrors::default() }),
        ),
        (
            "and those that it had have failed: it runs",
            "InvalidChangeBatch",
            with(PassErrors { records: grew, ..PassErrors::default() }),
        ),
        (
            "it cannot read its cluster",
            "its rights on the source",
            with(PassErrors { cluster: grew, ..PassErrors::default() }),
        ),
        ("and has begun none since", "--interval", ExternalDnsView { last_attempt: metrics().last_sync, ..metrics() }),
        (
            "has passed without an error since, and left this Ingress out (inferred)",
            "--ingress-class",
            ExternalDnsView { last_sync: later, ..metrics() },
        ),
    ];
    for (found, fix, facts) in cases {
        says(found, fix, facts);
    }
    let filters = Filters { zones: ["Z9".to_owned()].into(), ..Filters::default() };
    says(
        "left this Ingress out",
        "its filters --zone-id-filter=Z9",
        ExternalDnsView { last_sync: later, filters, ..metrics() },
    );
}

#[test]
fn a_policy_is_blamed_only_for_what_it_prevents() {
    for (policy, side, blamed) in [
        ("upsert-only", Side::Target, false),
        ("upsert-only", Side::Source, false),
        ("create-only", Side::Target, true),
        ("create-only", Side::Source, true),
    ] {
        let mut world = World::with_dns();
        world.run_while(|status| status.stage != Stage::ShiftTraffic || status.weight < 1);
        world.dns.as_mut().unwrap().stopped.insert(side);
        let facts = ExternalDnsView { policy: Some(policy.into()), ..known() };
        world.dns.as_mut().unwrap().known.insert(side, facts);
        late(&mut world);
        let said = world.status.message.contains("--policy=");
        assert_eq!(said, blamed, "{policy} on the {side}: {}", world.status.message);
    }
}

/// The source's record is weighted already: what the rehearsal writes is another weight.
#[test]
fn a_rehearsal_that_does_not_follow_is_not_blamed_on_a_policy_that_changes_weights() {
    let mut world = World::with_dns();
    world.run_while(|status| status.rehearsal.is_none());
    world.dns.as_mut().unwrap().stopped.insert(Side::Source);
    let facts = ExternalDnsView { policy: Some("upsert-only".into()), ..known() };
    world.dns.as_mut().unwrap().known.insert(Side::Source, facts);
    late(&mut world);
    let message = &world.status.message;
    assert!(message.contains("has weight 100; weight 99 is written on the source"), "{message}");
    assert!(message.contains("Likely causes (inferred") && !message.contains("upsert-only"), "{message}");
}

/// The owners of both records are told to be one, by the pair's owner id of the target alone.
#[test]
fn one_owner_id_on_both_sides_that_only_an_ownership_record_shows_holds_before_anything_is_written() {
    let mut world = World::with_dns();
    world.order.target.owner_id = Some("source-owner".into());
    world.run_until(Stage::WeightSource);
    late(&mut world);
    assert_eq!((world.status.reason.as_str(), texts(&world)), ("DNSBlocked", vec![]));
    let found = "Both external-dns have the owner id source-owner (the source's by the ownership record of shop.example): each takes";
    assert!(world.status.message.contains(found), "{}", world.status.message);
}

#[test]
fn that_a_record_has_no_ownership_is_told_only_when_somebody_has_looked_and_the_record_itself_stays() {
    let owned = |owner: Owner| {
        let mut world = World::with_dns();
        let dns = world.dns.as_mut().unwrap();
        dns.stopped.insert(Side::Source);
        dns.known.insert(Side::Source, ExternalDnsView { owner: Some("blue".into()), ..known() });
        dns.records.get_mut(HOST).unwrap()[0].set.owner = owner;
        world.run_until(Stage::WeightSource);
        late(&mut world);
        (world.status.message.clone(), world.status.unblock.clone())
    };
    let (message, unblock) =
        owned(Owner::Absent { sought: vec!["a-shop.example".into(), "cname-shop.example".into()] });
    assert!(message.contains("has no ownership record at a-shop.example or cname-shop.example"), "{message}");
    assert!(unblock.starts_with("If --txt-prefix or --txt-suffix"), "what is least harmful comes first: {unblock}");
    assert!(
        unblock.contains("create the TXT record a-shop.example \"heritage=external-dns,external-dns/owner=blue"),
        "{unblock}"
    );
    assert!(!unblock.contains("elete"), "a live record is not deleted: {unblock}");
    let (message, _) = owned(Owner::Unread);
    assert!(message.contains("Likely causes (inferred") && !message.contains("no ownership record"), "{message}");
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
            owner: Owner::Named("target-owner".into()),
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

fn minute() -> SignedDuration {
    SignedDuration::from_mins(1)
}

/// Both sides have addresses, the source's records a TTL of a minute and the target's another.
fn with_two_ttls() -> World {
    let mut world = World::with_dns();
    let dns = world.dns.as_mut().unwrap();
    dns.ttls = [(Side::Source, minute()), (Side::Target, minute() * 2)].into();
    dns.records.clear();
    world.follow();
    world
}

#[test]
fn a_ttl_that_an_annotation_makes_another_holds_before_anything_is_written_and_goes_on_once_mended() {
    let mut world = with_two_ttls();
    world.add_ingress(Side::Target, "web", HOST);
    world.ingress_mut(Side::Target, "web").ttl_text = Some("2m".into());
    world.dns.as_mut().unwrap().stopped.insert(Side::Target);
    world.run_until(Stage::WeightSource);
    late(&mut world);
    assert_eq!((world.status.reason.as_str(), texts(&world)), ("DNSBlocked", vec![]));
    let found = "The source's A record of shop.example has a TTL of 1m, and the target's would get 2m (by the annotation ttl of its Ingress)";
    assert!(world.status.message.contains(found), "{}", world.status.message);
    assert!(world.status.unblock.contains("external-dns.kubernetes.io/ttl: \"60\""), "{}", world.status.unblock);
    world.ingress_mut(Side::Target, "web").ttl_text = Some("60".into());
    world.dns.as_mut().unwrap().ttls.insert(Side::Target, minute());
    world.dns.as_mut().unwrap().stopped.clear();
    world.run_until(Stage::ShiftTraffic);
}

#[test]
fn a_ttl_that_the_deployment_makes_another_holds_before_the_shift_and_one_that_nobody_says_is_inferred() {
    let deployment = ExternalDnsView { usual_ttl: Some(minute() * 2), ..known() };
    let unknown = "unless --min-ttl says otherwise: Route 53 refuses two TTLs in one weighted set (inferred)";
    for (facts, reason, found) in [
        (deployment, "DNSBlocked", "would get 2m (its Ingress says none, and its external-dns takes that)"),
        (known(), "DNSLate", unknown),
    ] {
        let mut world = with_two_ttls();
        world.dns.as_mut().unwrap().known.insert(Side::Target, facts);
        world.run_until(Stage::PublishTarget);
        late(&mut world);
        assert_eq!(world.status.reason, reason, "{}", world.status.message);
        assert!(world.status.message.contains(found), "{}", world.status.message);
        assert!(!texts(&world).contains(&"target web 1".to_owned()));
    }
}

#[test]
fn a_target_that_lacks_a_kind_of_the_source_or_stands_beside_a_cname_is_told() {
    let of_source = |kind, leads_to: &str| RecordSet {
        kind,
        identifier: Some("web-shop-blue".into()),
        routing: Routing::Weighted(Weight::FULL),
        ttl: None,
        leads_to: vec![leads_to.into()],
        owner: Owner::Named("source-owner".into()),
    };
    let cases = [
        (
            RecordKind::Aaaa,
            false,
            "has a record of kind AAAA at shop.example and the target has others, but not that one",
        ),
        (RecordKind::Cname, true, "is a CNAME, and the target's load balancer has the address 192.0.2.20"),
    ];
    for (kind, target_is_stopped, found) in cases {
        let mut world = World::with_dns();
        world.run_until(Stage::PublishTarget);
        let now = world.now;
        let dns = world.dns.as_mut().unwrap();
        dns.stopped.insert(Side::Source);
        if target_is_stopped {
            dns.stopped.insert(Side::Target);
        }
        dns.records.get_mut(HOST).unwrap().push(ListedRecord { set: of_source(kind, "lb.example"), since: now });
        late(&mut world);
        assert!(world.status.message.contains(found), "{}", world.status.message);
        assert!(!texts(&world).contains(&"target web 1".to_owned()));
    }
}

#[test]
fn a_host_without_a_zone_holds_before_anything_is_written_and_says_what_to_do() {
    let mut world = World::with_dns();
    world.run_until(Stage::WeightSource);
    assert_eq!(texts(&world), Vec::<String>::new());
    let mut observed = world.observe(&needs(&world.order, &world.status), 0);
    observed.dns.hosts.clear();
    let missing = ReadError::NoZone { host: HOST.into(), known: 3 };
    observed.dns.trouble.insert(HOST.into(), missing.to_string());
    let decision = decide(&world.order, &world.status, &observed, world.now);
    assert_eq!((decision.effects.len(), decision.status.reason.as_str()), (0, "DNSUnreadable"));
    let message = &decision.status.message;
    let said = "Nothing is written yet, but DNS cannot be read at shop.example: none of the account's 3 hosted zones has a name that \
                shop.example ends in";
    assert!(message.starts_with(said) && message.contains("spec.ingresses.exclude"), "{message}");
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

/// The last reading is of before the write, or of a time at which DNS may still have followed in time: it shows no cause.
#[test]
fn a_reading_that_is_too_old_accuses_nobody() {
    let mut world = World::with_dns();
    world.dns.as_mut().unwrap().stopped.insert(Side::Source);
    world.run_until(Stage::WeightSource);
    world.dns.as_mut().unwrap().known.insert(Side::Source, ExternalDnsView { ready: Some(0), ..known() });
    world.dns.as_mut().unwrap().read_at = Some(world.now);
    late(&mut world);
    assert_eq!(world.status.reason, "WaitingForDNS", "{}", world.status.message);
    assert!(world.status.message.contains("shop.example was read last at 2"), "{}", world.status.message);
    assert!(!world.status.message.contains("no ready Pod"), "{}", world.status.message);
    world.dns.as_mut().unwrap().read_at = None;
    world.settle();
    assert_eq!(world.status.reason, "DNSLate", "{}", world.status.message);
    assert!(world.status.message.contains("no ready Pod"), "{}", world.status.message);
}
