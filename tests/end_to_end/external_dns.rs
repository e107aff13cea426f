//! What the real external-dns of both clusters tell of themselves, by their Deployments and their metrics, and what a person reads of
//! it.

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::status::RecordTraffic;
use namespace_migration::api::{NamespaceMigration, Stage};
use namespace_migration::dns::passes::Passes;
use rig::control_plane::wait_until;
use rig::external_dns::{self, Pair};
use rig::route53::faults::Scope;
use rig::setup::{self, ANNOTATION_PREFIX, Dns, Verification};
use serde_json::json;

use crate::scene::{LIMIT, Migration, Scene, quick, reason_of};

const OTHER_PREFIX: &str = "other.example.com/";

/// A setup with a zone and two external-dns of its own, whose Deployments and metrics the pair names.
fn own(name: &str, own_dns: Dns) -> setup::Options {
    let dns = ["2s", "300ms", "1s"];
    setup::Options { dns, own_dns, verification: Verification::Route53, ..quick(name) }
}

fn external_dns(scene: &Scene) -> Result<&Pair> {
    Ok(scene.setup.own_dns().context("a zone of its own")?.external_dns())
}

fn says(found: &NamespaceMigration, text: &str) -> bool {
    found.status.as_ref().is_some_and(|status| status.message.contains(text))
}

async fn until_it_says(shop: &Migration<'_>, reason: &str, text: &str) -> Result<NamespaceMigration> {
    shop.until(&format!("{reason}: {text}"), |found| reason_of(found) == reason && says(found, text)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_with_another_prefix_holds_before_the_move_and_one_without_pods_is_told_at_its_gate() -> Result<()>
{
    let blind: setup::Tune = |[source, target]| {
        let source = external_dns::Options { annotation_prefix: OTHER_PREFIX.to_owned(), ..source };
        [source, target]
    };
    let scene = Scene::open(own("argued", Dns::Own(blind))).await?;
    let shop = scene.migration("argued-shop").spec("/traffic/upTo", json!(10)).begin().await?;
    let said = format!(
        "ExternalDNSPrefix: The external-dns of the source reads annotations that begin with {OTHER_PREFIX}, by its Deployment; \
         ClusterPair argued says {ANNOTATION_PREFIX}"
    );
    until_it_says(&shop, "PreflightBlocked", &said).await?;
    ensure!(shop.weights().await? == [None, None], "written although nobody would read it");

    let source = &external_dns(&scene)?.source;
    let mended = external_dns::Options { annotation_prefix: ANNOTATION_PREFIX.to_owned(), ..source.options().await };
    source.restart(mended).await?;
    shop.until("the ceiling", |found| reason_of(found) == "AtCeiling").await?;
    column_served_has_a_value(&scene, &shop).await?;

    let target = &external_dns(&scene)?.target;
    target.stop().await?;
    shop.change(json!({"traffic": {"upTo": 100}})).await?;
    let said =
        "The external-dns of the target is scaled to 0 (Deployment external-dns/argued-target): it does not run.";
    let late = until_it_says(&shop, "DNSLate", said).await?;
    the_row_says_what_is_waited_for(&late)?;
    series(&scene, "argued-shop", shop.host()).await?;
    target.start_again().await?;
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await?;
    external_dns(&scene)?.kill().await
}

/// `kubectl get` shows the share that DNS serves, and `kubectl describe` the row of the host.
async fn column_served_has_a_value(scene: &Scene, shop: &Migration<'_>) -> Result<()> {
    let kubectl = scene.kubectl().await?;
    let table = kubectl.run(&["get", "migration", shop.name(), "-n", shop.name()]).await?;
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let [head, values] = lines.as_slice() else { anyhow::bail!("{table}") };
    let column = head.iter().position(|name| *name == "SERVED").context("the column SERVED")?;
    ensure!(values[column] == "10", "{table}");
    let described = kubectl.run(&["describe", "migration", shop.name(), "-n", shop.name()]).await?;
    let plain = described.split_whitespace().collect::<Vec<_>>().join(" ");
    let name = shop.name();
    let row = format!(
        "Dns: Desired: 10 Found: {name}-{name}-blue 90, {name}-{name}-green 10 Host: {} Kind: A Proof: Verified Served: 10",
        shop.host()
    );
    ensure!(plain.contains(&row), "{row} is not in\n{described}");
    ensure!(plain.contains("Dns Verification: Route53: the list of records is read."), "{described}");
    Ok(())
}

fn the_row_says_what_is_waited_for(late: &NamespaceMigration) -> Result<()> {
    let rows = late.status.as_ref().map(|status| status.dns.as_slice()).unwrap_or_default();
    let [RecordTraffic { kind, gate, waits_for, written_since, served, .. }] = rows else { anyhow::bail!("{rows:?}") };
    ensure!((kind.as_str(), gate.as_str(), *served) == ("A", "target raised to 50", Some(10)), "{rows:?}");
    let said = "weight 50 is written on the target.";
    ensure!(waits_for.ends_with(said) && written_since.is_some(), "{rows:?}");
    Ok(())
}

async fn series(scene: &Scene, name: &str, host: &str) -> Result<()> {
    let page = scene.operator.lock().await.metrics().await?;
    let of = format!("{{namespace=\"{name}\",name=\"{name}\",host=\"{host}\",kind=\"A\"}}");
    // The target has 50 beside 90 of the source.
    for (series, value) in [("served", 10), ("desired", 50), ("written", 36)] {
        let line = format!("nsmig_{series}_percent{of} {value}");
        ensure!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    for series in ["unserved_since_timestamp_seconds", "served_since_timestamp_seconds", "record_ttl_seconds"] {
        let begin = format!("nsmig_{series}{of} ");
        ensure!(page.lines().any(|line| line.starts_with(&begin)), "{begin} is not in\n{page}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_that_fail_are_told_apart_from_an_external_dns_that_is_down() -> Result<()> {
    let scene = Scene::open(own("passes", Dns::own())).await?;
    let source = &external_dns(&scene)?.source;
    let passes = || async { Passes::read(&source.metrics().await?).map_err(anyhow::Error::msg) };
    wait_until("a pass without an error", LIMIT, || async { passes().await.is_ok_and(|it| it.last_sync.is_some()) })
        .await?;
    let read = passes().await?;
    ensure!(read.failed_in_a_row == Some(0) && read.last_attempt.is_some(), "{read:?}");
    ensure!(read.record_errors == Some(0) && read.cluster_errors == Some(0), "{read:?}");

    let zone = scene.setup.own_dns().context("a zone of its own")?.zone().name().to_owned();
    let refusing = scene.world.route53().faults().refuse_batches(Scope::everything().zone(&zone), "not today");
    let shop = scene.migration("passes-shop").spec("/traffic/upTo", json!(10)).begin().await?;
    wait_until("failures that are counted", LIMIT, || async {
        passes().await.is_ok_and(|it| it.failed_in_a_row > Some(0) && it.record_errors > Some(0))
    })
    .await?;
    until_it_says(&shop, "DNSLate", "in a row): it runs, and Route 53 refuses or throttles its changes").await?;
    drop(refusing);
    shop.until("the ceiling", |found| reason_of(found) == "AtCeiling").await?;

    source.kill().await?;
    shop.change(json!({"traffic": {"upTo": 100}})).await?;
    let said = "The external-dns of the source has a ready Pod, but its metrics at";
    until_it_says(&shop, "DNSLate", said).await?;
    source.start_again().await?;
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await?;
    external_dns(&scene)?.kill().await
}
