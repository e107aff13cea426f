//! A finalizer never holds an object for ever: not when the pair takes no note of what is left over, and not when the object's own
//! status cannot be written.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use namespace_migration::api::NamespaceMigration;
use rig::population::Side;
use rig::proxy::ApiRequest;
use rig::sample_namespace::SECRET;
use serde_json::json;

use crate::deletion::{delete, gone, short};
use crate::mute::mute;
use crate::scene::{Migration, Scene, Visited, create_again, holds_step, proxied, take_away, unverified};

/// Twice the deadline of the deletion: one for what is waited for, one for the note of it.
const BOTH: Duration = Duration::from_secs(15 + 15);

/// What a busy machine and a call that is given up may take on top.
const SLACK: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn an_object_goes_though_its_pair_takes_no_note_of_what_is_left_over_and_an_event_says_what_to_do() -> Result<()>
{
    let scene = Scene::open(short("unnoted")).await?;
    let draft = scene.migration("unnoted").steps(&[(10, "10m"), (100, "1s")]);
    let shop = draft.spec("/rollback", json!({"objects": "Remove"})).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    let (home, target) =
        (scene.setup.home_faults().context("a home proxy")?, scene.setup.target_faults().context("a target proxy")?);
    home.answer(|request: &ApiRequest| request.is_of_status("clusterpairs"), StatusCode::FORBIDDEN, u64::MAX);
    target.refuse();
    let (asked, uid) = (Instant::now(), delete(&shop).await?);
    let refused = shop.until("a refusal to take note", |found| says(found, "Cannot note what is left over")).await?;
    let status = refused.status.context("a status")?;
    ensure!(last_word(&shop).await.is_err(), "it was told that it goes, and it does not");
    for words in ["It is tried again until ", "kubectl patch namespacemigration unnoted -n unnoted --type merge"] {
        ensure!(status.unblock.contains(words), "{}", status.unblock);
    }
    gone(&shop, uid).await?;
    let took = asked.elapsed();
    ensure!((BOTH..BOTH + SLACK).contains(&took), "it took {took:?}, expected {BOTH:?} and little more");
    ensure!(shop.weights().await? == [Some(100), Some(10)], "{:?}", shop.weights().await?);

    let told = last_word(&shop).await?;
    for words in ["ClusterPair unnoted has not taken note", "nobody else will do", &format!("Secret {SECRET}")] {
        ensure!(told.contains(words), "{told:?} does not say {words:?}");
    }
    home.clear();
    target.healthy();
    let pairs = scene.pairs().await?;
    ensure!(pairs.get("unnoted").await?.status.unwrap_or_default().leftovers.is_empty(), "it was noted after all");
    let (_, command) = told.split_once("in this order: ").context("a command")?;
    let (command, _) = command.split_once(". ").context("the end of the command")?;
    let line = command.replace("--context=TARGET", "--context=target");
    scene.kubectl().await?.paste(&line, scene.world.target()).await?;
    ensure!(shop.weights().await? == [Some(100), Some(0)], "{line}: {:?}", shop.weights().await?);
    shop.keeps_its_promises().await
}

fn says(found: &NamespaceMigration, words: &str) -> bool {
    found.status.as_ref().is_some_and(|status| status.message.contains(words))
}

/// The last event about what is left over.
async fn last_word(shop: &Migration<'_>) -> Result<String> {
    let events: Api<Event> = Api::namespaced(shop.scene.home().await?.admin_client()?, shop.object_namespace());
    let told = events.list(&ListParams::default()).await?.into_iter();
    let told = told.filter(|event| event.reason.as_deref() == Some("LeftOver"));
    let last = told.max_by_key(|event| event.event_time.as_ref().map(|time| time.0));
    last.and_then(|event| event.note).context("an event about what is left over")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_deleted_without_its_pair_says_so_and_goes_back_once_the_pair_is_there_again() -> Result<()> {
    let scene = Scene::open(unverified("together")).await?;
    let shop = scene.migration("together").steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    let pairs = scene.pairs().await?;
    let pair = pairs.get("together").await?;
    take_away(&pairs, "together").await?;
    let uid = delete(&shop).await?;
    let words = "The object is being deleted; it goes at the latest at 2";
    let told = shop.until("being told that it waits", |found| says(found, words)).await?;
    let status = told.status.context("a status")?;
    ensure!(status.message.contains("There is no ClusterPair named together."), "{}", status.message);
    ensure!(status.unblock.contains("Create ClusterPair together again, as it was."), "{}", status.unblock);
    ensure!(shop.weights().await? == [Some(90), Some(10)], "{:?}", shop.weights().await?);
    create_again(&pairs, pair).await?;
    gone(&shop, uid).await?;
    ensure!(shop.weights().await? == [Some(100), Some(0)], "{:?}", shop.weights().await?);
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphaned_object_goes_though_its_status_cannot_be_written() -> Result<()> {
    let scene = Scene::open(proxied("mute")).await?;
    let shop = scene.migration("mute").steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    let home = scene.setup.home_faults().context("a home proxy")?;
    mute(&home);
    shop.change(json!({"deletionPolicy": "Orphan"})).await?;
    let uid = delete(&shop).await?;
    gone(&shop, uid).await?;
    home.clear();
    ensure!(shop.weights().await? == [Some(90), Some(10)], "{:?}", shop.weights().await?);
    scene.until_logged("the object is let go without its last status", "403").await?;
    shop.keeps_its_promises().await
}

/// Whoever deletes the namespace of a home that is the source deletes the migration, the source's Ingress and every event about them.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_deleted_on_its_home_goes_with_a_last_word_about_the_pair_and_users_stay_on_the_target()
-> Result<()> {
    let scene = Scene::open(short("swept")).await?;
    let visited = Visited::begin(scene.migration("swept").steps(&[(10, "10m"), (100, "1s")])).await?;
    let shop = &visited.shop;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    let namespaces: Api<Namespace> = Api::all(scene.world.source().admin_client()?);
    namespaces.delete("swept", &DeleteParams::default()).await?;
    let waiting =
        shop.until("being told of the namespace", |found| says(found, "is being deleted on the source")).await?;
    let status = waiting.status.context("a status")?;
    ensure!(status.unblock.contains("Leave the Ingresses of namespace swept on the target as they are"), "{status:?}");
    let last = scene.eventually("a last word about the pair", async || about_pair(&scene, "swept").await).await?;
    for words in ["NamespaceMigration swept/swept:", "The object is let go after 15s", "serves everybody"] {
        ensure!(last.contains(words), "{last:?} does not say {words:?}");
    }
    let gone = async || Ok(namespaces.get_opt("swept").await?.is_none().then_some(()));
    scene.eventually("the end of the namespace", gone).await?;
    // Whoever was on the source when its Pods went is lost: nobody was asked. After that the target has everybody.
    visited.people.wait_until_all_are_at(Side::Target, BOTH).await?;
    let [_, target] = shop.weights().await?;
    ensure!(target == Some(10), "the target's weight is {target:?}");
    Ok(())
}

/// The last event about what a migration left over that was told about its pair.
async fn about_pair(scene: &Scene, pair: &str) -> Result<Option<String>> {
    let events: Api<Event> = Api::namespaced(scene.home().await?.admin_client()?, "default");
    let told = events.list(&ListParams::default()).await?.into_iter().find(|event| {
        let about = event.regarding.as_ref().and_then(|about| about.name.as_deref());
        about == Some(pair) && event.reason.as_deref() == Some("LeftOver")
    });
    Ok(told.and_then(|event| event.note))
}
