//! An external-dns that does not run as the move needs it.

use anyhow::{Result, ensure};
use namespace_migration::api::Stage;
use rig::external_dns::{ExternalDns, Options};
use rig::route53::record::Kind;
use rig::setup::{self, ANNOTATION_PREFIX, Tune};
use serde_json::json;

use super::{Held, Trap, goes_on, is_published, is_taken_back, mend_pair, own, own_dns};
use crate::controls::held::dns_takes;
use crate::scene::{Scene, attempt_of};

/// What external-dns reads from 0.22 on unless it is told otherwise.
const NEW_PREFIX: &str = "external-dns.kubernetes.io/";
const UNREAD: &str = "annotations that external-dns does not read";

/// Starts an external-dns as it should have been started.
async fn mend(external_dns: &ExternalDns, change: impl FnOnce(Options) -> Options) -> Result<()> {
    let options = change(external_dns.options().await);
    external_dns.restart(options).await
}

fn and(mut options: Options, argument: &str) -> Options {
    options.arguments.push(argument.to_owned());
    options
}

fn without(mut options: Options, argument: &str) -> Options {
    options.arguments.retain(|known| known != argument);
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_dns_of_the_source_that_reads_other_annotations_is_held_before_anybody_moves() -> Result<()> {
    let laid = "the source's external-dns runs with the prefix of 0.22, the pair says the older one";
    let options = own("prefix-source", |[source, target]| [reading(source, NEW_PREFIX), target]);
    let trap = Trap::new(UNREAD, laid);
    let scene = Scene::open(options).await?;
    let shop = scene.migration("prefix-shop").begin().await?;
    let words = ["ExternalDNSPrefix", "The external-dns of the source reads annotations that begin with", NEW_PREFIX];
    trap.holds(&shop, Held::Untouched, &["PreflightBlocked"], &words).await?;
    reads_again(&own_dns(&scene)?.external_dns().source).await?;
    goes_on(&shop).await
}

/// Without a look at its Deployment only DNS tells that something is wrong, and the causes are ranked.
#[tokio::test(flavor = "multi_thread")]
async fn an_external_dns_of_the_target_that_reads_other_annotations_is_held_before_anybody_moves() -> Result<()> {
    let laid = "the target's external-dns runs with the prefix of 0.22, the pair says the older one";
    let options = own("prefix-target", |[source, target]| [source, reading(target, NEW_PREFIX)]);
    let trap = Trap::new(UNREAD, laid);
    let scene = Scene::open(options).await?;
    mend_pair(&scene, json!({"target": {"externalDNS": {"deployment": null}}})).await?;
    let shop = scene.migration("prefix-blog").begin().await?;
    let words = ["which is the target's", "(inferred)"];
    trap.holds(&shop, Held::BeforeTheShift, &["DNSLate"], &words).await?;
    reads_again(&own_dns(&scene)?.external_dns().target).await?;
    goes_on(&shop).await
}

fn reading(options: Options, prefix: &str) -> Options {
    Options { annotation_prefix: prefix.to_owned(), ..options }
}

async fn reads_again(external_dns: &ExternalDns) -> Result<()> {
    mend(external_dns, |options| reading(options, ANNOTATION_PREFIX)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_dns_that_never_deletes_is_held_before_anybody_moves() -> Result<()> {
    let trap = Trap::new(
        "a policy under which a simple record never becomes a weighted one",
        "the source's external-dns runs with --policy=upsert-only",
    );
    let scene =
        Scene::open(own("upsert", |[source, target]| [Options { policy: "upsert-only".to_owned(), ..source }, target]))
            .await?;
    let shop = scene.migration("upsert-shop").begin().await?;
    let words = ["ExternalDNSPolicy", "--policy=upsert-only", "Run the source's external-dns with --policy=sync"];
    trap.holds(&shop, Held::Untouched, &["PreflightBlocked"], &words).await?;
    mend(&own_dns(&scene)?.external_dns().source, |options| Options { policy: "sync".to_owned(), ..options }).await?;
    mend_pair(&scene, json!({"source": {"externalDNS": {"policy": "sync"}}})).await?;
    goes_on(&shop).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_external_dns_with_one_owner_id_are_held_before_anybody_moves() -> Result<()> {
    let trap = Trap::new(
        "two external-dns that take each other's records for their own",
        "both run with one --txt-owner-id, so that the target's removes what the source's publishes",
    );
    // Long enough that what comes and goes is never taken for served.
    let options = setup::Options {
        dns: ["1s", "8s", "1s"],
        ..own("owner", |options| options.map(|side| Options { owner: "shared".to_owned(), ..side }))
    };
    let scene = Scene::open(options).await?;
    let shop = scene.migration("owner-shop").begin().await?;
    let words = ["Both external-dns have the owner id shared", "--txt-owner-id"];
    trap.holds(&shop, Held::Untouched, &["PreflightBlocked"], &words).await?;
    let own_dns = own_dns(&scene)?;
    mend(&own_dns.external_dns().target, |options| Options { owner: "target".to_owned(), ..options }).await?;
    mend_pair(&scene, json!({"target": {"externalDNS": {"ownerID": "target"}}})).await?;
    dns_takes(&scene, &scene.setup, "300ms").await?;
    goes_on(&shop).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_dns_whose_owner_id_was_changed_is_held_before_anybody_moves() -> Result<()> {
    let trap = Trap::new(
        "records of another owner id, which external-dns leaves alone without an error",
        "the source's external-dns was started anew with another --txt-owner-id since it published the host",
    );
    let scene = Scene::open(own("renamed", |sides| sides)).await?;
    let shop = scene.migration("renamed-shop").deploy().await?;
    let own_dns = own_dns(&scene)?;
    is_published(own_dns.zone(), &shop, Kind::A).await?;
    let source = &own_dns.external_dns().source;
    let first = source.options().await.owner;
    mend(source, |options| Options { owner: "second".to_owned(), ..options }).await?;
    mend_pair(&scene, json!({"source": {"externalDNS": {"ownerID": "second"}}})).await?;
    shop.begin().await?;
    let found = format!("belongs to the external-dns {first}; the source's is second and leaves it alone");
    let words = [&*found, "give the record up (--txt-owner-id)"];
    trap.holds(&shop, Held::BeforeTheShift, &["DNSLate", "DNSBlocked"], &words).await?;
    mend(source, |options| Options { owner: first.clone(), ..options }).await?;
    mend_pair(&scene, json!({"source": {"externalDNS": {"ownerID": first}}})).await?;
    goes_on(&shop).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_dns_whose_filter_leaves_the_ingress_out_is_held_before_anybody_moves() -> Result<()> {
    let filter = "--label-filter=team=other";
    let trap = Trap::new(
        "a filter that leaves an Ingress out without an error",
        "the target's external-dns runs with --label-filter=team=other",
    );
    let scene =
        Scene::open(own("filter", |[source, target]| [source, and(target, "--label-filter=team=other")])).await?;
    let shop = scene.migration("filter-shop").begin().await?;
    let words = ["which is the target's", "external-dns of the target", "left this Ingress out", "--label-filter"];
    trap.holds(&shop, Held::BeforeTheShift, &["DNSLate"], &words).await?;
    mend(&own_dns(&scene)?.external_dns().target, |options| without(options, filter)).await?;
    goes_on(&shop).await
}

#[tokio::test(flavor = "multi_thread")]
async fn records_whose_ttl_differs_are_held_before_anybody_moves() -> Result<()> {
    let trap = Trap::new(
        "records of one set with two TTLs, which Route 53 refuses",
        "the target's external-dns runs with --min-ttl=120s, the source's with --min-ttl=1s",
    );
    let scene = Scene::open(own("ttl", |[source, target]| {
        [source, Options { arguments: vec!["--min-ttl=120s".to_owned()], ..target }]
    }))
    .await?;
    let mark = own_dns(&scene)?.zone().mark();
    let shop = scene.migration("ttl-shop").begin().await?;
    let words = ["has a TTL of 1s, and the target's would get 2m", "Route 53 refuses two TTLs in one weighted set"];
    trap.holds(&shop, Held::BeforeTheShift, &["DNSBlocked"], &words).await?;
    let zone = own_dns(&scene)?.zone();
    let refused = |entry: &rig::route53::journal::Entry| {
        entry.caller == "ttl-target" && entry.refusal().is_some_and(|refusal| refusal.contains("TTL"))
    };
    zone.wait_for("a refusal of the other TTL", mark, crate::scene::LIMIT, refused).await?;
    mend(&own_dns(&scene)?.external_dns().target, |options| Options {
        arguments: vec!["--min-ttl=1s".to_owned()],
        ..options
    })
    .await?;
    goes_on(&shop).await
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_of_records_that_one_side_leaves_out_are_held_before_the_first_write() -> Result<()> {
    let without_ipv6 = "--exclude-record-types=AAAA";
    let cases: [(&str, &str, Tune); 2] = [
        ("kinds-source", "source", |[source, target]| [and(source, "--exclude-record-types=AAAA"), target]),
        ("kinds-target", "target", |[source, target]| [source, and(target, "--exclude-record-types=AAAA")]),
    ];
    for (name, lacks, tune) in cases {
        let trap = Trap::new(
            "a kind of record that only one side publishes: alone in its kind it gets every answer, at any weight",
            if lacks == "source" { "the source leaves out AAAA" } else { "the target leaves out AAAA" },
        );
        let scene = Scene::open(setup::Options { named_balancers: true, ..own(name, tune) }).await?;
        let shop = scene.migration(&format!("{name}-shop")).begin().await?;
        let lacking = format!("publishes AAAA records and that of the {lacks} does not");
        let words = ["ExternalDNSKinds", lacking.as_str(), "acknowledge ExternalDNSKinds"];
        trap.holds(&shop, Held::Untouched, &["PreflightBlocked"], &words).await?;
        let both = own_dns(&scene)?.external_dns();
        mend(if lacks == "source" { &both.source } else { &both.target }, |options| without(options, without_ipv6))
            .await?;
        goes_on(&shop).await?;
        both.kill().await?;
    }
    Ok(())
}

/// Somebody has acknowledged what was said of the kinds.
#[tokio::test(flavor = "multi_thread")]
async fn a_kind_of_record_that_only_the_target_has_is_taken_away_before_the_shift() -> Result<()> {
    let without_ipv6 = "--exclude-record-types=AAAA";
    let trap = Trap::new(
        "a kind of record that only one side has: alone in its kind it gets every answer, also with weight 0",
        "the source's external-dns runs with --exclude-record-types=AAAA, the target's without",
    );
    let options = own("aaaa", |[source, target]| [and(source, "--exclude-record-types=AAAA"), target]);
    let scene = Scene::open(setup::Options { named_balancers: true, ..options }).await?;
    let accepted = json!([{"check": "ExternalDNSKinds", "reason": "the test waits for what comes of it"}]);
    let shop = scene.migration("aaaa-shop").spec("/preflight/acknowledge", accepted).begin().await?;
    let ended = shop.ends(Stage::RolledBack).await?;
    let words = ["records of kind AAAA at", "with weight 0", "--exclude-record-types=AAAA on the target's"];
    is_taken_back(&trap, &shop, &ended, "DNSBlocked", &words).await?;
    let served = own_dns(&scene)?.zone().served();
    ensure!(served.group(shop.host(), Kind::Aaaa).next().is_none(), "the target's AAAA record is still there");
    let shown = own_dns(&scene)?.zone().weights(shop.host(), Kind::Aaaa);
    ensure!(shown.len() <= 2, "AAAA of the target came and went more than once: {shown:?}");
    let raised = shop.history().await?.iter().any(|point| point.target.values().any(|weight| *weight > 0));
    ensure!(!raised, "the target was raised");
    mend(&own_dns(&scene)?.external_dns().source, |options| without(options, without_ipv6)).await?;
    shop.change(json!({"attempt": 2})).await?;
    // Until it is heard, what has ended stays ended.
    shop.until("the second attempt", |found| attempt_of(found) == 2).await?;
    shop.ends(Stage::Completed).await?;
    let zone = own_dns(&scene)?.zone();
    for kind in [Kind::A, Kind::Aaaa] {
        ensure!(zone.group(shop.host(), kind).len() == 2, "{kind}: {:?}", zone.group(shop.host(), kind));
    }
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_beside_a_name_is_held_before_anybody_moves() -> Result<()> {
    let prefer = "--aws-prefer-cname";
    let trap = Trap::new(
        "an alias on one side and a CNAME on the other, which Route 53 refuses",
        "the source's external-dns runs with --aws-prefer-cname, the target's without",
    );
    let options = own("cname", |[source, target]| [and(source, "--aws-prefer-cname"), target]);
    let scene = Scene::open(setup::Options { named_balancers: true, ..options }).await?;
    let shop = scene.migration("cname-shop").begin().await?;
    let words = ["which Route 53 refuses beside the source's records of another kind", "the annotation alias on both"];
    trap.holds(&shop, Held::BeforeTheShift, &["DNSBlocked"], &words).await?;
    mend(&own_dns(&scene)?.external_dns().target, |options| and(options, prefer)).await?;
    goes_on(&shop).await
}
