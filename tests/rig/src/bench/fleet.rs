//! Many namespaces on both clusters, each with a migration.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::board::Board;
use crate::setup::{LABEL, Setup};
use crate::world::World;

/// Namespaces that are created at a time, and specs that are changed at a time.
const AT_A_TIME: usize = 16;
const READY_LIMIT: Duration = Duration::from_secs(120);

/// The migrations of one setup.
pub struct Fleet<'a> {
    world: &'a World,
    setup: &'a Setup,
    source: Client,
    target: Client,
    /// How they stand.
    pub board: Board,
}

/// The kind `NamespaceMigration`.
pub fn kind() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("namespacemigration.io", "v1alpha1", "NamespaceMigration"))
}

impl<'a> Fleet<'a> {
    /// No migrations yet.
    pub fn of(world: &'a World, setup: &'a Setup) -> Result<Self> {
        let (source, target) = (world.source().admin_client()?, world.target().admin_client()?);
        let board = Board::follow(source.clone(), setup.name());
        Ok(Self { world, setup, source, target, board })
    }

    /// The setup that its operator works in.
    pub fn setup(&self) -> &'a Setup {
        self.setup
    }

    /// The world that it lives in.
    pub fn world(&self) -> &'a World {
        self.world
    }

    /// The users' host of a namespace.
    pub fn host(&self, name: &str) -> String {
        self.setup.sample(name).hosts()[0].clone()
    }

    /// Creates the namespaces on both clusters, as CI and the service teams do, and waits until the Pods of the source are ready.
    pub async fn deploy(&self, names: &[String]) -> Result<()> {
        for_each(names, |name| async move {
            let sample = self.setup.sample(&name).with_replicas(1).without_need_of_secret();
            sample.create_on_source(&self.source).await?;
            sample.create_on_target(&self.target).await?;
            sample.wait_until_ready(&self.source, READY_LIMIT).await
        })
        .await
    }

    /// Creates the migrations.
    pub async fn begin(&self, names: &[String], spec: &Value) -> Result<()> {
        for_each(names, |name| async move {
            let object: DynamicObject = serde_json::from_value(json!({
                "apiVersion": "namespacemigration.io/v1alpha1",
                "kind": "NamespaceMigration",
                "metadata": {"name": name, "labels": {LABEL: self.setup.name()}},
                "spec": spec,
            }))?;
            let created = self.migrations(&name).create(&PostParams::default(), &object).await;
            created.with_context(|| format!("creating NamespaceMigration {name}")).map(drop)
        })
        .await
    }

    /// Changes the specs of all of them.
    pub async fn edit(&self, names: &[String], change: &Value) -> Result<()> {
        let change = json!({ "spec": change });
        let (change, params) = (&Patch::Merge(change), &PatchParams::default());
        for_each(names, |name| async move {
            let edited = self.migrations(&name).patch(&name, params, change).await;
            edited.with_context(|| format!("editing NamespaceMigration {name}")).map(drop)
        })
        .await
    }

    fn migrations(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.source.clone(), namespace, &kind())
    }
}

/// Does the work for each, a few at a time.
async fn for_each<F>(names: &[String], work: impl Fn(String) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    stream::iter(names.iter().cloned().map(work)).buffer_unordered(AT_A_TIME).try_collect().await
}

/// `prefix-000` and so on, from the first number up to the second one.
pub fn names(prefix: &str, from: usize, to: usize) -> Vec<String> {
    (from..to).map(|number| format!("{prefix}-{number:03}")).collect()
}
