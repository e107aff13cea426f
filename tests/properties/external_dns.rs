//! How both external-dns run is known before the move: what would hold it half way, or take records away, is refused in words.

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::status::Severity;
use namespace_migration::machine::Side;
use namespace_migration::machine::external_dns::{DeploymentSight, ExternalDnsView, Filters};
use serde_json::json;

use crate::recording::texts;
use crate::world::World;

fn known() -> ExternalDnsView {
    ExternalDnsView::default()
}

/// This is known of a side's external-dns from the beginning.
fn with(side: Side, facts: ExternalDnsView) -> World {
    let mut world = World::with_dns();
    world.dns.as_mut().unwrap().known.insert(side, facts);
    world
}

/// The check blocks in these words, and nothing is written; when nothing is known any more of both, it goes on.
fn blocks(mut world: World, check: &str, found: &str, fix: &str) {
    world.settle();
    let status = &world.status;
    assert_eq!((status.stage, status.reason.as_str()), (Stage::Preflight, "PreflightBlocked"), "{}", status.message);
    assert!(status.message.starts_with(&format!("{check}: ")) && status.message.contains(found), "{}", status.message);
    assert!(status.unblock.contains(fix), "{}", status.unblock);
    assert_eq!(texts(&world), Vec::<String>::new());
    world.dns.as_mut().unwrap().known.clear();
    world.run_until(Stage::WeightSource);
}

#[test]
fn what_a_deployment_says_that_would_hold_the_move_is_refused_before_it() {
    let cases = [
        (
            Side::Source,
            ExternalDnsView { policy: Some("upsert-only".into()), ..known() },
            "ExternalDNSPolicy",
            "The external-dns of the source runs with --policy=upsert-only (by its Deployment): it never makes a simple record weighted",
            "Run the source's external-dns with --policy=sync",
        ),
        (
            Side::Target,
            ExternalDnsView { policy: Some("create-only".into()), ..known() },
            "ExternalDNSPolicy",
            "it never changes a record that is there",
            "Run the target's external-dns with --policy=sync",
        ),
        (
            Side::Source,
            ExternalDnsView { dry_run: true, ..known() },
            "ExternalDNSPolicy",
            "runs with --dry-run",
            "without --dry-run",
        ),
        (
            Side::Target,
            ExternalDnsView { annotation_prefix: Some("other.io/".into()), ..known() },
            "ExternalDNSPrefix",
            "reads annotations that begin with other.io/, by its Deployment; ClusterPair old-to-new says external-dns.kubernetes.io/",
            "Mend spec.target.externalDNS.annotationPrefix of ClusterPair old-to-new",
        ),
        (
            Side::Source,
            ExternalDnsView { provider: Some("google".into()), ..known() },
            "ExternalDNSProvider",
            "publishes to google (--provider)",
            "spec.source.externalDNS.deployment",
        ),
        (
            Side::Source,
            ExternalDnsView { registry: Some("noop".into()), ..known() },
            "ExternalDNSOwner",
            "notes no owners (--registry=noop)",
            "--registry=txt",
        ),
        (
            Side::Source,
            ExternalDnsView { interval: Some(SignedDuration::from_mins(10)), ..known() },
            "ExternalDNSInterval",
            "looks every 10m (--interval), by its Deployment; ClusterPair old-to-new says 1m",
            "Set spec.source.externalDNS.interval of ClusterPair old-to-new to 10m",
        ),
        (
            Side::Target,
            ExternalDnsView {
                filters: Filters { domains: ["example.org".to_owned()].into(), ..Filters::default() },
                ..known()
            },
            "ExternalDNSFilters",
            "The external-dns of the target leaves Ingress web out, by its Deployment: shop.example is not within example.org",
            "spec.ingresses.exclude",
        ),
        (
            Side::Source,
            ExternalDnsView {
                filters: Filters { classes: ["internal".to_owned()].into(), ..Filters::default() },
                ..known()
            },
            "ExternalDNSFilters",
            "it reads Ingresses of the class internal, and that of web is none",
            "acknowledge ExternalDNSFilters",
        ),
    ];
    for (side, facts, check, found, fix) in cases {
        blocks(with(side, facts), check, found, fix);
    }
}

#[test]
fn one_owner_id_on_both_sides_is_refused_whoever_says_it() {
    let both = |by: &str| {
        format!("Both external-dns have the owner id one ({by}): each takes the other's records for its own")
    };
    let owner = || ExternalDnsView { owner: Some("one".into()), ..known() };
    let mut by_deployments = with(Side::Source, owner());
    by_deployments.dns.as_mut().unwrap().known.insert(Side::Target, owner());
    let said = both("the source's by its Deployment, the target's by its Deployment");
    blocks(by_deployments, "ExternalDNSOwner", &said, "--txt-owner-id of its own");

    let mut by_one = with(Side::Source, owner());
    by_one.order.target.owner_id = Some("one".into());
    let said = both("the source's by its Deployment, the target's by the ClusterPair");
    blocks(by_one, "ExternalDNSOwner", &said, "spec.target.externalDNS.ownerID of ClusterPair old-to-new");

    let mut by_the_pair = World::new();
    (by_the_pair.order.source.owner_id, by_the_pair.order.target.owner_id) = (Some("one".into()), Some("one".into()));
    by_the_pair.settle();
    let said = both("the source's by the ClusterPair, the target's by the ClusterPair");
    assert!(
        by_the_pair.status.message.contains(&said),
        "also where nobody looks at DNS: {}",
        by_the_pair.status.message
    );
}

#[test]
fn a_policy_that_the_pair_declares_is_refused_too_and_one_that_prevents_nothing_is_not() {
    let mut declared = World::new();
    declared.order.source.policy = Some("upsert-only".into());
    declared.settle();
    assert!(
        declared.status.message.contains("--policy=upsert-only (by the ClusterPair)"),
        "{}",
        declared.status.message
    );

    let mut weighted = with(Side::Source, ExternalDnsView { policy: Some("upsert-only".into()), ..known() });
    let ingress = weighted.ingress_mut(Side::Source, "web");
    (ingress.identifier, ingress.weight_text) = (Some("web-shop-blue".into()), Some("100".into()));
    weighted.dns.as_mut().unwrap().records.clear();
    weighted.follow();
    weighted.run_until(Stage::WeightSource);

    let mut keeps = with(Side::Target, ExternalDnsView { policy: Some("upsert-only".into()), ..known() });
    keeps.run_until(Stage::ShiftTraffic);
    let told = keeps.status.preflight.iter().find(|finding| finding.check == "ExternalDNSNeverDeletes").unwrap();
    assert_eq!(told.severity, Severity::Info);
    assert!(told.message.contains("After a rollback the target's records stay, with weight 0"), "{}", told.message);
}

/// Both Deployments are known, and one of them leaves out AAAA.
fn without_aaaa(lacks: Side, addresses: [&str; 1]) -> World {
    let mut world = World::with_dns();
    world.ingress_mut(Side::Source, "web").addresses = addresses.map(str::to_owned).into();
    world.dns.as_mut().unwrap().records.clear();
    world.follow();
    for side in [Side::Source, Side::Target] {
        let deployment = DeploymentSight::Seen { name: format!("dns/{side}") };
        let excluded_kinds = if side == lacks { ["AAAA".to_owned()].into() } else { [].into() };
        let filters = Filters { excluded_kinds, ..Filters::default() };
        world.dns.as_mut().unwrap().known.insert(side, ExternalDnsView { deployment, filters, ..known() });
    }
    world
}

#[test]
fn a_kind_of_record_that_one_side_leaves_out_is_refused_before_the_move_where_the_load_balancer_would_have_it() {
    for lacks in [Side::Source, Side::Target] {
        let has = lacks.other();
        let found = format!("The external-dns of the {has} publishes AAAA records and that of the {lacks} does not");
        let named = without_aaaa(lacks, ["lb-1.eu-west-2.elb.amazonaws.com"]);
        blocks(named, "ExternalDNSKinds", &found, "acknowledge ExternalDNSKinds");
        without_aaaa(lacks, ["192.0.2.1"]).run_until(Stage::WeightSource);
    }
}

#[test]
fn where_the_deployment_says_otherwise_than_the_pair_it_counts_and_that_is_told() {
    let mut world =
        with(Side::Source, ExternalDnsView { owner: Some("blue".into()), txt_prefix: Some("x.".into()), ..known() });
    world.order.source.owner_id = Some("old".into());
    world.order.source.txt_prefix = Some("y.".into());
    // The pair alone would say that both have one.
    world.order.target.owner_id = Some("old".into());
    world.run_until(Stage::WeightSource);
    let told = world.status.preflight.iter().find(|finding| finding.check == "ExternalDNS").unwrap();
    assert_eq!(told.severity, Severity::Info);
    let said = "ClusterPair old-to-new says otherwise of the source's external-dns than its Deployment, which counts: ownerID is old, by \
                its Deployment blue; txtPrefix is y., by its Deployment x..";
    assert_eq!(
        (told.message.as_str(), told.fix.as_str()),
        (said, "Mend spec.source.externalDNS of ClusterPair old-to-new.")
    );
}

#[test]
fn a_deployment_that_is_gone_or_may_not_be_read_is_told_and_stops_nobody() {
    let cases = [
        (
            DeploymentSight::Gone { name: "dns/blue".into() },
            "The Deployment dns/blue that ClusterPair old-to-new names as the source's",
        ),
        (
            DeploymentSight::Refused { name: "dns/blue".into(), why: "forbidden".into() },
            "The Deployment dns/blue of the source's external-dns may not be read",
        ),
    ];
    for (deployment, said) in cases {
        let mut world = with(Side::Source, ExternalDnsView { deployment, ..known() });
        world.run_until(Stage::WeightSource);
        assert!(
            world.status.preflight.iter().any(|finding| finding.message.contains(said)),
            "{:?}",
            world.status.preflight
        );
        world.run_until(Stage::Completed);
    }
}

#[test]
fn a_deployment_that_is_still_being_read_is_waited_for_before_the_move_and_never_after() {
    let unread = || ExternalDnsView { deployment: DeploymentSight::Unread, ..known() };
    let mut world = with(Side::Target, unread());
    world.settle();
    assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::Pending, "ConnectingToClusters"));
    assert_eq!(world.status.message, "The Deployment of external-dns on the target is being read.");
    world.dns.as_mut().unwrap().known.clear();
    world.run_until(Stage::WeightSource);
    world.dns.as_mut().unwrap().known.insert(Side::Target, unread());
    world.run_until(Stage::Completed);
}

#[test]
fn what_may_be_accepted_is_accepted_by_name_and_what_takes_records_away_is_not() {
    let acknowledge = |world: &mut World, check: &str| {
        world.edit(&json!({"preflight": {"acknowledge": [{"check": check, "reason": "a test"}]}}));
    };
    let slow = ExternalDnsView { interval: Some(SignedDuration::from_mins(10)), ..known() };
    let mut accepted = with(Side::Source, slow);
    acknowledge(&mut accepted, "ExternalDNSInterval");
    accepted.run_until(Stage::WeightSource);
    let mut refused = with(Side::Source, ExternalDnsView { registry: Some("noop".into()), ..known() });
    acknowledge(&mut refused, "ExternalDNSOwner");
    refused.settle();
    assert_eq!(refused.status.reason, "PreflightBlocked");
}
