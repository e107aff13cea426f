//! A migration that does not exist yet: what the service team has in both clusters, and what the spec says.

use anyhow::{Context as _, Result};
use kube::Api;
use kube::api::PostParams;
use namespace_migration::api::NamespaceMigration;
use rig::sample_namespace::{SECRET, SampleNamespace};
use rig::setup::{Home, LABEL};
use serde_json::{Value, json};

use super::{LIMIT, Migration, Scene, holds_step, marks, remember_moving, remember_object};

/// What will be there when it begins.
pub struct Draft<'a> {
    scene: &'a Scene,
    sample: SampleNamespace,
    on_target: Option<SampleNamespace>,
    target_ingress: bool,
    delegate: Option<Box<str>>,
    spec: Value,
}

impl<'a> Draft<'a> {
    pub(super) fn new(scene: &'a Scene, name: &str) -> Self {
        let sample = scene.setup.sample(name);
        let spec = quick_spec(scene.setup.name());
        Self { scene, sample, on_target: None, target_ingress: false, delegate: None, spec }
    }

    /// Another value at this JSON pointer of the spec.
    #[must_use]
    pub fn spec(mut self, pointer: &str, value: Value) -> Self {
        let (parent, key) = pointer.rsplit_once('/').expect("a JSON pointer begins with a slash");
        let parent =
            self.spec.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}: its parent is not in the spec"));
        parent[key] = value;
        self
    }

    /// The steps of the shift, as (weight, hold).
    #[must_use]
    pub fn steps(self, steps: &[(i32, &str)]) -> Self {
        let steps = steps.iter().map(|(weight, hold)| json!({"weight": weight, "hold": hold}));
        let steps = Value::Array(steps.collect());
        self.spec("/traffic", json!({ "steps": steps }))
    }

    /// A service that is not the usual one, on both sides.
    #[must_use]
    pub fn service(mut self, change: impl FnOnce(SampleNamespace) -> SampleNamespace) -> Self {
        self.sample = change(self.sample);
        self
    }

    /// What CI deployed to the target differs.
    #[must_use]
    pub fn on_target(mut self, change: impl FnOnce(SampleNamespace) -> SampleNamespace) -> Self {
        self.on_target = Some(change(self.sample.clone()));
        self
    }

    /// Its Ingress has a protection that is not copied to the target, which a person would have to accept: the preflight is blocked.
    #[must_use]
    pub fn blocked(self) -> Self {
        self.service(|sample| {
            sample.with_annotation("nginx.ingress.kubernetes.io/auth-url", "https://login.example.com/")
        })
    }

    /// CI has deployed the Ingress to the target as well.
    #[must_use]
    pub fn with_ingress_on_target(mut self) -> Self {
        self.target_ingress = true;
        self
    }

    /// The migration object is in the delegate's namespace, which exists, and names the one that moves.
    #[must_use]
    pub fn by_delegate(mut self, namespace: &str) -> Self {
        self.delegate = Some(namespace.into());
        let moves = json!(self.sample.name);
        self.spec("/namespace", moves)
    }

    /// Creates the service on both sides; it is ready on the source. The migration itself is not there.
    pub async fn deploy(self) -> Result<Migration<'a>> {
        let Self { scene, sample, on_target, target_ingress, delegate, spec } = self;
        let since = marks(scene.world).await?;
        let (source, target) = (scene.world.source().admin_client()?, scene.world.target().admin_client()?);
        let on_target = on_target.unwrap_or_else(|| sample.clone());
        futures::try_join!(sample.create_on_source(&source), on_target.create_on_target(&target))?;
        if target_ingress {
            on_target.create_ingress(&target).await?;
        }
        if scene.home == Home::Third {
            let namespace = serde_json::from_value(json!({"metadata": {"name": sample.name}}))?;
            let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(scene.home().await?.admin_client()?);
            namespaces.create(&PostParams::default(), &namespace).await.context("creating the namespace at home")?;
        }
        sample.wait_until_ready(&source, LIMIT).await?;
        remember_moving(&sample.name);
        Ok(Migration { scene, sample, spec, delegate, since })
    }

    /// [`Self::begin`], and it holds 10 percent for longer than a test takes.
    pub async fn held(self) -> Result<Migration<'a>> {
        let migration = self.steps(&[(10, "10m"), (100, "1s")]).begin().await?;
        migration.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
        Ok(migration)
    }

    /// [`Self::deploy`] and [`Migration::begin`].
    pub async fn begin(self) -> Result<Migration<'a>> {
        let migration = self.deploy().await?;
        migration.begin().await?;
        Ok(migration)
    }
}

impl Migration<'_> {
    /// Creates the `NamespaceMigration`.
    pub async fn begin(&self) -> Result<()> {
        self.begin_as(self.api().await?).await
    }

    /// The same by somebody else's client.
    pub async fn begin_as(&self, api: Api<NamespaceMigration>) -> Result<()> {
        let object: NamespaceMigration = serde_json::from_value(json!({
            "apiVersion": "namespacemigration.io/v1alpha1",
            "kind": "NamespaceMigration",
            "metadata": {"name": self.name(), "labels": {LABEL: self.scene.setup.name()}},
            "spec": self.spec,
        }))?;
        remember_object(self.object_namespace());
        let created = api.create(&PostParams::default(), &object).await;
        created.with_context(|| format!("creating NamespaceMigration {}", self.name())).map(|_| ())
    }

    /// Another migration of the same namespace: its own, or a delegate's. Nothing is created.
    pub fn rival(&self, delegate: Option<&str>) -> Self {
        let mut spec = self.spec.clone();
        spec["namespace"] = delegate.map_or(Value::Null, |_| json!(self.name()));
        let (sample, delegate) = (self.sample.clone(), delegate.map(Into::into));
        Self { scene: self.scene, sample, spec, delegate, since: self.since }
    }

    /// The weights of `spec.traffic.steps`.
    pub fn steps(&self) -> Vec<i32> {
        let steps = self.spec["traffic"]["steps"].as_array().into_iter().flatten();
        steps.filter_map(|step| i32::try_from(step["weight"].as_i64()?).ok()).collect()
    }
}

/// A careful migration in a few seconds.
fn quick_spec(pair: &str) -> Value {
    json!({
        "clusterPair": pair,
        "preflight": {"acknowledge": [{"check": "AnnotationOnly", "reason": "the test waits"}]},
        "secrets": {"include": [SECRET]},
        "probes": {"interval": "200ms", "timeout": "2s", "successThreshold": 2, "failureThreshold": 2},
        "traffic": {"steps": [
            {"weight": 10, "hold": "1s"}, {"weight": 50, "hold": "1s"}, {"weight": 100, "hold": "1s"},
        ]},
        "bake": {"for": "1s"},
    })
}
