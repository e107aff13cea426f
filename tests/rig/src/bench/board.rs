//! Every migration's status as it is now, kept current by one watch.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use futures::StreamExt as _;
use kube::api::DynamicObject;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::fleet::kind;
use crate::setup::LABEL;

/// Statuses by the names of their migrations.
type Statuses = BTreeMap<String, Value>;

/// Dropping it ends the watch.
pub struct Board {
    statuses: watch::Receiver<Statuses>,
    task: JoinHandle<()>,
}

impl Board {
    /// Follows the migrations of one setup.
    pub fn follow(home: Client, setup: &str) -> Self {
        let (sender, statuses) = watch::channel(Statuses::new());
        let config = watcher::Config::default().labels(&format!("{LABEL}={setup}"));
        let events = watcher(Api::<DynamicObject>::all_with(home, &kind()), config).default_backoff();
        let task = tokio::spawn(events.for_each(move |event| {
            match event {
                Ok(Event::Apply(object) | Event::InitApply(object)) => {
                    let (name, status) = (object.name_any(), object.data["status"].clone());
                    sender.send_modify(|statuses| drop(statuses.insert(name, status)));
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the watch of the migrations"),
            }
            std::future::ready(())
        }));
        Self { statuses, task }
    }

    /// How many of these migrations are so now.
    pub fn count(&self, names: &[String], is_so: impl Fn(&Value) -> bool) -> usize {
        let statuses = self.statuses.borrow();
        names.iter().filter(|name| statuses.get(*name).is_some_and(&is_so)).count()
    }

    /// Waits until all of them are so; fails with the first that is not when the time is over.
    pub async fn until(
        &self,
        names: &[String],
        what: &str,
        limit: Duration,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        let (mut statuses, deadline) = (self.statuses.clone(), Instant::now() + limit);
        loop {
            let missing = {
                let statuses = statuses.borrow_and_update();
                let missing = names.iter().find(|name| !statuses.get(*name).is_some_and(&is_so));
                missing.map(|name| (name.clone(), statuses.get(name).cloned().unwrap_or_default()))
            };
            let Some((name, status)) = missing else { return Ok(()) };
            if tokio::time::timeout_at(deadline, statuses.changed()).await.is_err() {
                let so = self.count(names, &is_so);
                let (stage, message) = (&status["stage"], &status["message"]);
                bail!("{what}: {so} of {} within {} s; {name} is in {stage}: {message}", names.len(), limit.as_secs());
            }
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Healthy at its ceiling or in a hold: nothing is being changed, and it is watched.
pub fn soaks(status: &Value) -> bool {
    status["step"]["phase"] == "Holding"
        && status["health"] == "Pass"
        && matches!(status["reason"].as_str(), Some("AtCeiling" | "HoldingStep"))
}

/// Soaks with this share on the target.
pub fn soaks_at(status: &Value, percent: i32) -> bool {
    soaks(status) && status["weight"] == percent
}

/// Whether it is in this stage.
pub fn is_in(status: &Value, stage: &str) -> bool {
    status["stage"] == stage
}
