//! Operators without a Lease: two that share their migrations keep the lock on a host together; two that do not know each other meet at
//! the stamps, in one namespace and at one host.

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::{NamespaceMigration, Stage};
use rig::sample_app::Fault;
use rig::setup::Options;
use serde_json::json;

use crate::scene::{Migration, Scene, holds_step, reason_of, remember_object, unverified};

fn leaderless(name: &str) -> Options {
    Options { lease: None, ..unverified(name) }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_namespaces_that_share_a_host_the_second_waits_also_when_two_operators_work_without_a_lease()
-> Result<()> {
    let scene = Scene::open(leaderless("pairwise")).await?;
    let second_operator = scene.another_operator("pairwise-second").await?;
    let first = scene.migration("pairwise-first").steps(&[(50, "10m"), (100, "1s")]).begin().await?;
    first.until("the first step held", |found| holds_step(found, 1)).await?;
    let sharing = scene.migration("pairwise-second").service(|sample| sample.with_host("pairwise-first.example.com"));
    let second = sharing.begin().await?;
    let words = "The host pairwise-first.example.com is claimed by NamespaceMigration pairwise-first/pairwise-first, which came first.";
    second.is_told("OwnedByAnother", words).await?;
    // Both operators have looked at it by the time that they have seen so many answers of the probes.
    scene.probe_rounds(10).await?;
    second.nothing_is_written().await?;
    // The one that is left knows the same.
    scene.operator.lock().await.sigkill().await?;
    scene.setup.application().set("target", first.host(), Fault::Status(503));
    first.ends(Stage::RolledBack).await?;
    scene.setup.application().heal("target", first.host());
    second.ends(Stage::Completed).await?;
    drop(second_operator);
    first.keeps_its_promises().await?;
    second.keeps_its_promises().await
}

/// Their ledgers are not shared: they meet at the stamps, in one namespace and at one host.
#[tokio::test(flavor = "multi_thread")]
async fn operators_that_do_not_know_each_other_meet_at_the_stamps_of_a_namespace_and_of_a_host() -> Result<()> {
    let (one, other) = (Scene::open(leaderless("stranger-a")).await?, Scene::open(leaderless("stranger-b")).await?);
    let first = one.migration("stranger-one").steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    first.until("the first step held", |found| holds_step(found, 1)).await?;

    // The same namespace, by a delegate whose migration the other operator has: the stamp tells.
    let same = met_at_the_stamps(&other, &first).await?;
    ensure!(reason_of(&same) == "OwnedByAnother", "{}", reason_of(&same));
    // It would keep its claim to the host.
    first.api().await?.delete("second", &kube::api::DeleteParams::default()).await?;

    // Another namespace with the same host: the second waits for the first, and goes on by itself when that has ended.
    let sharing = other.migration("stranger-two").service(|sample| sample.with_host("stranger-one.example.com"));
    let second = sharing.begin().await?;
    second.is_told("OwnedByAnother", "The host stranger-one.example.com is moved by another migration").await?;
    one.probe_rounds(10).await?;
    second.nothing_is_written().await?;
    one.setup.application().set("target", first.host(), Fault::Status(503));
    first.ends(Stage::RolledBack).await?;
    one.setup.application().heal("target", first.host());
    second.ends(Stage::Completed).await?;
    first.keeps_its_promises().await?;
    second.keeps_its_promises().await
}

/// A migration of the namespace that another operator moves.
async fn met_at_the_stamps(other: &Scene, first: &Migration<'_>) -> Result<NamespaceMigration> {
    let name = first.name();
    let object: NamespaceMigration = serde_json::from_value(json!({
        "apiVersion": "namespacemigration.io/v1alpha1", "kind": "NamespaceMigration",
        "metadata": {"name": "second", "labels": {rig::setup::LABEL: other.setup.name()}},
        "spec": {
            "clusterPair": other.setup.name(),
            "preflight": {"acknowledge": [{"check": "AnnotationOnly", "reason": "the rig has no DNS"}]},
        },
    }))?;
    remember_object(name);
    let api = first.api().await?;
    api.create(&kube::api::PostParams::default(), &object).await.context("creating the second migration")?;
    let waits = async || {
        let found = api.get("second").await?;
        let said = found.status.as_ref().map(|status| status.message.clone()).unwrap_or_default();
        Ok(said.starts_with(&format!("Ingress {name} on the source is moved by another migration")).then_some(found))
    };
    other.eventually("the second migration of the namespace waiting", waits).await
}
