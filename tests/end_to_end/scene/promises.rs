//! What holds in every run, whatever happens: read from the whole recording of both API servers.

use anyhow::{Error, Result, bail};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use rig::deploy::OPERATOR_NAMESPACE;
use rig::recorder::{Request, Write};
use rig::setup::ANNOTATION_PREFIX;
use rig::weight_history::{
    contains_text, never_both_zero, share_never_above, target_never_raised_after_rollback, weight_history,
};

use super::{Migration, has_object, is_moving, recorder};

impl Migration<'_> {
    /// Fails unless, since the namespace was created, the weights were never both 0, the target was never raised behind a
    /// rollback's stamp nor above its step, no Secret value is anywhere, and the operator wrote nowhere else.
    pub async fn keeps_its_promises(&self) -> Result<()> {
        let writes = self.writes_here().await?;
        // What CI annotates before the migration's first write is nobody's promise: DNS refuses it beside a simple record.
        let history = weight_history(&writes, self.name(), ANNOTATION_PREFIX);
        let first = history.iter().position(|point| !point.source_stamps.is_empty() || !point.target_stamps.is_empty());
        let history = &history[first.unwrap_or(history.len())..];
        let promises = [
            never_both_zero(history),
            target_never_raised_after_rollback(history),
            share_never_above(history, &self.steps()),
        ];
        for promise in promises {
            promise.map_err(|broken| Error::msg(format!("{}: {broken}", self.name())))?;
        }
        self.tells_nobody(&self.sample.canary()).await?;
        nowhere_else(&self.writes_of_operators().await?)
    }

    async fn writes_of_operators(&self) -> Result<Vec<Request>> {
        let (source, target) = (recorder(self.scene.world.source()), recorder(self.scene.world.target()));
        let (since, user) = (self.since, operators());
        let (source, target) =
            futures::try_join!(source.writes_by(since[0], &user), target.writes_by(since[1], &user))?;
        Ok([source, target].concat())
    }

    /// Fails if the value is in the log, the metrics, an event or any status or Ingress that was ever written.
    pub async fn tells_nobody(&self, value: &str) -> Result<()> {
        let operator = self.scene.operator.lock().await;
        let metrics = if operator.is_running() { operator.metrics().await? } else { String::new() };
        let mut places = vec![("log".to_owned(), operator.log()?), ("metrics".to_owned(), metrics)];
        drop(operator);
        let events: Api<Event> = Api::namespaced(self.scene.home().await?.admin_client()?, self.object_namespace());
        places.push(("events".to_owned(), serde_json::to_string(&events.list(&ListParams::default()).await?)?));
        let writes = self.writes_here().await?.into_iter().filter(|write| write.namespace == self.name());
        places.extend(writes.map(|write| {
            let bodies = format!("{} {}", write.request_object, write.response_object);
            (write.summary(), bodies)
        }));
        contains_text(places, value).map_err(Error::msg)
    }
}

/// The identities of the operators are shared by all scenes, and so are the namespaces that they may write to.
fn nowhere_else(writes: &[Request]) -> Result<()> {
    let is_lease = |write: &Request| write.resource == "leases" && write.namespace == OPERATOR_NAMESPACE;
    let about_object = |write: &Request| {
        let reports = matches!(write.resource.as_str(), "namespacemigrations" | "events");
        reports && has_object(&write.namespace)
    };
    let is_expected = |write: &Request| {
        is_moving(&write.namespace) || about_object(write) || is_about_a_pair(write) || is_lease(write)
    };
    let stray = writes.iter().find(|write| !is_expected(write));
    stray.map_or(Ok(()), |write| bail!("a write outside of every migration's namespace: {write:?}"))
}

/// The status and the finalizer of a `ClusterPair`, and the events about it, which are in the namespace `default`: a pair is in none.
fn is_about_a_pair(write: &Request) -> bool {
    let pair = write.resource == "clusterpairs" && write.verb == "patch";
    pair || (write.resource == "events" && write.namespace == "default")
}

/// Whether an operator wrote it, under any of the identities that it has: nobody else has a `ServiceAccount` beside it.
pub fn is_by_operator(write: &Write) -> bool {
    write.user.starts_with(&operators())
}

/// How the users begin under which operators are known.
fn operators() -> String {
    format!("system:serviceaccount:{OPERATOR_NAMESPACE}:")
}
