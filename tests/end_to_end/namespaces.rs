//! Several namespaces, several homes: who may move what, who waits for whom, and where the operator may live.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use namespace_migration::api::status::Severity;
use namespace_migration::api::{NamespaceMigration, Stage};
use rig::sample_app::Fault;
use rig::setup::{Home, Options};
use serde_json::{Value, json};

use crate::scene::{Migration, Scene, cause_of, create_again, holds_step, quick, take_away, unverified};

#[tokio::test(flavor = "multi_thread")]
async fn a_delegate_moves_another_namespace_and_the_second_migration_of_it_waits_for_the_first() -> Result<()> {
    let scene = Scene::open(quick("delegates")).await?;
    let delegate = json!([{"namespace": "delegates-platform", "moves": ["delegates-shop*"]}]);
    change_pair(&scene, json!({ "delegates": delegate })).await?;
    create_namespace(&scene, "delegates-platform").await?;

    let shop = scene.migration("delegates-shop").by_delegate("delegates-platform");
    let first = shop.steps(&[(50, "10m"), (100, "1s")]).begin().await?;
    first.until("the first step held", |found| holds_step(found, 1)).await?;
    let second = first.rival(None);
    second.begin().await?;
    let waits = told(&second, "OwnedByAnother", "The namespace delegates-shop is claimed").await?;
    let message = &waits.status.as_ref().context("a status")?.message;
    ensure!(message.contains("by NamespaceMigration delegates-platform/delegates-shop, which came first"), "{message}");
    second.change(json!({"traffic": {"steps": [{"weight": 50, "hold": "1s"}, {"weight": 100, "hold": "1s"}]}})).await?;
    // A new process learns from the status of the first that it had begun.
    scene.crash_and_restart().await?;
    first.until("the first step held again", |found| holds_step(found, 1)).await?;
    told(&second, "OwnedByAnother", "is claimed by NamespaceMigration delegates-platform/delegates-shop").await?;

    scene.setup.application().set("target", first.host(), Fault::Status(503));
    first.ends(Stage::RolledBack).await?;
    scene.setup.application().heal("target", first.host());
    second.ends(Stage::Completed).await?;
    ensure!(
        first.now().await?.status.is_some_and(|status| status.stage == Stage::RolledBack),
        "the first stays as it ended"
    );
    second.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_namespaces_that_share_a_host_the_second_waits_for_the_first() -> Result<()> {
    // DNS has one record of the host, whichever namespace it is of: it could follow neither.
    let scene = Scene::open(unverified("hosts")).await?;
    let first = scene.migration("hosts-first").steps(&[(50, "3s"), (100, "1s")]).begin().await?;
    first.until("the first step held", |found| holds_step(found, 1)).await?;
    let second = scene.migration("hosts-second").service(|sample| sample.with_host("hosts-first.example.com"));
    let second = second.begin().await?;
    let words =
        "The host hosts-first.example.com is claimed by NamespaceMigration hosts-first/hosts-first, which came first.";
    second.is_told("OwnedByAnother", words).await?;
    let (ended, begun) = futures::join!(first.ends(Stage::Completed), second.stage(Stage::ShiftTraffic));
    let (ended, begun) = (ended?, begun?);
    let finished = |migration: &NamespaceMigration, stage: Stage| {
        let pipeline = migration.status.iter().flat_map(|status| &status.pipeline);
        pipeline.filter(|entry| entry.name == stage).find_map(|entry| entry.finished.clone())
    };
    let (last, first_left) = (finished(&ended, Stage::Bake), finished(&begun, Stage::Pending));
    ensure!(
        last.is_some() && last <= first_left,
        "the second began at {first_left:?}, before the first's end at {last:?}"
    );
    second.ends(Stage::Completed).await?;
    first.keeps_its_promises().await?;
    second.keeps_its_promises().await
}

/// The next process cannot read the first one's order, and knows from its status alone what it holds.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_stays_locked_across_a_restart_while_the_pair_of_its_holder_is_gone() -> Result<()> {
    let (scene, other) = Scene::open_with_second_pair(unverified("lock-one"), unverified("lock-two")).await?;
    let first = scene.migration("lock-first").steps(&[(50, "10m"), (100, "1s")]).begin().await?;
    first.until("the first step held", |found| holds_step(found, 1)).await?;
    let pairs = scene.pairs().await?;
    let pair = pairs.get("lock-one").await?;
    take_away(&pairs, "lock-one").await?;
    told(&first, "NoClusterPair", "There is no ClusterPair named lock-one.").await?;
    scene.crash_and_restart().await?;

    let second = scene.migration("lock-second").spec("/clusterPair", json!(other.name()));
    let second = second.service(|_| other.sample("lock-second").with_host("lock-first.example.com")).begin().await?;
    let words =
        "The host lock-first.example.com is claimed by NamespaceMigration lock-first/lock-first, which came first.";
    second.is_told("OwnedByAnother", words).await?;

    create_again(&pairs, pair).await?;
    first.until("the first step held again", |found| holds_step(found, 1)).await?;
    second.is_told("OwnedByAnother", words).await?;
    scene.setup.application().set("target", first.host(), Fault::Status(503));
    first.ends(Stage::RolledBack).await?;
    second.ends(Stage::Completed).await?;
    first.keeps_its_promises().await?;
    second.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pairs_move_their_namespaces_at_the_same_time() -> Result<()> {
    let (scene, other) = Scene::open_with_second_pair(quick("pair-one"), quick("pair-two")).await?;
    let one = scene.migration("pair-one-shop");
    let two = scene.migration("pair-two-shop").spec("/clusterPair", json!(other.name()));
    let two = two.service(|_| other.sample("pair-two-shop"));
    let hold = [(50, "2s"), (100, "1s")];
    let (one, two) = futures::try_join!(one.steps(&hold).begin(), two.steps(&hold).begin())?;
    let both = futures::join!(
        one.until("held", |found| holds_step(found, 1)),
        two.until("held", |found| holds_step(found, 1))
    );
    ensure!(both.0.is_ok() && both.1.is_ok(), "{both:?}");
    futures::try_join!(one.ends(Stage::Completed), two.ends(Stage::Completed))?;
    one.keeps_its_promises().await?;
    two.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_pair_does_not_allow_waits_and_goes_on_once_it_is_allowed() -> Result<()> {
    let scene = Scene::open(quick("allowed")).await?;
    change_pair(&scene, json!({"allowedNamespaces": ["none-*"], "allowedHosts": ["*.example.org"]})).await?;
    let shop = scene.migration("allowed-shop").steps(&[(50, "2s"), (100, "1s")]).begin().await?;
    let words = "ClusterPair allowed does not let the namespace allowed-shop move: its allowedNamespaces are none-*.";
    let found = shop.is_told("NotAllowed", words).await?;
    ensure!(
        found.status.is_some_and(|status| status.preflight.is_empty()),
        "nothing is told of what is in the namespace"
    );
    change_pair(&scene, json!({"allowedNamespaces": ["allowed-*"]})).await?;
    let words = "HostNotAllowed: Ingress allowed-shop has the host allowed-shop.example.com, which ClusterPair allowed does not let \
                 move: its allowedHosts are *.example.org.";
    shop.is_told("PreflightBlocked", words).await?;
    create_namespace(&scene, "allowed-stranger").await?;
    let stranger = shop.rival(Some("allowed-stranger"));
    stranger.begin().await?;
    let words =
        "names the namespace allowed-shop in spec.namespace, but ClusterPair allowed has no delegate allowed-stranger";
    stranger.is_told("NotAllowed", words).await?;

    change_pair(&scene, json!({"allowedHosts": ["*"]})).await?;
    shop.until("the first step held", |found| holds_step(found, 1)).await?;
    // Taken away in the middle: the weights stay, and a rollback for health is still armed.
    change_pair(&scene, json!({"allowedNamespaces": []})).await?;
    told(&shop, "NotAllowed", "its allowedNamespaces are empty. The weights stay as they are.").await?;
    shop.stays_as_it_is(5).await?;
    scene.setup.application().set("target", shop.host(), Fault::Status(503));
    let ended = shop.ends(Stage::RolledBack).await?;
    ensure!(cause_of(&ended).0 == "TargetUnhealthy", "{:?}", cause_of(&ended));
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_may_live_on_the_target_with_a_warning_that_says_what_is_lost() -> Result<()> {
    let scene = Scene::open(Options { home: Home::Target, ..quick("at-target") }).await?;
    let good = scene.migration("at-target-good").begin().await?;
    let sick = scene.migration("at-target-sick").steps(&[(50, "10m"), (100, "1s")]).begin().await?;
    sick.until("the first step held", |found| holds_step(found, 1)).await?;
    scene.setup.application().set("target", sick.host(), Fault::Status(503));
    sick.ends(Stage::RolledBack).await?;
    let ended = good.ends(Stage::Completed).await?;
    let finding = warning(&ended).context("a warning")?;
    ensure!(finding.0 == Severity::Info, "{finding:?}");
    ensure!(
        finding.1.contains("If the target dies, the operator dies with it: nothing rolls back by itself"),
        "{finding:?}"
    );
    good.keeps_its_promises().await?;
    sick.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_on_the_source_or_on_a_third_cluster_needs_no_warning() -> Result<()> {
    for (home, name) in [(Home::Source, "at-source"), (Home::Third, "at-third")] {
        let scene = Scene::open(Options { home, ..quick(name) }).await?;
        let shop = scene.migration(&format!("{name}-shop")).begin().await?;
        let ended = shop.ends(Stage::Completed).await?;
        ensure!(warning(&ended).is_none(), "{:?}", warning(&ended));
        shop.keeps_its_promises().await?;
    }
    Ok(())
}

fn warning(migration: &NamespaceMigration) -> Option<(Severity, &str)> {
    let findings = migration.status.iter().flat_map(|status| &status.preflight);
    findings
        .into_iter()
        .find(|finding| finding.check == "HomeOnTarget")
        .map(|finding| (finding.severity, finding.message.as_str()))
}

/// Waits for the reason with this in its sentence.
async fn told(shop: &Migration<'_>, reason: &str, words: &str) -> Result<NamespaceMigration> {
    let told = |found: &NamespaceMigration| {
        found.status.as_ref().is_some_and(|status| status.reason == reason && status.message.contains(words))
    };
    shop.until(&format!("{reason}: {words}"), told).await
}

async fn change_pair(scene: &Scene, spec: Value) -> Result<()> {
    let pairs = scene.pairs().await?;
    pairs.patch(scene.setup.name(), &PatchParams::default(), &Patch::Merge(json!({ "spec": spec }))).await?;
    Ok(())
}

async fn create_namespace(scene: &Scene, name: &str) -> Result<()> {
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
    Api::all(scene.home().await?.admin_client()?).create(&PostParams::default(), &namespace).await?;
    Ok(())
}
