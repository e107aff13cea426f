//! Secrets are copied by name, never overwritten, and their values are told to nobody.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client};
use namespace_migration::api::{OWNER_ANNOTATION, OWNER_LABEL, Stage};
use rig::kubectl::Kubectl;
use rig::sample_namespace::{SECRET, SECRET_KEY};
use serde_json::json;

use crate::scene::{Migration, Scene, quick};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_secret_is_copied_with_our_mark_and_one_that_is_there_is_left_alone() -> Result<()> {
    let scene = Scene::open(quick("copies")).await?;
    let included = json!([SECRET, "applied", "there"]);
    let shop = scene.migration("copies-shop").spec("/secrets/include", included).deploy().await?;
    apply(&shop, "applied").await?;
    for client in [scene.source(), scene.target()] {
        create(&shop, client, "there", "Opaque", &[("token", "same on both sides")]).await?;
    }
    let there = secret(&shop, scene.target(), "there").await?.metadata;
    shop.begin().await?;
    let ended = shop.ends(Stage::Completed).await?;

    for name in [SECRET, "applied"] {
        let (original, copy) = (secret(&shop, scene.source(), name), secret(&shop, scene.target(), name));
        let (original, copy) = futures::try_join!(original, copy)?;
        ensure!((original.data, original.type_) == (copy.data, copy.type_), "the copy of {name} has other values");
        let owner = copy.metadata.annotations.context("annotations of the copy")?;
        ensure!(owner.get(OWNER_ANNOTATION).is_some_and(|owner| owner.ends_with("/copies-shop/copies-shop")));
        ensure!(!owner.contains_key(LAST_APPLIED), "kubectl would think that the copy of {name} is its own");
        ensure!(copy.metadata.labels.is_some_and(|labels| labels.contains_key(OWNER_LABEL)));
    }
    let found = secret(&shop, scene.target(), "there").await?.metadata;
    ensure!((found.uid, found.resource_version) == (there.uid, there.resource_version), "it was written");
    let states: BTreeMap<_, _> =
        ended.status.context("a status")?.secrets.into_iter().map(|s| (s.name, s.state)).collect();
    let expected = [("applied", "Copied"), (SECRET, "Copied"), ("there", "Identical")];
    ensure!(states == expected.map(|(name, state)| (name.to_owned(), state.to_owned())).into(), "{states:?}");
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_with_other_values_is_never_overwritten_and_holds_up_every_copy() -> Result<()> {
    let scene = Scene::open(quick("conflicts")).await?;
    let shop = scene.migration("conflicts-shop").spec("/secrets/include", json!([SECRET, "taken"]));
    let shop = shop.deploy().await?;
    create(&shop, scene.source(), "taken", "Opaque", &[("user", "x"), ("password", "canary-source-password")]).await?;
    create(&shop, scene.target(), "taken", "Opaque", &[("user", "x"), ("password", "canary-target-password")]).await?;
    let before = secret(&shop, scene.target(), "taken").await?;
    shop.begin().await?;
    let waiting = shop.waits("SecretConflict").await?.status.context("a status")?;
    ensure!(waiting.message.contains("Secret taken") && waiting.message.contains("(password)"), "{}", waiting.message);
    ensure!(!waiting.unblock.is_empty() && waiting.stage == Stage::CopySecrets);
    ensure!(secret(&shop, scene.target(), "taken").await? == before, "the target's Secret was touched");
    ensure!(secret(&shop, scene.target(), SECRET).await.is_err(), "something was copied beside a conflict");

    secrets(&shop, scene.target()).delete("taken", &DeleteParams::default()).await?;
    shop.ends(Stage::Completed).await?;
    for canary in ["canary-source-password", "canary-target-password"] {
        shop.tells_nobody(canary).await?;
    }
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_must_not_be_copied_is_refused_with_the_reason_until_it_is_taken_off_the_list() -> Result<()> {
    let scene = Scene::open(quick("refuses")).await?;
    let release = "sh.helm.release.v1.shop.v1";
    let shop = scene.migration("refuses-shop").spec("/secrets/include", json!([SECRET, "token", release]));
    let shop = shop.deploy().await?;
    token(&shop).await?;
    create(&shop, scene.source(), release, "helm.sh/release.v1", &[("release", "canary-of-helm")]).await?;
    shop.begin().await?;
    let refused = shop.waits("SecretRefused").await?.status.context("a status")?;
    let why = |name: &str| {
        let entry =
            refused.secrets.iter().find(|entry| entry.name == name).map(|entry| (&*entry.state, &*entry.message));
        entry.unwrap_or_default()
    };
    ensure!(why("token").0 == "Refused" && why("token").1.contains("service account's token"), "{:?}", why("token"));
    ensure!(why(release).0 == "Refused" && why(release).1.contains("Helm's record"), "{:?}", why(release));
    ensure!(secret(&shop, scene.target(), SECRET).await.is_err(), "something was copied beside a refusal");

    // What `unblock` says.
    ensure!(refused.unblock.contains("spec.secrets.include"), "{}", refused.unblock);
    shop.change(json!({"secrets": {"include": [SECRET]}})).await?;
    shop.ends(Stage::Completed).await?;
    for name in ["token", release] {
        ensure!(secret(&shop, scene.target(), name).await.is_err(), "{name} was copied");
    }
    shop.tells_nobody("canary-of-helm").await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_not_on_the_source_is_waited_for() -> Result<()> {
    let scene = Scene::open(quick("misses")).await?;
    let shop = scene.migration("misses-shop").spec("/secrets/include", json!([SECRET, "late"])).begin().await?;
    let waiting = shop.waits("SecretRefused").await?.status.context("a status")?;
    ensure!(
        waiting.message.contains("Secret late") && waiting.message.contains("not on the source"),
        "{}",
        waiting.message
    );
    create(&shop, scene.source(), "late", "Opaque", &[("key", "it came")]).await?;
    shop.ends(Stage::Completed).await?;
    ensure!(secret(&shop, scene.target(), "late").await.is_ok(), "it was not copied");
    shop.keeps_its_promises().await
}

fn secrets(shop: &Migration<'_>, client: Client) -> Api<Secret> {
    Api::namespaced(client, shop.name())
}

async fn secret(shop: &Migration<'_>, client: Client, name: &str) -> Result<Secret> {
    secrets(shop, client).get(name).await.with_context(|| format!("reading Secret {name}"))
}

async fn create(shop: &Migration<'_>, client: Client, name: &str, kind: &str, values: &[(&str, &str)]) -> Result<()> {
    let values = values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let secret = Secret { metadata, type_: Some(kind.to_owned()), string_data: Some(values), ..Secret::default() };
    secrets(shop, client).create(&PostParams::default(), &secret).await?;
    Ok(())
}

/// As a person makes a Secret: kubectl leaves the whole object, values included, in an annotation.
async fn apply(shop: &Migration<'_>, name: &str) -> Result<()> {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": shop.name()},
        "stringData": {SECRET_KEY: shop.sample.canary()}});
    let kubectl = Kubectl::of(shop.scene.world.source(), shop.scene.world.tools())?;
    kubectl.run_with_input(&["apply", "-f", "-"], &secret.to_string()).await?;
    Ok(())
}

/// A service account's token, as the controller-manager fills it in.
async fn token(shop: &Migration<'_>) -> Result<()> {
    let secret = json!({"metadata": {"name": "token", "annotations": {"kubernetes.io/service-account.name": "default"}},
        "type": "kubernetes.io/service-account-token"});
    let secret: Secret = serde_json::from_value(secret)?;
    secrets(shop, shop.scene.source()).create(&PostParams::default(), &secret).await?;
    Ok(())
}
