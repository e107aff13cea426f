//! Traps in the path of whoever shifts traffic with external-dns and Route 53, one test each, on the real external-dns. Each holds before
//! anybody is moved, or stops where it is, says what was seen and what to do, and is never taken for a failure of the application. When
//! the trap is gone the migration goes on by itself. Each prints a row of the table: the trap, how it was laid, what a person reads.

mod annotations;
mod arguments;
mod blinks;
mod events;
mod hosts;
mod order;
mod records;
mod refused;

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::status::NamespaceMigrationStatus;
use namespace_migration::api::{NamespaceMigration, Stage};
use rig::control_plane::ControlPlane;
use rig::kubectl::Kubectl;
use rig::progress::say;
use rig::route53::record::Kind;
use rig::route53::zone::Zone;
use rig::setup::{ANNOTATION_PREFIX, Dns, Options, OwnDns, Tune};
use rig::weight_history::target_never_raised_after_rollback;
use serde_json::Value;

use crate::scene::{LIMIT, Migration, Scene, cause_of, condition, quick, reason_of, stage_of};

/// A trap, and how it was laid.
struct Trap {
    is: &'static str,
    laid: &'static str,
}

/// How far a migration may have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// Nothing was written to either cluster.
    Untouched,
    /// Nobody was sent to the target.
    BeforeTheShift,
    /// The weights stay where they are.
    InTheShift,
}

impl Trap {
    const fn new(is: &'static str, laid: &'static str) -> Self {
        Self { is, laid }
    }

    /// Waits until a migration is held for one of these reasons, with these words, and prints what a person reads.
    async fn holds(
        &self,
        shop: &Migration<'_>,
        held: Held,
        reasons: &[&str],
        words: &[&str],
    ) -> Result<NamespaceMigrationStatus> {
        let what = format!("{reasons:?} with {words:?}");
        let found = shop.until(&what, |found| says(found, reasons, words) || is_over(found)).await?;
        if is_over(&found) {
            return Err(shop.account(&format!("{}: it did not hold", self.is)).await);
        }
        is_no_failure(&found)?;
        is_held(shop, held, &found).await.with_context(|| self.is)?;
        let status = found.status.context("a status")?;
        ensure!(!status.unblock.is_empty(), "{}: nothing tells what to do", self.is);
        self.tells(&status);
        Ok(status)
    }

    /// A row of the table.
    fn tells(&self, status: &NamespaceMigrationStatus) {
        let NamespaceMigrationStatus { stage, reason, message, unblock, cause, .. } = status;
        let cause = cause.as_ref().map(|cause| format!("\n  because  {}: {}", cause.reason, cause.message));
        say(format!(
            "\n  trap     {}\n  laid     {}\n  read     {reason} in {stage}: {message}\n  to do    {unblock}{}",
            self.is,
            self.laid,
            cause.unwrap_or_default()
        ));
    }
}

fn says(found: &NamespaceMigration, reasons: &[&str], words: &[&str]) -> bool {
    let Some(status) = &found.status else { return false };
    let text = format!("{} {}", status.message, status.unblock);
    reasons.contains(&reason_of(found)) && words.iter().all(|word| text.contains(word))
}

fn is_over(found: &NamespaceMigration) -> bool {
    stage_of(found) >= Stage::RollingBack || stage_of(found) == Stage::Completed
}

/// The application was not blamed.
fn is_no_failure(found: &NamespaceMigration) -> Result<()> {
    ensure!(cause_of(found) == ("", ""), "it goes back: {:?}", cause_of(found));
    ensure!(condition(found, "TargetHealthy") != "False", "the target is told to be sick: {:?}", found.status);
    Ok(())
}

async fn is_held(shop: &Migration<'_>, held: Held, found: &NamespaceMigration) -> Result<()> {
    match held {
        Held::Untouched => shop.nothing_is_written().await,
        Held::BeforeTheShift => {
            ensure!(stage_of(found) < Stage::ShiftTraffic, "it is in {}", stage_of(found));
            let history = shop.history().await?;
            let raised = history.iter().find(|point| point.target.values().any(|weight| *weight > 0));
            ensure!(raised.is_none(), "the target was raised: {raised:?}");
            Ok(())
        }
        Held::InTheShift => shop.stays_as_it_is(5).await,
    }
}

/// When the trap is gone it goes on by itself, to its good end.
async fn goes_on(shop: &Migration<'_>) -> Result<()> {
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

/// Everybody is back for this reason, and not because of the application.
async fn is_taken_back(
    trap: &Trap,
    shop: &Migration<'_>,
    ended: &NamespaceMigration,
    why: &str,
    words: &[&str],
) -> Result<()> {
    let (reason, message) = cause_of(ended);
    ensure!(reason == why, "{}: {reason}: {message}", trap.is);
    for word in words {
        ensure!(message.contains(word), "{}: {message:?} does not say {word:?}", trap.is);
    }
    trap.tells(ended.status.as_ref().context("a status")?);
    ensure!(shop.weights().await? == [Some(100), Some(0)], "{:?}", shop.weights().await?);
    // What somebody wrote on the way is not ours to promise.
    target_never_raised_after_rollback(&shop.history().await?).map_err(anyhow::Error::msg)
}

/// A setup with a zone and two external-dns of its own, which are changed so.
fn own(name: &str, tune: Tune) -> Options {
    Options { own_dns: Dns::Own(tune), ..quick(name) }
}

fn own_dns(scene: &Scene) -> Result<&OwnDns> {
    scene.setup.own_dns().context("a zone of its own")
}

/// Waits until the service of a deployed migration has a record of this kind.
async fn is_published(zone: &Zone, shop: &Migration<'_>, kind: Kind) -> Result<()> {
    let published = |zone: &Zone| zone.served().group(shop.host(), kind).next().map(drop);
    zone.wait(&format!("{} in DNS", shop.host()), LIMIT, published).await
}

/// Changes annotations of an Ingress, as a person does: `key=value` without external-dns's prefix, or `key-`.
async fn annotate(shop: &Migration<'_>, cluster: &ControlPlane, changes: &[&str]) -> Result<()> {
    let changes: Vec<_> = changes.iter().map(|change| format!("{ANNOTATION_PREFIX}{change}")).collect();
    let ingress = ["annotate", "ingress", shop.name(), "-n", shop.name(), "--overwrite"];
    let words: Vec<_> = ingress.into_iter().chain(changes.iter().map(String::as_str)).collect();
    Kubectl::of(cluster, shop.scene.world.tools())?.run(&words).await.map(drop)
}

/// A platform team corrects the scene's pair.
async fn mend_pair(scene: &Scene, spec: Value) -> Result<()> {
    let pairs = scene.pairs().await?;
    let patch = kube::api::Patch::Merge(serde_json::json!({ "spec": spec }));
    pairs.patch(scene.setup.name(), &kube::api::PatchParams::default(), &patch).await?;
    Ok(())
}
