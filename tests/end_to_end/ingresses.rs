//! Ingresses: made from the source's where nobody owns them, waited for where a tool does, and moved together.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use kube::api::PostParams;
use namespace_migration::api::{OWNER_ANNOTATION, STAMP_ANNOTATION, Stage};
use rig::sample_namespace::Owner;
use rig::setup::{Dns, Options};
use serde_json::json;

use crate::scene::{Migration, Scene, quick};

const NGINX: &str = "nginx.ingress.kubernetes.io/";
const OLD: &str = "dns.old.example/";
const NEW: &str = "dns.new.example/";

#[tokio::test(flavor = "multi_thread")]
async fn the_targets_ingress_is_made_from_the_sources_with_its_own_class_and_prefix_and_only_harmless_annotations()
-> Result<()> {
    let source_class = Some("makes-old".to_owned());
    let options = Options { annotation_prefixes: [OLD, NEW], source_class, own_dns: Dns::own(), ..quick("makes") };
    let scene = Scene::open(options).await?;
    let shop = scene.migration("makes-shop").service(|sample| {
        sample
            .with_annotation(&format!("{NGINX}proxy-body-size"), "8m")
            .with_annotation(&format!("{OLD}ttl"), "2")
            .with_annotation(&format!("{OLD}hostname"), "makes-shop.makes.example.org")
            .with_annotation("team.example/pager", "shop")
    });
    let shop = shop.deploy().await?;
    let before = on_source(&shop).await?;
    shop.begin().await?;
    let ended = shop.ends(Stage::Completed).await?;

    let made = shop.ingress(scene.target()).await?.context("an Ingress on the target")?;
    ensure!(made.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_deref()) == Some("makes"));
    let expected = [
        (format!("{NGINX}proxy-body-size"), "8m"),
        (format!("{NEW}ttl"), "2"),
        (format!("{NEW}set-identifier"), "makes-shop-makes-shop-green"),
        (format!("{NEW}aws-weight"), "100"),
    ];
    let mut annotations = made.metadata.annotations.clone().context("annotations")?;
    for (key, value) in &expected {
        ensure!(annotations.remove(key).as_deref() == Some(value), "{key} of {:?}", made.metadata.annotations);
    }
    let rest: BTreeSet<_> = annotations.keys().map(String::as_str).collect();
    ensure!(rest == [OWNER_ANNOTATION, STAMP_ANNOTATION].into(), "{rest:?}");

    let created = ended.status.context("a status")?.created;
    let ingress = created.iter().find(|object| object.kind == "Ingress").context("the Ingress in status.created")?;
    ensure!(ingress.left_out == [format!("{OLD}hostname"), "team.example/pager".to_owned()], "{:?}", ingress.left_out);
    only_ours_differ(&before, &on_source(&shop).await?, OLD)?;
    ensure!(shop.both_sides_answer().await.is_ok(), "both sides serve");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingress_that_a_tool_owns_is_waited_for_and_nothing_else_of_the_sources_changes() -> Result<()> {
    let scene = Scene::open(quick("owned")).await?;
    let owners = [
        ("owned-helm", Owner::Helm, "Helm release"),
        ("owned-argo", Owner::ArgoCd, "Argo CD Application"),
        ("owned-flux", Owner::Flux, "Flux Kustomization"),
    ];
    let moves = owners.map(|(name, owner, words)| waits_for_the_owner(&scene, name, owner, words));
    futures::future::try_join_all(moves).await?;
    Ok(())
}

async fn waits_for_the_owner(scene: &Scene, name: &str, owner: Owner, words: &str) -> Result<()> {
    let shop = scene.migration(name).service(|sample| sample.owned_by(owner)).deploy().await?;
    let before = on_source(&shop).await?;
    shop.begin().await?;
    let waiting = shop.waits("WaitingForIngressOwner").await?.status.context("a status")?;
    ensure!(waiting.message.contains(words), "expected {words}: {}", waiting.message);
    ensure!(waiting.unblock.contains("Let the") && waiting.stage == Stage::PublishTarget, "{}", waiting.unblock);
    ensure!(shop.ingress(scene.target()).await?.is_none(), "made beside its owner");
    shop.sample.create_ingress(&scene.target()).await?;
    let ended = shop.ends(Stage::Completed).await?;
    let created = ended.status.context("a status")?.created;
    ensure!(created.iter().all(|object| object.kind != "Ingress"), "the owner's Ingress counts as ours: {created:?}");
    only_ours_differ(&before, &on_source(&shop).await?, rig::setup::ANNOTATION_PREFIX)?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn several_ingresses_and_hosts_of_a_namespace_move_together() -> Result<()> {
    let scene = Scene::open(quick("several")).await?;
    let shop = scene.migration("several-shop").service(|sample| sample.with_host("pay.several.example.com"));
    let shop = shop.deploy().await?;
    let source: Api<Ingress> = Api::namespaced(scene.source(), shop.name());
    let mut second = on_source(&shop).await?;
    second.metadata = serde_json::from_value(json!({"name": "second"}))?;
    second.status = None;
    let rules = second.spec.as_mut().and_then(|spec| spec.rules.as_mut()).context("rules")?;
    rules.truncate(1);
    rules[0].host = Some("second.several.example.com".to_owned());
    second.spec.as_mut().context("a spec")?.tls = None;
    source.create(&PostParams::default(), &second).await?;
    shop.begin().await?;
    let ended = shop.ends(Stage::Completed).await?.status.context("a status")?;

    let hosts: BTreeMap<_, _> =
        ended.traffic.iter().map(|traffic| (traffic.ingress.as_str(), traffic.hosts.len())).collect();
    ensure!(hosts == [("second", 1), ("several-shop", 2)].into(), "{hosts:?}");
    // No Ingress is a step ahead of the other: whoever is raised waits for the other before the source is lowered.
    let history = shop.history().await?;
    // What the source does before the target is there is the rehearsal.
    for point in history.iter().filter(|point| !point.target.is_empty()) {
        let weights: BTreeSet<_> = point.target.values().copied().collect();
        let lowered = point.source.values().copied().min().unwrap_or(100);
        let raised = weights.iter().copied().min().filter(|_| point.target.len() == 2).unwrap_or(0);
        ensure!(100 - lowered <= raised, "the source was lowered before every target was raised: {point:?}");
        ensure!(weights.len() <= 2, "{point:?}");
    }
    for traffic in &ended.traffic {
        ensure!((traffic.source_weight, traffic.target_weight) == (Some(0), Some(100)), "{traffic:?}");
    }
    let checked: BTreeSet<_> = ended.checks.iter().map(|check| check.name.as_str()).collect();
    for host in ["several-shop.example.com", "pay.several.example.com", "second.several.example.com"] {
        ensure!(checked.contains(format!("http://{host}/").as_str()), "{host} was not probed: {checked:?}");
    }
    shop.keeps_its_promises().await
}

async fn on_source(shop: &Migration<'_>) -> Result<Ingress> {
    shop.ingress(shop.scene.source()).await?.context("an Ingress on the source")
}

/// Fails unless the spec, the labels and all annotations but our three are as before.
fn only_ours_differ(before: &Ingress, after: &Ingress, prefix: &str) -> Result<()> {
    let ours = [format!("{prefix}set-identifier"), format!("{prefix}aws-weight"), STAMP_ANNOTATION.to_owned()];
    let mut annotations = after.metadata.annotations.clone().unwrap_or_default();
    for key in &ours {
        ensure!(annotations.remove(key).is_some(), "{key} is not on the source's Ingress");
    }
    ensure!(annotations == before.metadata.annotations.clone().unwrap_or_default(), "{annotations:?}");
    ensure!(after.spec == before.spec && after.metadata.labels == before.metadata.labels);
    ensure!(after.metadata.uid == before.metadata.uid && after.metadata.finalizers == before.metadata.finalizers);
    Ok(())
}
