//! The operator is killed with SIGKILL at a moment of its choosing by the proxy before an API server: just before a write
//! is forwarded, or just after it was committed and before the answer. Every run ends as it would have.

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::{NamespaceMigration, Stage};
use rig::control_plane::wait_until;
use rig::progress::say;
use rig::proxy::{ApiRequest, Phase};
use rig::sample_app::Fault;
use rig::setup::Options;
use serde_json::json;

use crate::scene::{LIMIT, Migration, Scene, holds_step, proxied, stage_of};

/// Which write, and whether it is lost or only its answer.
struct Moment {
    what: &'static str,
    side: &'static str,
    nth: u64,
    phase: Phase,
    matches: fn(&ApiRequest) -> bool,
}

const fn moment(
    what: &'static str,
    side: &'static str,
    nth: u64,
    phase: Phase,
    matches: fn(&ApiRequest) -> bool,
) -> Moment {
    Moment { what, side, nth, phase, matches }
}

fn weight(request: &ApiRequest) -> bool {
    request.resource == "ingresses" && request.verb == "patch"
}

fn created(request: &ApiRequest) -> bool {
    request.verb == "create" && ["ingresses", "secrets"].contains(&request.resource.as_str())
}

fn stamped(request: &ApiRequest, direction: &str) -> bool {
    weight(request) && request.annotation("namespacemigration.io/stamp").is_some_and(|stamp| stamp.contains(direction))
}

fn status(request: &ApiRequest) -> bool {
    request.resource == "namespacemigrations" && request.subresource == "status"
}

fn status_of(request: &ApiRequest, stage: &str) -> bool {
    status(request) && request.object["status"]["stage"] == stage
}

const FORWARD: [Moment; 13] = [
    moment("source becomes weighted", "source", 1, Phase::BeforeForward, weight),
    moment("source becomes weighted", "source", 1, Phase::AfterCommit, weight),
    moment("Secret is created", "target", 1, Phase::BeforeForward, created),
    moment("Secret is created", "target", 1, Phase::AfterCommit, created),
    moment("Ingress is created", "target", 2, Phase::AfterCommit, created),
    moment("target is raised to 10", "target", 1, Phase::BeforeForward, weight),
    moment("target is raised to 10", "target", 1, Phase::AfterCommit, weight),
    moment("source is lowered to 90", "source", 2, Phase::AfterCommit, weight),
    moment("target is raised to 100", "target", 3, Phase::AfterCommit, weight),
    moment("source is lowered to 0", "source", 4, Phase::BeforeForward, weight),
    moment("source is lowered to 0", "source", 4, Phase::AfterCommit, weight),
    moment("target is marked completed", "target", 4, Phase::AfterCommit, weight),
    moment("status says Bake", "source", 1, Phase::BeforeForward, |request| status_of(request, "Bake")),
];

const BACKWARD: [Moment; 11] = [
    moment("source gets 100", "source", 1, Phase::BeforeForward, |request| stamped(request, "RollingBack")),
    moment("source gets 100", "source", 1, Phase::AfterCommit, |request| stamped(request, "RollingBack")),
    moment("target gets 0", "target", 1, Phase::BeforeForward, |request| stamped(request, "RollingBack")),
    moment("target gets 0", "target", 1, Phase::AfterCommit, |request| stamped(request, "RollingBack")),
    moment("status says RollingBack", "source", 1, Phase::BeforeForward, |request| status_of(request, "RollingBack")),
    moment("status says RollingBack", "source", 1, Phase::AfterCommit, |request| status_of(request, "RollingBack")),
    moment("source is marked rolled back", "source", 1, Phase::BeforeForward, |request| stamped(request, "RolledBack")),
    moment("source is marked rolled back", "source", 1, Phase::AfterCommit, |request| stamped(request, "RolledBack")),
    moment("target is marked rolled back", "target", 1, Phase::AfterCommit, |request| stamped(request, "RolledBack")),
    moment("status says RolledBack", "source", 1, Phase::BeforeForward, |request| status_of(request, "RolledBack")),
    moment("status says RolledBack", "source", 1, Phase::AfterCommit, |request| status_of(request, "RolledBack")),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_whose_operator_is_killed_at_a_write_ends_as_if_it_had_not_been() -> Result<()> {
    // Many migrations one after the other: DNS and holds are as short as they can be.
    let scene = Scene::open(Options { dns: ["50ms", "50ms", "50ms"], ..proxied("killed-forward") }).await?;
    for (number, moment) in FORWARD.iter().enumerate() {
        let draft = scene.migration(&format!("killed-forward-{number}")).spec("/bake/for", json!("200ms"));
        let shop = draft.steps(&[(10, "200ms"), (50, "200ms"), (100, "200ms")]).deploy().await?;
        kill_at(&shop, moment)?;
        shop.begin().await?;
        let ended = revived(&shop, moment).await?.ends(Stage::Completed).await?;
        ensure!(shop.weights().await? == [Some(0), Some(100)], "{}: {:?}", moment.what, shop.weights().await?);
        tell(&shop, moment, &ended).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_whose_operator_is_killed_at_a_write_ends_as_if_it_had_not_been() -> Result<()> {
    let scene = Scene::open(proxied("killed-back")).await?;
    for (number, moment) in BACKWARD.iter().enumerate() {
        let name = format!("killed-back-{number}");
        let shop = scene.migration(&name).steps(&[(50, "10m"), (100, "1s")]).begin().await?;
        shop.until("the hold at 50 percent", |found| holds_step(found, 1)).await?;
        kill_at(&shop, moment)?;
        scene.setup.application().set("target", shop.host(), Fault::Status(503));
        let ended = revived(&shop, moment).await?.ends(Stage::RolledBack).await?;
        ensure!(shop.weights().await? == [Some(100), Some(0)], "{}: {:?}", moment.what, shop.weights().await?);
        tell(&shop, moment, &ended).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_asked_to_end_leaves_no_write_in_flight_and_resumes_where_it_stood() -> Result<()> {
    let scene = Scene::open(proxied("drained")).await?;
    let shop = scene.migration("drained").steps(&[(10, "1s"), (50, "3s"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;

    // A write is on the wire while the operator is asked to end: it waits for the answer.
    let mut held = scene.setup.target_faults().context("a proxy before the target")?.delay_matching(weight);
    held.caught(LIMIT).await?;
    let operator = std::sync::Arc::clone(&scene.operator);
    let ending = tokio::spawn(async move { operator.lock().await.sigterm().await });
    scene_log_says(&shop, "asked to end").await?;
    held.release();
    ensure!(ending.await??.success(), "it ends with 0");
    ensure!(shop.weights().await?[1] == Some(50), "the write that was in flight is done");
    scene_log_says(&shop, "no write is in flight").await?;

    let before = shop.weight_writes().await?.len();
    scene.operator.lock().await.restart().await?;
    shop.ends(Stage::Completed).await?;
    // What is left: source 50, target 100, source 0, and the two final stamps. Nothing is written twice.
    ensure!(shop.weight_writes().await?.len() - before == 5, "{:?}", shop.sequence().await?);
    shop.keeps_its_promises().await
}

/// Reads the log file itself: the operator's lock is held while it ends.
async fn scene_log_says(shop: &Migration<'_>, text: &str) -> Result<()> {
    let path = log_path(shop);
    wait_until(&format!("the log says {text:?}"), LIMIT, || async {
        std::fs::read_to_string(&path).is_ok_and(|log| log.contains(text))
    })
    .await
}

fn log_path(shop: &Migration<'_>) -> std::path::PathBuf {
    shop.scene.world.folder().join(format!("operator-{}.log", shop.scene.setup.name()))
}

/// The operator is killed at this write of this migration.
fn kill_at(shop: &Migration<'_>, moment: &Moment) -> Result<()> {
    let setup = &shop.scene.setup;
    let faults = if moment.side == "source" { setup.source_faults() } else { setup.target_faults() };
    let (namespace, matches) = (shop.name().to_owned(), moment.matches);
    let operator = std::sync::Arc::clone(&shop.scene.operator);
    let kill = move |_| async move {
        operator.lock().await.sigkill().await.expect("the operator can be killed");
    };
    let faults = faults.context("a proxy before the cluster")?;
    faults.on_matching_write(
        move |request| request.namespace == namespace && matches(request),
        moment.nth,
        moment.phase,
        kill,
    );
    Ok(())
}

/// Waits until the operator was killed, and starts it again.
async fn revived<'a>(shop: &'a Migration<'_>, moment: &Moment) -> Result<&'a Migration<'a>> {
    let killed = || async { !shop.scene.operator.lock().await.is_running() };
    wait_until(&format!("killed when {}", moment.what), LIMIT, killed).await?;
    shop.scene.operator.lock().await.restart().await?;
    Ok(shop)
}

async fn tell(shop: &Migration<'_>, moment: &Moment, ended: &NamespaceMigration) -> Result<()> {
    shop.keeps_its_promises().await.with_context(|| moment.what)?;
    let when = if moment.phase == Phase::BeforeForward { "before" } else { "after" };
    let [source, target] = shop.weights().await?.map(Option::unwrap_or_default);
    let end = stage_of(ended);
    say(&format!("killed {when:6} {:30} -> {end} at source {source}, target {target}", moment.what));
    Ok(())
}
