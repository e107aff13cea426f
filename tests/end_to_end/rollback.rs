//! Migrations that go wrong: everything comes back by itself, or stays where it is and says so.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client};
use namespace_migration::api::{NamespaceMigration, Stage};
use rig::sample_app::Fault;
use rig::sample_namespace::SECRET;
use rig::weight_history::Direction;
use serde_json::json;

use crate::scene::{
    Migration, Scene, attempt_of, cause_of, condition, holds_step, quick, reason_of, stage_of, unverified,
};

/// Where in a migration the target breaks.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Before any user is sent there.
    SmokeTest,
    /// While the second step is held.
    SecondStep,
    /// With everybody there.
    Bake,
}

/// One way in which a target breaks, when, and what status must say about it.
struct Case {
    name: &'static str,
    fault: Fault,
    moment: Moment,
    told: &'static [&'static str],
}

const fn case(name: &'static str, fault: Fault, moment: Moment, told: &'static [&'static str]) -> Case {
    Case { name, fault, moment, told }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_breaks_gives_its_users_back_and_status_says_what_was_found() -> Result<()> {
    let redirect = Fault::Redirect("https://login.example.com/".to_owned());
    let cases = [
        case("back-smoke", Fault::Status(503), Moment::SmokeTest, &["answers 503", "the source answers 200"]),
        case("back-step", Fault::Status(503), Moment::SecondStep, &["answers 503", "the source answers 200"]),
        case("back-bake", Fault::Status(503), Moment::Bake, &["answers 503"]),
        case("back-hang", Fault::Hang, Moment::SecondStep, &["no complete answer within 2s"]),
        case("back-drop", Fault::DropConnection, Moment::Bake, &["connection"]),
        case("back-certificate", Fault::WrongCertificate, Moment::SecondStep, &["https://", "certificate"]),
        case("back-redirect", redirect, Moment::SecondStep, &["302", "login.example.com", "the source answers 200"]),
    ];
    let scene = Scene::open(quick("back")).await?;
    let runs = cases.iter().map(|case| breaks(&scene, case));
    futures::future::try_join_all(runs).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_breaks_gives_its_users_back_also_where_nobody_reads_dns() -> Result<()> {
    let scene = Scene::open(unverified("back-believes")).await?;
    let told = &["answers 503", "the source answers 200"];
    breaks(&scene, &case("back-believes", Fault::Status(503), Moment::SecondStep, told)).await
}

async fn breaks(scene: &Scene, case: &Case) -> Result<()> {
    let draft = scene.migration(case.name).spec("/bake", json!({"for": "10m"}));
    let draft = draft.steps(&[
        (10, "1s"),
        (50, if matches!(case.moment, Moment::SecondStep) { "10m" } else { "1s" }),
        (100, "1s"),
    ]);
    let application = scene.setup.application();
    let host = format!("{}.example.com", case.name);
    if matches!(case.moment, Moment::SmokeTest) {
        application.set("target", &host, case.fault.clone());
    }
    let shop = draft.begin().await?;
    match case.moment {
        Moment::SmokeTest => {}
        Moment::SecondStep => drop(shop.until("the second step held", |found| holds_step(found, 2)).await?),
        Moment::Bake => drop(shop.stage(Stage::Bake).await?),
    }
    application.set("target", &host, case.fault.clone());
    let ended = shop.ends(Stage::RolledBack).await?;
    went_back(&shop, &ended).await.with_context(|| format!("{} in {:?}", case.fault, case.moment))?;
    let (_, message) = cause_of(&ended);
    for word in case.told {
        ensure!(message.contains(word), "{}: {message:?} does not say {word:?}", case.name);
    }
    Ok(())
}

/// Source 100, then target 0, under a new epoch; conditions, event and status say so.
async fn went_back(shop: &Migration<'_>, ended: &NamespaceMigration) -> Result<()> {
    let history = shop.history().await?;
    let last = history.last().context("a write of an Ingress")?;
    let name = shop.name();
    ensure!((last.source[name], last.target[name]) == (100, 0), "{last:?}");
    for stamps in [&last.source_stamps, &last.target_stamps] {
        ensure!(stamps[name].epoch == 2 && stamps[name].direction == Direction::RolledBack, "{stamps:?}");
    }
    let back = |point: &&rig::weight_history::WeightPoint| {
        let stamps = if point.cluster == "source" { &point.source_stamps } else { &point.target_stamps };
        stamps.get(name).is_some_and(|stamp| stamp.direction == Direction::RollingBack)
    };
    let sides: Vec<_> = history.iter().filter(back).map(|point| point.cluster.as_str()).collect();
    ensure!(sides == ["source", "target"], "the fences were written in this order: {sides:?}");
    let (reason, message) = cause_of(ended);
    ensure!(reason == "TargetUnhealthy" && message.starts_with("The target is unhealthy."), "{reason}: {message}");
    for (kind, status) in [("Succeeded", "False"), ("RolledBack", "True"), ("Ready", "False"), ("Stalled", "True")] {
        ensure!(condition(ended, kind) == status, "{kind}: {:?}", condition(ended, kind));
    }
    shop.event("RollingBack").await?;
    shop.event("RolledBack").await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn workloads_that_become_unready_on_the_target_give_the_users_back() -> Result<()> {
    let scene = Scene::open(quick("unready")).await?;
    let shop = scene.migration("unready-shop").steps(&[(50, "10m"), (100, "1s")]).begin().await?;
    shop.until("the first step held", |found| holds_step(found, 1)).await?;
    // A new version that needs a Secret which is not there, all at once.
    let environment = json!([{"name": "NEW", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "key"}}}]);
    let container = json!({"name": "app", "env": environment});
    let change = json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null},
        "template": {"spec": {"containers": [container]}}}});
    let deployments: Api<Deployment> = Api::namespaced(scene.world.target().admin_client()?, shop.name());
    deployments.patch(shop.name(), &PatchParams::default(), &Patch::Strategic(change)).await?;
    let ended = shop.ends(Stage::RolledBack).await?;
    went_back(&shop, &ended).await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_on_failure_hold_the_weights_stay_until_the_target_is_healthy_again() -> Result<()> {
    let scene = Scene::open(quick("hold")).await?;
    let shop = scene.migration("hold-shop").spec("/onFailure", json!("Hold"));
    let shop = shop.steps(&[(10, "1s"), (50, "3s"), (100, "1s")]).begin().await?;
    shop.until("the second step held", |found| holds_step(found, 2)).await?;
    scene.setup.application().set("target", shop.host(), Fault::Status(500));
    let held = shop.until("a hold", |found| reason_of(found) == "Held").await?;
    ensure!(condition(&held, "Stalled") == "True" && stage_of(&held) == Stage::ShiftTraffic, "{:?}", held.status);
    ensure!(held.status.as_ref().is_some_and(|status| status.unblock.contains("Mend the target")), "{:?}", held.status);
    ensure!(shop.weights().await? == [Some(50), Some(50)], "the weights moved");
    scene.setup.application().heal("target", shop.host());
    let ended = shop.ends(Stage::Completed).await?;
    ensure!(condition(&ended, "Stalled") == "False");
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_removes_what_it_created_on_the_target_and_nothing_else_and_a_higher_attempt_completes() -> Result<()>
{
    let scene = Scene::open(quick("remove")).await?;
    let shop = scene.migration("remove-shop").spec("/rollback", json!({"objects": "Remove"}));
    let shop = shop.steps(&[(50, "2s"), (100, "1s")]).deploy().await?;
    let target = scene.world.target().admin_client()?;
    let bystander: Secret = serde_json::from_value(json!({"metadata": {"name": "bystander"}}))?;
    Api::<Secret>::namespaced(target.clone(), shop.name())
        .create(&kube::api::PostParams::default(), &bystander)
        .await?;
    let before = objects(&target, shop.name()).await?;
    shop.begin().await?;
    shop.until("the first step held", |found| holds_step(found, 1)).await?;
    ensure!(objects(&target, shop.name()).await?.contains(&format!("Secret {SECRET}")), "the Secret was not copied");
    scene.setup.application().set("target", shop.host(), Fault::Status(503));
    let ended = shop.ends(Stage::RolledBack).await?;
    ensure!(cause_of(&ended).0 == "TargetUnhealthy", "{:?}", ended.status);
    ensure!(objects(&target, shop.name()).await? == before, "{:?}", objects(&target, shop.name()).await?);

    scene.setup.application().heal("target", shop.host());
    shop.change(json!({"attempt": 2})).await?;
    shop.until("the second attempt", |found| attempt_of(found) == 2).await?;
    let ended = shop.ends(Stage::Completed).await?;
    let history = ended.status.iter().flat_map(|status| &status.history);
    let history: Vec<_> = history.map(|entry| (entry.attempt, entry.stage)).collect();
    ensure!(history == [(1, Stage::RolledBack)], "{history:?}");
    ensure!(shop.weights().await? == [Some(0), Some(100)]);
    shop.keeps_its_promises().await
}

/// Kind and name of what a namespace has of the kinds that the operator can create, and of those that CI deploys.
async fn objects(client: &Client, namespace: &str) -> Result<Vec<String>> {
    let mut found = vec![];
    for (version, kind) in
        [("v1", "Secret"), ("v1", "Service"), ("apps/v1", "Deployment"), ("networking.k8s.io/v1", "Ingress")]
    {
        let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
        let resource = kube::api::ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(group, version, kind));
        let api: Api<kube::api::DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let names = api.list(&ListParams::default()).await?.into_iter().filter_map(|object| object.metadata.name);
        found.extend(names.map(|name| format!("{kind} {name}")));
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn when_both_sides_fail_nobody_is_moved_until_one_is_healthy() -> Result<()> {
    let scene = Scene::open(quick("both")).await?;
    let shop = scene.migration("both-shop").steps(&[(50, "20s"), (100, "1s")]).begin().await?;
    shop.until("the first step held", |found| holds_step(found, 1)).await?;
    let application = scene.setup.application();
    application.set("source", shop.host(), Fault::Status(502));
    let sick = |found: &NamespaceMigration| condition(found, "SourceHealthy") == "False";
    shop.until("a source that fails", sick).await?;
    application.set("target", shop.host(), Fault::Status(502));
    let held = shop.until("a hold", |found| reason_of(found) == "SourceUnhealthyToo").await?;
    ensure!(condition(&held, "Stalled") == "True", "{:?}", held.status);
    ensure!(shop.weights().await? == [Some(50), Some(50)], "somebody was moved");
    application.heal("target", shop.host());
    // A source that is healthy before the target is would get everybody back.
    shop.until("a healthy target", |found| condition(found, "TargetHealthy") == "True").await?;
    application.heal("source", shop.host());
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_redirects_or_asks_for_a_login_on_both_sides_is_healthy() -> Result<()> {
    let scene = Scene::open(quick("alike")).await?;
    let faults = [("alike-redirect", Fault::Redirect("/login".to_owned())), ("alike-login", Fault::Status(401))];
    let runs = faults.into_iter().map(|(name, fault)| {
        let scene = &scene;
        async move {
            let shop = scene.migration(name).deploy().await?;
            for side in ["source", "target"] {
                scene.setup.application().set(side, shop.host(), fault.clone());
            }
            shop.begin().await?;
            shop.ends(Stage::Completed).await?;
            shop.keeps_its_promises().await
        }
    });
    futures::future::try_join_all(runs).await.map(drop)
}
