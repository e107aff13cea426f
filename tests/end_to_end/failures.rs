//! What a person reads of each failure that has no other test of its own: the reason, what was found, and what to do; and it goes on
//! when that is done.

use anyhow::{Context as _, Result, ensure};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use namespace_migration::api::{NamespaceMigration, NamespaceMigrationStatus, Stage};
use rig::past;
use rig::route53::journal::{Action, Change};
use rig::route53::record::{Kind, Routing};
use rig::sample_app::Fault;
use rig::sample_namespace::SECRET;
use serde_json::{Value, json};

use crate::scene::{Migration, Scene, holds_step, quick, reason_of, unverified, with_own_dns};

/// Keeps an object that is being deleted.
const SOMEBODY: &str = "example.com/somebody";

/// Waits for the reason, and fails unless the message and what to do have these words.
async fn reads(shop: &Migration<'_>, reason: &str, said: &[&str], unblock: &str) -> Result<NamespaceMigrationStatus> {
    let is_told = |found: &NamespaceMigration| {
        let message = found.status.as_ref().map(|status| status.message.as_str()).unwrap_or_default();
        reason_of(found) == reason && said.iter().all(|words| message.contains(words))
    };
    let found = shop.until(&format!("{reason}: {said:?}"), is_told).await?.status.context("a status")?;
    ensure!(found.unblock.contains(unblock), "{unblock:?} is not in {:?}", found.unblock);
    Ok(found)
}

async fn holding<'a>(scene: &'a Scene, name: &str) -> Result<Migration<'a>> {
    let shop = scene.migration(name).steps(&[(10, "3s"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    Ok(shop)
}

async fn hold_back<K>(api: Api<K>, name: &str, finalizers: Value) -> Result<()>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    api.patch(name, &PatchParams::default(), &patch).await.context("writing a finalizer").map(drop)
}

/// As it was, without what an API server gave it.
fn again(ingress: Ingress) -> Ingress {
    let ObjectMeta { name, labels, annotations, .. } = ingress.metadata;
    Ingress { metadata: ObjectMeta { name, labels, annotations, ..ObjectMeta::default() }, status: None, ..ingress }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingress_that_comes_after_the_plan_holds_until_a_person_leaves_it_out() -> Result<()> {
    let scene = Scene::open(quick("late-comer")).await?;
    let shop = scene.migration("late-comer").steps(&[(10, "6s"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    let source: Api<Ingress> = Api::namespaced(scene.source(), shop.name());
    let mut late = source.get(shop.name()).await?;
    late.metadata = ObjectMeta { name: Some("late".to_owned()), ..ObjectMeta::default() };
    let rules = late.spec.as_mut().and_then(|spec| spec.rules.as_mut()).context("rules")?;
    for rule in rules {
        rule.host = Some("late.example.com".to_owned());
    }
    late.spec.as_mut().context("a spec")?.tls = None;
    source.create(&PostParams::default(), &late).await?;
    let said =
        ["Ingress late (late.example.com) has come to the source since the plan was agreed, and would stay behind."];
    reads(&shop, "UnplannedIngress", &said, "Name late in spec.ingresses.exclude").await?;
    shop.stays_as_it_is(3).await?;
    shop.change(json!({"ingresses": {"exclude": ["late"]}})).await?;
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_annotation_prefix_in_mid_run_freezes_until_it_is_put_back() -> Result<()> {
    let scene = Scene::open(quick("prefixed")).await?;
    let shop = holding(&scene, "prefixed").await?;
    let pairs = scene.pairs().await?;
    let before = pairs.get("prefixed").await?.spec.source.external_dns.annotation_prefix;
    let lead = async |prefix: &str| {
        let edit = json!({"spec": {"source": {"externalDNS": {"annotationPrefix": prefix}}}});
        pairs.patch("prefixed", &PatchParams::default(), &Patch::Merge(edit)).await.map(drop)
    };
    lead("dns.other.example/").await?;
    let said = ["dns.other.example/", before.as_str()];
    reads(&shop, "AnnotationPrefixChanged", &said, "spec.source.externalDNS.annotationPrefix").await?;
    shop.stays_as_it_is(3).await?;
    lead(&before).await?;
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_brought_down_to_a_source_that_fails() -> Result<()> {
    let scene = Scene::open(quick("sick-source")).await?;
    let shop = scene.migration("sick-source").steps(&[(10, "1s"), (50, "10m"), (100, "1s")]).begin().await?;
    shop.until("the hold at 50 percent", |found| holds_step(found, 2)).await?;
    scene.setup.application().set("source", shop.host(), Fault::Status(503));
    shop.until("a sick source", |found| crate::scene::condition(found, "SourceHealthy") == "False").await?;
    shop.change(json!({"traffic": {"upTo": 10}})).await?;
    let said = ["spec.traffic.upTo is 10, but the source fails, so that nobody is moved back to it.", "answers 503"];
    reads(&shop, "SourceUnhealthy", &said, "Mend the source, then it goes on by itself").await?;
    ensure!(shop.weights().await? == [Some(50), Some(50)], "{:?}", shop.weights().await?);
    scene.setup.application().heal("source", shop.host());
    reads(&shop, "AtCeiling", &["10"], "").await?;
    ensure!(shop.weights().await? == [Some(90), Some(10)], "{:?}", shop.weights().await?);
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingress_without_a_load_balancer_waits_and_past_its_deadline_calls_a_person() -> Result<()> {
    let scene = Scene::open(quick("addressless")).await?;
    scene.setup.target_balancer().hide(true);
    let shop = scene.migration("addressless").spec("/onFailure", json!("Hold")).begin().await?;
    let found = "Ingress addressless on the target has no load balancer address yet.";
    let fix = "Look at the target's ingress controller and at the class of the Ingress.";
    reads(&shop, "WaitingForLoadBalancer", &[found], fix).await?;
    let span = SignedDuration::from_hours(1);
    past::stage_began_earlier(scene.home().await?, shop.name(), shop.name(), span).await?;
    let late = reads(&shop, "DeadlineExceeded", &["PublishTarget took longer than", found], fix).await?;
    let stalled = late.conditions.iter().find(|condition| condition.type_ == "Stalled").context("Stalled")?;
    ensure!(stalled.status == "True" && stalled.message.contains(fix), "{stalled:?}");
    scene.setup.target_balancer().hide(false);
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_verdict_the_clock_stands_still() -> Result<()> {
    let scene = Scene::open(quick("speechless")).await?;
    let shop = scene.migration("speechless").held().await?;
    for side in ["source", "target"] {
        scene.setup.application().set(side, shop.host(), Fault::DropConnection);
    }
    let said = ["There is no verdict on the target, so the clock stands still", "neither side answers"];
    reads(&shop, "HealthUnknown", &said, "Look at the checks in status").await?;
    shop.stays_as_it_is(3).await?;
    for side in ["source", "target"] {
        scene.setup.application().heal(side, shop.host());
    }
    shop.until("the hold again", |found| holds_step(found, 1)).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_to_an_ingress_that_is_being_deleted_keeps_the_target_and_says_what_to_do() -> Result<()> {
    let scene = Scene::open(unverified("dying")).await?;
    let shop = scene.migration("dying").held().await?;
    let source: Api<Ingress> = Api::namespaced(scene.source(), shop.name());
    hold_back(source.clone(), shop.name(), json!([SOMEBODY])).await?;
    let before = source.get(shop.name()).await?;
    source.delete(shop.name(), &DeleteParams::default()).await?;
    scene.setup.application().set("target", shop.host(), Fault::Status(503));
    let said = [
        "Ingress dying on the source, or its namespace, is being deleted, so it is not given users and the target keeps its weight.",
    ];
    reads(&shop, "Terminating", &said, "Stop the deletion, or let it end and deploy the service to the source again.")
        .await?;
    ensure!(shop.weights().await? == [Some(90), Some(10)], "{:?}", shop.weights().await?);
    hold_back(source.clone(), shop.name(), Value::Null).await?;
    let gone = ["Ingress dying is gone from the source, so the target's keeps its weight."];
    reads(&shop, "RollbackWaitsForSource", &gone, "Deploy Ingress dying to the source again").await?;
    source.create(&PostParams::default(), &again(before)).await?;
    shop.ends(Stage::RolledBack).await?;
    ensure!(shop.weights().await? == [Some(100), Some(0)], "{:?}", shop.weights().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_somebody_changes_in_dns_stops_the_clock_until_it_is_right_again() -> Result<()> {
    let scene = Scene::open(with_own_dns("meddled")).await?;
    let shop = scene.migration("meddled").held().await?;
    let own = scene.setup.own_dns().context("a zone of its own")?;
    own.external_dns().target.pause().await?;
    let zone = own.zone();
    let mut set = zone.get(shop.host(), Kind::A, Some("meddled-meddled-green")).context("the target's record")?;
    set.routing = Routing::Weighted(3);
    zone.change("somebody", vec![Change { action: Action::Upsert, set }])?;
    let found =
        format!("In DNS the A record meddled-meddled-green of {} has weight 3; weight 10 is expected", shop.host());
    let said = [found.as_str(), "The clock stands still."];
    reads(&shop, "DNSDiffers", &said, "let the external-dns of the target put it right").await?;
    ensure!(shop.weights().await? == [Some(90), Some(10)], "{:?}", shop.weights().await?);
    own.external_dns().target.resume().await?;
    shop.until("the hold again", |found| holds_step(found, 1)).await?;
    own.external_dns().kill().await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_something_holds_is_named_while_it_is_removed() -> Result<()> {
    let scene = Scene::open(unverified("clinging")).await?;
    let shop = scene.migration("clinging").spec("/rollback", json!({"objects": "Remove"})).held().await?;
    let secrets: Api<Secret> = Api::namespaced(scene.target(), shop.name());
    let ingresses: Api<Ingress> = Api::namespaced(scene.target(), shop.name());
    hold_back(secrets.clone(), SECRET, json!([SOMEBODY])).await?;
    hold_back(ingresses.clone(), shop.name(), json!([SOMEBODY])).await?;
    scene.setup.application().set("target", shop.host(), Fault::Status(503));
    let fix = "look at its finalizers on the target";
    let found = format!("What was created for this migration is being removed from the target: Secret {SECRET}.");
    reads(&shop, "RemovingObjects", &[found.as_str()], fix).await?;
    hold_back(secrets.clone(), SECRET, Value::Null).await?;
    reads(&shop, "RemovingObjects", &["Ingress clinging on the target is being deleted, but something holds it."], fix)
        .await?;
    hold_back(ingresses.clone(), shop.name(), Value::Null).await?;
    shop.ends(Stage::RolledBack).await?;
    ensure!(secrets.get_opt(SECRET).await?.is_none(), "it is still there");
    shop.keeps_its_promises().await
}
