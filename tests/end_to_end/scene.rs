//! The harness: a [`Scene`] is one operator with its surroundings, a [`Migration`] is one namespace that it moves.
//!
//! Both clusters are recorded from before the namespace exists, and a wait that fails tells status, events and the operator's log.

mod account;
mod asking;
mod draft;
mod looks;
mod promises;
mod told;
mod visited;
mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use kube_runtime::wait::await_condition;
use namespace_migration::api::status::StepPhase;
use namespace_migration::api::{ClusterPair, NamespaceMigration, Stage};
use rig::control_plane::{ControlPlane, wait_until};
use rig::kubectl::Kubectl;
use rig::operator::Operator;
use rig::recorder::{Mark, Recorder, Write, merge};
use rig::sample_namespace::SampleNamespace;
use rig::setup::{ANNOTATION_PREFIX, Dns, Home, Options, Setup, Verification};
use rig::weight_history::{WeightPoint, weight_history};
use rig::world::World;
use serde_json::{Value, json};

pub use asking::PERSON;
pub use draft::Draft;
pub use promises::is_by_operator;
pub use told::Told;
pub use visited::{Visited, users};
pub use watching::{rollback_write, written};

/// How long anything may take on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(300);

/// Namespaces of this process that a migration was created for: the only ones that an operator may write to.
static MOVING: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Namespaces of this process that hold a migration object: an operator may write its status and tell events there.
static WITH_OBJECTS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// One operator with its surroundings.
pub struct Scene {
    pub world: &'static World,
    pub setup: Box<Setup>,
    /// Shared with the hooks that kill it.
    pub operator: Arc<tokio::sync::Mutex<Operator>>,
    home: Home,
}

/// One namespace that a scene's operator moves.
pub struct Migration<'a> {
    pub scene: &'a Scene,
    pub sample: SampleNamespace,
    spec: Value,
    /// The delegate's namespace that holds the migration object, if it is not its own.
    delegate: Option<Box<str>>,
    /// Its namespace was not there before.
    since: [Mark; 2],
}

/// A setup whose DNS is read from Route 53, as external-dns writes it: within a few seconds.
pub fn quick(name: &str) -> Options {
    Options::new(name)
}

/// A setup with a zone and two external-dns of its own, whose operator reads Route 53.
pub fn with_own_dns(name: &str) -> Options {
    let (own_dns, verification) = (Dns::own(), Verification::Route53);
    Options { dns: ["2s", "300ms", "1s"], verification, own_dns, ..Options::new(name) }
}

/// As [`quick`], with a fault proxy before each API server.
pub fn proxied(name: &str) -> Options {
    Options { proxied: true, ..quick(name) }
}

/// A setup that nobody reads DNS for: it is believed to follow in 600 ms.
pub fn unverified(name: &str) -> Options {
    Options { dns: ["200ms"; 3], verification: Verification::AnnotationOnly, ..quick(name) }
}

impl Scene {
    /// Starts everything; nothing moves yet.
    pub async fn open(options: Options) -> Result<Self> {
        Self::open_in(World::shared().await?, options).await
    }

    /// The same in clusters that this scene may stop.
    pub async fn open_in(world: &'static World, options: Options) -> Result<Self> {
        let home = options.home;
        let setup = Box::new(Box::pin(Setup::start(world, options)).await?);
        let operator = Arc::new(tokio::sync::Mutex::new(setup.start_operator(world).await?));
        Ok(Self { world, setup, operator, home })
    }

    /// A namespace to be moved, as a draft: `name` is that of the namespace and of all that is in it.
    pub fn migration(&self, name: &str) -> Draft<'_> {
        Draft::new(self, name)
    }

    /// The cluster with the migration objects.
    pub async fn home(&self) -> Result<&ControlPlane> {
        match self.home {
            Home::Source => Ok(self.world.source()),
            Home::Third => self.world.home().await,
            Home::Target => Ok(self.world.target()),
        }
    }

    /// The pairs, as the administrator of the home cluster sees them.
    pub async fn pairs(&self) -> Result<Api<ClusterPair>> {
        Ok(Api::all(self.home().await?.admin_client()?))
    }

    /// One more operator of the same setup, that shares the first one's Lease if there is one.
    pub async fn another_operator(&self, name: &str) -> Result<Operator> {
        let options = self.setup.operator_options(Some(self.setup.selector()));
        Operator::start(self.world.folder(), &rig::operator::Options { name: name.to_owned(), ..options }).await
    }

    /// kubectl as the administrator of the home cluster.
    pub async fn kubectl(&self) -> Result<Kubectl> {
        Kubectl::of(self.home().await?, self.world.tools())
    }

    /// SIGKILL, and a new process that is ready.
    pub async fn crash_and_restart(&self) -> Result<()> {
        self.operator.lock().await.restart().await
    }

    /// What the operator has logged.
    pub async fn log(&self) -> Result<String> {
        self.operator.lock().await.log()
    }
}

impl Migration<'_> {
    /// The name of the namespace that moves, and of the migration.
    pub fn name(&self) -> &str {
        &self.sample.name
    }

    /// The host that users ask for.
    pub fn host(&self) -> &str {
        &self.sample.hosts()[0]
    }

    /// The namespace of the migration object.
    pub fn object_namespace(&self) -> &str {
        self.delegate.as_deref().unwrap_or(self.name())
    }

    /// The migrations of the object's namespace.
    pub async fn api(&self) -> Result<Api<NamespaceMigration>> {
        Ok(Api::namespaced(self.scene.home().await?.admin_client()?, self.object_namespace()))
    }

    /// The migration as it is now.
    pub async fn now(&self) -> Result<NamespaceMigration> {
        let name = self.name();
        self.api().await?.get(name).await.with_context(|| format!("reading NamespaceMigration {name}"))
    }

    /// Watches the migration until it is as wanted, and returns it. What goes by between two states is not missed.
    pub async fn until(&self, what: &str, wanted: impl Fn(&NamespaceMigration) -> bool) -> Result<NamespaceMigration> {
        let seen = |found: Option<&NamespaceMigration>| found.is_some_and(&wanted);
        let waited = tokio::time::timeout(LIMIT, await_condition(self.api().await?, self.name(), seen)).await;
        match waited {
            Ok(found) => {
                let found = found?.with_context(|| format!("NamespaceMigration {} is gone", self.name()))?;
                self.keep_looks(&found).await?;
                Ok(found)
            }
            Err(_) => Err(self.account(&format!("{what} did not happen within {LIMIT:?}")).await),
        }
    }

    /// Waits until it is in this stage.
    pub async fn stage(&self, stage: Stage) -> Result<NamespaceMigration> {
        self.until(&format!("stage {stage}"), |found| stage_of(found) == stage).await
    }

    /// Waits until nothing happens any more, and fails unless it ended in this stage.
    pub async fn ends(&self, stage: Stage) -> Result<NamespaceMigration> {
        let ended = self.until("the end", |found| condition(found, "Finished") == "True").await?;
        if stage_of(&ended) != stage {
            return Err(self.account(&format!("it ended in {}, expected {stage}", stage_of(&ended))).await);
        }
        Ok(ended)
    }

    /// Changes the spec by a merge patch, as a person does.
    pub async fn change(&self, spec: Value) -> Result<NamespaceMigration> {
        let patch = Patch::Merge(serde_json::json!({ "spec": spec }));
        let params = PatchParams { field_manager: Some(PERSON.to_owned()), ..PatchParams::default() };
        Ok(self.api().await?.patch(self.name(), &params, &patch).await?)
    }

    /// The weights now, as annotated: source, target.
    pub async fn weights(&self) -> Result<[Option<i32>; 2]> {
        let (source, target) = (self.scene.world.source().admin_client()?, self.scene.world.target().admin_client()?);
        let (source, target) = futures::try_join!(self.ingress(source), self.ingress(target))?;
        Ok([source, target].map(|found| annotation(&found?, "aws-weight")?.parse().ok()))
    }

    /// The Ingress in one cluster.
    pub async fn ingress(&self, client: Client) -> Result<Option<Ingress>> {
        Ok(Api::namespaced(client, self.name()).get_opt(self.name()).await?)
    }

    /// Every write to both clusters since its namespace was created.
    pub async fn writes(&self) -> Result<Vec<Write>> {
        let (source, target) = (recorder(self.scene.world.source()), recorder(self.scene.world.target()));
        let (source, target) = futures::try_join!(source.since(self.since[0]), target.since(self.since[1]))?;
        Ok(merge([source, target]))
    }

    /// Those that mention the namespace that moves: quicker, where nothing else is of interest.
    pub async fn writes_here(&self) -> Result<Vec<Write>> {
        let (source, target) = (recorder(self.scene.world.source()), recorder(self.scene.world.target()));
        let [since_source, since_target] = self.since;
        let (source, target) =
            futures::try_join!(source.about(since_source, self.name()), target.about(since_target, self.name()))?;
        Ok(merge([source, target]))
    }

    /// All weights since its namespace was created.
    pub async fn history(&self) -> Result<Vec<WeightPoint>> {
        Ok(weight_history(&self.writes_here().await?, self.name(), ANNOTATION_PREFIX))
    }

    /// Waits until an event with this reason is told: events come after the status.
    pub async fn event(&self, reason: &str) -> Result<()> {
        self.event_says(reason, "").await
    }

    /// The same of one that says this.
    pub async fn event_says(&self, reason: &str, words: &str) -> Result<()> {
        let events: Api<Event> = Api::namespaced(self.scene.home().await?.admin_client()?, self.object_namespace());
        let told = || async {
            let events = events.list(&ListParams::default()).await;
            let is_it = |event: &Event| {
                event.reason.as_deref() == Some(reason) && event.note.as_deref().unwrap_or_default().contains(words)
            };
            events.is_ok_and(|events| events.iter().any(is_it))
        };
        wait_until(&format!("an event {reason} {words:?} about {}", self.name()), LIMIT, told).await
    }

    /// The different pairs of weights that were ever written, in their order: source, target.
    pub async fn sequence(&self) -> Result<Vec<[Option<i32>; 2]>> {
        let history = self.history().await?;
        let weights =
            history.iter().map(|point| [&point.source, &point.target].map(|weights| weights.get(self.name()).copied()));
        let mut sequence: Vec<_> = weights.collect();
        sequence.dedup();
        Ok(sequence)
    }

    /// Asks both load balancers for `/` as users do, by HTTP and HTTPS: fails unless each answers with 200.
    pub async fn both_sides_answer(&self) -> Result<()> {
        let user = self.scene.setup.user()?;
        for balancer in [self.scene.setup.source_balancer(), self.scene.setup.target_balancer()] {
            let plain = user.get(balancer.http(), self.host(), "/").await?;
            let secure = user.get_securely(balancer.https(), self.host(), "/").await?;
            anyhow::ensure!((plain.status, secure.status) == (200, 200), "{plain:?}, {secure:?}");
        }
        Ok(())
    }
}

/// Where a migration is.
pub fn stage_of(migration: &NamespaceMigration) -> Stage {
    migration.status.as_ref().map(|status| status.stage).unwrap_or_default()
}

/// What it waits for, in one word.
pub fn reason_of(migration: &NamespaceMigration) -> &str {
    migration.status.as_ref().map(|status| status.reason.as_str()).unwrap_or_default()
}

/// Why it goes or went back: the word and the sentence.
pub fn cause_of(migration: &NamespaceMigration) -> (&str, &str) {
    let cause = migration.status.as_ref().and_then(|status| status.cause.as_ref());
    cause.map(|cause| (cause.reason.as_str(), cause.message.as_str())).unwrap_or_default()
}

/// The status of a condition: `True`, `False` or `Unknown`; empty when there is none.
pub fn condition<'a>(migration: &'a NamespaceMigration, kind: &str) -> &'a str {
    let conditions = migration.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().find(|found| found.type_ == kind).map(|found| found.status.as_str()).unwrap_or_default()
}

/// Its attempt. 0 before it has a status.
pub fn attempt_of(migration: &NamespaceMigration) -> i32 {
    migration.status.as_ref().map(|status| status.attempt).unwrap_or_default()
}

/// Whether it holds the step of this number, from 1.
pub fn holds_step(migration: &NamespaceMigration, number: i32) -> bool {
    reason_of(migration) == "HoldingStep" && phase_of_step(migration, number).is_some()
}

/// How far the step of this number is, from 1. None while it is in another one.
pub fn phase_of_step(migration: &NamespaceMigration, number: i32) -> Option<StepPhase> {
    let step = migration.status.as_ref().and_then(|status| status.step.as_ref())?;
    (step.index + 1 == number).then_some(step.phase)
}

/// A pair goes at once, as when a person takes the finalizer off: those under way by it are left without one.
pub async fn take_away(pairs: &Api<ClusterPair>, name: &str) -> Result<()> {
    pairs.delete(name, &DeleteParams::default()).await?;
    let nobody_holds_it = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    match pairs.patch(name, &PatchParams::default(), &nobody_holds_it).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        taken => Ok(taken.map(drop)?),
    }
}

/// A pair that was deleted is there again, as it was.
pub async fn create_again(pairs: &Api<ClusterPair>, mut pair: ClusterPair) -> Result<()> {
    pair.metadata = ObjectMeta { name: pair.metadata.name, labels: pair.metadata.labels, ..ObjectMeta::default() };
    pairs.create(&PostParams::default(), &pair).await?;
    Ok(())
}

/// One of external-dns's annotations.
pub fn annotation<'a>(ingress: &'a Ingress, name: &str) -> Option<&'a str> {
    Some(ingress.metadata.annotations.as_ref()?.get(&format!("{ANNOTATION_PREFIX}{name}"))?.as_str())
}

async fn marks(world: &World) -> Result<[Mark; 2]> {
    Ok([recorder(world.source()).mark().await?, recorder(world.target()).mark().await?])
}

/// One for each log: what one test has read of it the others need not read again.
fn recorder(cluster: &ControlPlane) -> Recorder {
    static OPEN: Mutex<BTreeMap<PathBuf, Recorder>> = Mutex::new(BTreeMap::new());
    let log = cluster.audit_log();
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.entry(log.clone()).or_insert_with(|| Recorder::open(cluster.name(), log)).clone()
}

fn remember_moving(namespace: &str) {
    MOVING.lock().unwrap_or_else(PoisonError::into_inner).insert(namespace.to_owned());
}

fn is_moving(namespace: &str) -> bool {
    MOVING.lock().unwrap_or_else(PoisonError::into_inner).contains(namespace)
}

/// From now on an operator may report about migration objects in this namespace.
pub fn remember_object(namespace: &str) {
    WITH_OBJECTS.lock().unwrap_or_else(PoisonError::into_inner).insert(namespace.to_owned());
}

fn has_object(namespace: &str) -> bool {
    WITH_OBJECTS.lock().unwrap_or_else(PoisonError::into_inner).contains(namespace)
}
