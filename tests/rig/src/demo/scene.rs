//! What is followed of one migration: its status, the weights written and served, and its users.

use std::time::{Duration, SystemTime};

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use anyhow::Result;

use super::bar::Traffic;
use crate::population::{self, Family, Habit, Population};
use crate::route53::journal::Served;
use crate::route53::record::Kind;
use crate::route53::zone::Zone;
use crate::setup::Setup;
use crate::weights::{Weights, weight};
use crate::world::World;

/// The latest requests are those of this time.
const LATEST: Duration = Duration::from_secs(2);

/// One migration as it can be followed. Dropping it ends the watches and sends the users home.
pub struct Scene {
    /// The migration's name, which is also its namespace's.
    pub name: String,
    /// The host that its users ask for.
    pub host: String,
    /// The status as last seen; `Null` before there is one.
    pub status: watch::Receiver<Value>,
    /// The weights on the Ingresses as last seen.
    pub written: watch::Receiver<Weights>,
    /// Who uses the service all the time.
    pub people: Population,
    zone: Zone,
    _watches: JoinSet<()>,
}

impl Scene {
    /// Follows the migration `name`, which need not exist yet, and lets users in once DNS knows the service.
    pub async fn open(world: &World, setup: &Setup, name: &str) -> Result<Self> {
        let (zone, host) = (world.zone().clone(), format!("{name}.example.com"));
        let people = Population::settle(world, setup, &users(&host)).await?;
        let (mut watches, name) = (JoinSet::new(), name.to_owned());
        let status = follow_status(world.source().admin_client()?, &name, &mut watches);
        let clusters = [world.source().admin_client()?, world.target().admin_client()?];
        let written = follow_weights(clusters, &name, &mut watches);
        Ok(Self { name, host, status, written, people, zone, _watches: watches })
    }

    /// Where its users are, and where they should be.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.people.counts_since(SystemTime::now() - LATEST),
            written: *self.written.borrow(),
            served: Weights::served(&self.zone, &self.host),
        }
    }

    /// What name servers showed over time of a kind, A or AAAA.
    pub fn served(&self, kind: Kind) -> Vec<Served> {
        self.zone.weights(&self.host, kind)
    }
}

/// Forty users with two requests a second each, who ask for addresses of both kinds. One of ten remembers an answer for 5 s, whatever
/// its TTL.
fn users(host: &str) -> population::Options {
    population::Options {
        clients: 40,
        pace: Duration::from_millis(500),
        habits: vec![(Habit::RemembersFor(Duration::from_secs(5)), 10)],
        family: Family::Both,
        ..population::Options::new(host)
    }
}

fn follow_status(client: Client, name: &str, watches: &mut JoinSet<()>) -> watch::Receiver<Value> {
    let (sender, status) = watch::channel(Value::Null);
    let migrations = Api::namespaced_with(client, name, &kind());
    watches.spawn(follow(migrations, name.to_owned(), move |migration: Option<DynamicObject>| {
        let status = migration.map(|migration| migration.data["status"].clone()).unwrap_or_default();
        sender.send_replace(status);
    }));
    status
}

fn follow_weights([source, target]: [Client; 2], name: &str, watches: &mut JoinSet<()>) -> watch::Receiver<Weights> {
    let (sender, weights) = watch::channel(Weights::default());
    let to_source = sender.clone();
    watches.spawn(follow_weight(source, name.to_owned(), move |weight| {
        to_source.send_modify(|all| all.source = weight);
    }));
    watches.spawn(follow_weight(target, name.to_owned(), move |weight| {
        sender.send_modify(|all| all.target = weight);
    }));
    weights
}

fn kind() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("namespacemigration.io", "v1alpha1", "NamespaceMigration"))
}

async fn follow_weight(client: Client, name: String, tell: impl Fn(Option<i32>) + Send) {
    let tell = move |ingress: Option<Ingress>| tell(ingress.as_ref().and_then(weight));
    follow(Api::namespaced(client, &name), name, tell).await;
}

/// Tells of one object as it is now, and after each change.
async fn follow<K>(api: Api<K>, name: String, tell: impl Fn(Option<K>) + Send)
where
    K: kube::Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let events = watch_object(api, &name).inspect_err(|error| tracing::warn!(%error, "a watch of the demo"));
    events
        .for_each(|event| {
            event.into_iter().for_each(&tell);
            std::future::ready(())
        })
        .await;
}
