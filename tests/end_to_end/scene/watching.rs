//! What tests of faults look at besides the migration: metrics, rounds of probes, the operator's writes of weights.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};
use kube::Client;
use namespace_migration::api::NamespaceMigration;
use rig::operator::Operator;
use rig::recorder::Write;
use rig::setup::{ANNOTATION_PREFIX, LABEL, Options, Setup};
use rig::world::World;

use super::promises::is_by_operator;
use super::{LIMIT, Migration, Scene, reason_of};

/// Between two looks at what nobody announces.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Scene {
    /// A scene whose operator handles the migrations of a second pair as well, which is returned beside it.
    pub async fn open_with_second_pair(options: Options, second: Options) -> Result<(Self, Setup)> {
        let world = World::shared().await?;
        let home = options.home;
        let (setup, second) = (Setup::start(world, options).await?, Setup::start(world, second).await?);
        let selector = format!("{LABEL} in ({}, {})", setup.name(), second.name());
        let operator = Operator::start(world.folder(), &setup.operator_options(Some(selector))).await?;
        let operator = std::sync::Arc::new(tokio::sync::Mutex::new(operator));
        Ok((Self { world, setup: Box::new(setup), operator, home }, second))
    }

    /// A scene whose operator has these environment variables besides the usual ones.
    pub async fn open_with_environment(options: Options, environment: Vec<(String, String)>) -> Result<Self> {
        let world = World::shared().await?;
        let home = options.home;
        let setup = Setup::start(world, options).await?;
        let mut operator = setup.operator_options(Some(setup.selector()));
        operator.environment.extend(environment);
        let operator = Operator::start(world.folder(), &operator).await?;
        let operator = std::sync::Arc::new(tokio::sync::Mutex::new(operator));
        Ok(Self { world, setup: Box::new(setup), operator, home })
    }

    /// The administrator of the source.
    pub fn source(&self) -> Client {
        self.world.source().admin_client().expect("a client of the source")
    }

    /// The administrator of the target.
    pub fn target(&self) -> Client {
        self.world.target().admin_client().expect("a client of the target")
    }

    /// Looks until there is something to return.
    pub async fn eventually<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            if Instant::now() > deadline {
                bail!("{what} did not come about within {LIMIT:?}; the operator's log:\n{}", self.log().await?);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What `/metrics` says now.
    pub async fn metrics(&self) -> Result<String> {
        self.operator.lock().await.metrics().await
    }

    /// Waits until `/metrics` has this line.
    pub async fn until_metric(&self, line: &str) -> Result<()> {
        let shown = async || Ok(self.metrics().await?.lines().any(|found| found == line).then_some(()));
        self.eventually(&format!("the metric {line}"), shown).await
    }

    /// Waits until the log has a line with both texts.
    pub async fn until_logged(&self, text: &str, other: &str) -> Result<()> {
        let logged = async || {
            let log = self.log().await?;
            Ok(log.lines().any(|line| line.contains(text) && line.contains(other)).then_some(()))
        };
        self.eventually(&format!("a log line with {text} and {other}"), logged).await
    }

    /// Waits for so many more rounds of probes: time in which the operator might have done something.
    pub async fn probe_rounds(&self, rounds: u64) -> Result<()> {
        // A round asks two sides by HTTP and HTTPS.
        self.counts_on("nsmig_probes_total{", "", 4 * rounds).await
    }

    /// Waits until so many more calls to a side's API server have ended, well or badly.
    pub async fn calls_to(&self, side: &str, calls: u64) -> Result<()> {
        self.counts_on("nsmig_remote_calls_total{", &format!("side=\"{side}\""), calls).await
    }

    /// Waits until all series of a counter with this label have counted so many more.
    async fn counts_on(&self, counter: &str, label: &str, more: u64) -> Result<()> {
        let count = async || {
            let metrics = self.metrics().await?;
            let series = metrics.lines().filter(|line| line.starts_with(counter) && line.contains(label));
            Ok::<u64, anyhow::Error>(series.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
        };
        let before = count().await?;
        let enough = async || Ok((count().await? >= before + more).then_some(()));
        self.eventually(&format!("{more} more of {counter}{label}"), enough).await
    }
}

impl Migration<'_> {
    /// Waits for the reason with this in its sentence and something to do about it, and fails if the operator has written
    /// anything in the namespace by then, on either cluster.
    pub async fn is_told(&self, reason: &str, words: &str) -> Result<NamespaceMigration> {
        let told = |found: &NamespaceMigration| {
            reason_of(found) == reason && found.status.as_ref().is_some_and(|status| status.message.contains(words))
        };
        let found = self.until(&format!("{reason}: {words}"), told).await?;
        ensure!(found.status.as_ref().is_some_and(|status| !status.unblock.is_empty()), "nothing tells what to do");
        self.nothing_is_written().await?;
        Ok(found)
    }

    /// Fails if the operator has written anything but status and events in the namespace, on either cluster.
    pub async fn nothing_is_written(&self) -> Result<()> {
        let mut writes = self.writes().await?;
        writes.retain(|write| {
            let object = write.resource != "namespacemigrations" && write.resource != "events";
            object && write.namespace == self.name() && is_by_operator(write)
        });
        ensure!(writes.is_empty(), "written although it is blocked: {}", writes[0].summary());
        Ok(())
    }

    /// Waits until it waits for this.
    pub async fn waits(&self, reason: &str) -> Result<NamespaceMigration> {
        self.until(&format!("reason {reason}"), |found| reason_of(found) == reason).await
    }

    /// The operator's successful writes of Ingresses of the namespace since its namespace was created.
    pub async fn weight_writes(&self) -> Result<Vec<Write>> {
        let mut writes = self.writes_here().await?;
        writes.retain(|write| {
            let of_ingress = write.resource == "ingresses" && write.subresource.is_empty();
            of_ingress && write.namespace == self.name() && write.succeeded() && is_by_operator(write)
        });
        Ok(writes)
    }

    /// Fails if a weight is written while so many rounds of probes pass.
    pub async fn stays_as_it_is(&self, rounds: u64) -> Result<()> {
        let before = self.weight_writes().await?.len();
        self.scene.probe_rounds(rounds).await?;
        let writes = self.weight_writes().await?;
        match writes.get(before) {
            None => Ok(()),
            Some(write) => Err(anyhow!("{} was written in the freeze", write.summary())),
        }
    }
}

/// The weight that a write left on an Ingress, and the text of its stamp.
pub fn written(write: &Write) -> (&str, &str) {
    let annotations = &write.response_object["metadata"]["annotations"];
    let text = |key: &str| annotations[key].as_str().unwrap_or_default();
    (text(&format!("{ANNOTATION_PREFIX}aws-weight")), text("namespacemigration.io/stamp"))
}

/// The first write on a cluster that took users back.
pub fn rollback_write<'a>(writes: &'a [Write], cluster: &str) -> Option<&'a Write> {
    let weight = if cluster == "source" { "100" } else { "0" };
    writes.iter().find(|write| {
        let (found, stamp) = written(write);
        write.cluster == cluster && found == weight && stamp.contains("RollingBack")
    })
}
