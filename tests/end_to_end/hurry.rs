//! A person in a hurry: a pause or a rollback takes effect while a call hangs, and a token is handled once whoever dies.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use namespace_migration::api::status::{RequestKind, RequestOutcome};
use namespace_migration::api::{NamespaceMigration, PAUSED_ANNOTATION, RETRY_ANNOTATION, ROLLBACK_ANNOTATION, Stage};
use rig::deploy::OPERATOR_NAMESPACE;
use rig::progress::say;
use rig::proxy::{ApiRequest, Faults, Held, Phase};
use rig::setup::{Home, Options};
use rig::weight_history::Stamp;
use serde_json::json;

use crate::deletion::{delete, gone};
use crate::scene::{LIMIT, Migration, Scene, attempt_of, cause_of, holds_step, proxied};

/// Well below the time after which a write that hangs is given up.
const SOON: Duration = Duration::from_secs(5);

fn raise_to_100(request: &ApiRequest) -> bool {
    let weight = request.annotation(&format!("{}aws-weight", rig::setup::ANNOTATION_PREFIX));
    request.resource == "ingresses" && request.verb == "patch" && weight == Some("100")
}

/// A migration at 50 percent whose write of 100 to the target hangs.
async fn hanging<'a>(scene: &'a Scene, name: &str) -> Result<(Migration<'a>, Held)> {
    let faults = scene.setup.target_faults().context("a proxy before the target")?;
    let shop = scene.migration(name).steps(&[(50, "1s"), (100, "1s")]).deploy().await?;
    let namespace = name.to_owned();
    let mut held = faults.delay_matching(move |request| request.namespace == namespace && raise_to_100(request));
    shop.begin().await?;
    held.caught(LIMIT).await?;
    Ok((shop, held))
}

/// A migration that holds 50 percent.
async fn holding<'a>(scene: &'a Scene, name: &str) -> Result<Migration<'a>> {
    let shop = scene.migration(name).steps(&[(50, "10m"), (100, "1s")]).begin().await?;
    shop.until("the first step held", |found| holds_step(found, 1)).await?;
    Ok(shop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_takes_effect_while_a_write_hangs_and_the_write_comes_too_late() -> Result<()> {
    let scene = Scene::open(proxied("hurry-pause")).await?;
    let (shop, mut held) = hanging(&scene, "hurry-pause").await?;
    let asked = Instant::now();
    shop.annotate(PAUSED_ANNOTATION, Some("")).await?;
    is_paused_since(&shop, &mut held, asked).await?;
    shop.annotate(PAUSED_ANNOTATION, None).await?;
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn suspending_by_the_spec_takes_effect_while_a_write_hangs_and_the_write_comes_too_late() -> Result<()> {
    let scene = Scene::open(proxied("hurry-suspend")).await?;
    let (shop, mut held) = hanging(&scene, "hurry-suspend").await?;
    let asked = Instant::now();
    shop.change(json!({"suspend": true})).await?;
    is_paused_since(&shop, &mut held, asked).await?;
    shop.change(json!({"suspend": false})).await?;
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

async fn is_paused_since(shop: &Migration<'_>, held: &mut Held, asked: Instant) -> Result<()> {
    shop.waits("Paused").await?;
    say(format!("{} paused {:?} after it was asked for, while a write hung", shop.name(), asked.elapsed()));
    ensure!(asked.elapsed() < SOON, "it took {:?}", asked.elapsed());
    comes_too_late(shop, held, [50, 50]).await
}

/// Below the time that a read before a write is given: the pause is told before the target's fence is given up.
const BEFORE_ANY_READ_IS_GIVEN_UP: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_told_while_the_whole_target_hangs_and_its_fence_follows() -> Result<()> {
    let scene = Scene::open(proxied("hurry-hung")).await?;
    let faults = scene.setup.target_faults().context("a proxy before the target")?;
    is_told_while_hung(&scene, "target", &faults).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_told_while_the_whole_source_hangs_and_its_fence_follows() -> Result<()> {
    let scene = Scene::open(Options { home: Home::Third, ..proxied("hurry-stuck") }).await?;
    let faults = scene.setup.source_faults().context("a proxy before the source")?;
    is_told_while_hung(&scene, "source", &faults).await
}

async fn is_told_while_hung(scene: &Scene, side: &str, faults: &Faults) -> Result<()> {
    let shop = holding(scene, scene.setup.name()).await?;
    Faults::hang(faults);
    let asked = Instant::now();
    shop.annotate(PAUSED_ANNOTATION, Some("")).await?;
    shop.waits("Paused").await?;
    say(format!("paused {:?} after it was asked for, while the whole {side} hung", asked.elapsed()));
    ensure!(asked.elapsed() < BEFORE_ANY_READ_IS_GIVEN_UP, "it took {:?}", asked.elapsed());
    let words = format!("The fence on the {side} is not written yet");
    let unfenced =
        |found: &NamespaceMigration| found.status.as_ref().is_some_and(|status| status.message.contains(&words));
    shop.until("what is not fenced yet", unfenced).await?;
    faults.healthy();
    let fenced = async || Ok((shop.fences().await? == [2, 2]).then_some(()));
    scene.eventually("a fence on both sides", fenced).await?;
    shop.annotate(PAUSED_ANNOTATION, None).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requested_rollback_gives_users_back_while_the_whole_target_hangs_and_ends_when_it_is_back() -> Result<()> {
    let scene = Scene::open(proxied("hurry-deaf")).await?;
    let shop = holding(&scene, "hurry-deaf").await?;
    let faults = scene.setup.target_faults().context("a proxy before the target")?;
    Faults::hang(&faults);
    let asked = Instant::now();
    shop.annotate(ROLLBACK_ANNOTATION, Some("incident")).await?;
    let raised = async || Ok((shop.weights().await?[0] == Some(100)).then_some(()));
    scene.eventually("100 on the source", raised).await?;
    say(format!("the source has 100 {:?} after it was asked for, while the whole target hung", asked.elapsed()));
    ensure!(asked.elapsed() < BEFORE_ANY_READ_IS_GIVEN_UP, "it took {:?}", asked.elapsed());
    let told = shop.waits("RollbackWaitsForTarget").await?;
    ensure!(cause_of(&told).0 == "RollbackRequested", "{:?}", cause_of(&told));
    faults.healthy();
    shop.ends(Stage::RolledBack).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requested_rollback_takes_effect_while_a_write_hangs_and_the_write_comes_too_late() -> Result<()> {
    let scene = Scene::open(proxied("hurry-back")).await?;
    let (shop, mut held) = hanging(&scene, "hurry-back").await?;
    let asked = Instant::now();
    shop.annotate(ROLLBACK_ANNOTATION, Some("incident")).await?;
    shop.until("the way back", |found| cause_of(found).0 == "RollbackRequested").await?;
    say(format!("rolled back {:?} after it was asked for, while a write hung", asked.elapsed()));
    ensure!(asked.elapsed() < SOON, "it took {:?}", asked.elapsed());
    shop.ends(Stage::RolledBack).await?;
    comes_too_late(&shop, &mut held, [100, 0]).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_takes_effect_while_a_write_hangs_and_the_write_comes_too_late() -> Result<()> {
    let scene = Scene::open(proxied("hurry-delete")).await?;
    let (shop, mut held) = hanging(&scene, "hurry-delete").await?;
    let asked = Instant::now();
    let uid = delete(&shop).await?;
    shop.until("the way back", |found| cause_of(found).0 == "Deleted").await?;
    say(format!("goes back {:?} after it was deleted, while a write hung", asked.elapsed()));
    ensure!(asked.elapsed() < SOON, "it took {:?}", asked.elapsed());
    gone(&shop, uid).await?;
    comes_too_late(&shop, &mut held, [100, 0]).await?;
    shop.keeps_its_promises().await
}

impl Migration<'_> {
    /// The epochs that are stamped last on source and target.
    pub async fn fences(&self) -> Result<[i64; 2]> {
        let history = self.history().await?;
        let last = history.last().context("a write")?;
        let epoch =
            |stamps: &std::collections::BTreeMap<String, Stamp>| stamps.get(self.name()).map_or(0, |stamp| stamp.epoch);
        Ok([epoch(&last.source_stamps), epoch(&last.target_stamps)])
    }
}

/// A raised attempt is in no hurry: it moves nothing while a write hangs, and does not follow a rollback that is asked for later. One
/// that is raised after that begins.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_raised_after_a_rollback_begins_while_a_write_hangs_and_the_write_comes_too_late()
-> Result<()> {
    let scene = Scene::open(proxied("hurry-attempt")).await?;
    let (shop, mut held) = hanging(&scene, "hurry-attempt").await?;
    shop.change(json!({"attempt": 2})).await?;
    shop.annotate(ROLLBACK_ANNOTATION, Some("incident")).await?;
    let back = shop.ends(Stage::RolledBack).await?;
    let unblock = back.status.as_ref().map(|status| (status.attempt, status.unblock.as_str()));
    ensure!(unblock == Some((1, "To try again: set spec.attempt to 3.")), "{unblock:?}");
    shop.change(json!({"attempt": 3})).await?;
    let asked = Instant::now();
    let next = shop.until("attempt 3", |found| attempt_of(found) == 3).await?;
    say(format!("attempt 3 began {:?} after it was asked for, while a write hung", asked.elapsed()));
    let ended: Vec<_> = next.status.iter().flat_map(|status| &status.history).map(|past| past.stage).collect();
    ensure!(ended == [Stage::RolledBack], "{ended:?}");
    held.release();
    let answer = held.status(LIMIT).await?;
    ensure!(answer.as_u16() == 409, "the API server answered {answer} to the late write, expected 409");
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

/// The kubeconfig's Secret has changed, and the home cluster does not answer when it is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_takes_effect_while_the_read_of_the_kubeconfigs_secret_hangs() -> Result<()> {
    let scene = Scene::open(proxied("hurry-secret")).await?;
    let shop = scene.migration("hurry-secret").steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    let name = scene.setup.kubeconfig_secret("target");
    let secrets: Api<Secret> = Api::namespaced(scene.home().await?.admin_client()?, OPERATOR_NAMESPACE);
    let faults = scene.setup.home_faults().context("a proxy before the home")?;
    let wanted = name.clone();
    let mut held = faults.delay_matching_read(move |request| {
        request.verb == "get" && request.resource == "secrets" && request.name == wanted
    });
    let touched = Patch::Merge(json!({"metadata": {"annotations": {"touched": "by the platform team"}}}));
    secrets.patch(&name, &PatchParams::default(), &touched).await?;
    held.caught(LIMIT).await?;

    let asked = Instant::now();
    shop.annotate(PAUSED_ANNOTATION, Some("")).await?;
    shop.waits("Paused").await?;
    say(format!("paused {:?} after it was asked for, while the read of a Secret hung", asked.elapsed()));
    ensure!(asked.elapsed() < SOON, "it took {:?}", asked.elapsed());
    let fenced = async || {
        let history = shop.history().await?;
        let stamps = history.last().map(|last| last.source_stamps.values().chain(last.target_stamps.values()));
        Ok(stamps.into_iter().flatten().all(|stamp| stamp.epoch == 2).then_some(()))
    };
    scene.eventually("the fences of the pause", fenced).await?;
    ensure!(shop.weights().await? == [Some(90), Some(10)], "{:?}", shop.weights().await?);
    held.release();
    shop.change(json!({"traffic": {"upTo": 0}})).await?;
    shop.annotate(PAUSED_ANNOTATION, None).await?;
    shop.waits("AtCeiling").await?;
    ensure!(shop.weights().await? == [Some(100), Some(0)], "{:?}", shop.weights().await?);
    shop.keeps_its_promises().await
}

async fn comes_too_late(shop: &Migration<'_>, held: &mut Held, weights: [i32; 2]) -> Result<()> {
    // The fence of the other side may still be on its way: it keeps the weight.
    let before = shop.sequence().await?;
    held.release();
    let answer = held.status(LIMIT).await?;
    ensure!(answer.as_u16() == 409, "the API server answered {answer} to the late write, expected 409");
    ensure!(shop.sequence().await? == before, "the late write moved users");
    ensure!(shop.weights().await? == weights.map(Some), "{:?}", shop.weights().await?);
    Ok(())
}

/// Kills the operator at the next matching write, and starts it again.
async fn crash_at(
    shop: &Migration<'_>,
    matches: impl Fn(&ApiRequest) -> bool + Send + Sync + 'static,
    phase: Phase,
    ask: impl Future<Output = Result<()>>,
) -> Result<()> {
    let faults = shop.scene.setup.source_faults().context("a proxy before the source")?;
    let operator = std::sync::Arc::clone(&shop.scene.operator);
    let (tell, killed) = tokio::sync::oneshot::channel();
    faults.on_matching_write(matches, 1, phase, |_| async move {
        operator.lock().await.sigkill().await.expect("the operator can be killed");
        // A test that has ended in between does not ask any more.
        let _ = tell.send(());
    });
    ask.await?;
    tokio::time::timeout(LIMIT, killed).await.context("the operator made no such write")??;
    shop.scene.crash_and_restart().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_handled_once_when_the_operator_is_killed_in_the_middle() -> Result<()> {
    let scene = Scene::open(proxied("hurry-crash")).await?;
    let shop = holding(&scene, "hurry-crash").await?;
    let name = shop.name().to_owned();
    let first_write = move |request: &ApiRequest| request.is_write_of("ingresses", &name);
    crash_at(&shop, first_write, Phase::AfterCommit, shop.annotate(ROLLBACK_ANNOTATION, Some("once"))).await?;
    let ended = shop.ends(Stage::RolledBack).await?;
    ensure!(cause_of(&ended).0 == "RollbackRequested", "{:?}", cause_of(&ended));
    let asked = shop.answer(RequestKind::Rollback, "once").await?;
    ensure!(asked.outcome == RequestOutcome::Done, "{asked:?}");

    shop.change(json!({"traffic": {"steps": [{"weight": 50, "hold": "1s"}, {"weight": 100, "hold": "1s"}]}})).await?;
    let name = shop.name().to_owned();
    let begins = move |request: &ApiRequest| {
        let attempt = request.object.pointer("/status/attempt").and_then(serde_json::Value::as_i64);
        request.subresource == "status" && request.namespace == name && attempt == Some(2)
    };
    crash_at(&shop, begins, Phase::AfterCommit, shop.annotate(RETRY_ANNOTATION, Some("once-more"))).await?;
    shop.until("the second attempt", |found| attempt_of(found) == 2).await?;
    let ended = shop.ends(Stage::Completed).await?;
    let status = ended.status.context("a status")?;
    ensure!((status.attempt, status.history.len()) == (2, 1), "attempt {}: {:?}", status.attempt, status.history);
    shop.keeps_its_promises().await
}
