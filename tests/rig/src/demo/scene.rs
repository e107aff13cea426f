//! What is followed of one migration: its status, the weights on both sides, and its users.

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

use super::visitors::{Door, Visitors};
use super::weights::{Weights, weight};
use crate::setup::Setup;
use crate::world::World;

/// One migration as it can be followed. Dropping it ends the watches and sends the users home.
pub struct Scene {
    /// The migration's name, which is also its namespace's.
    pub name: String,
    /// The status as last seen; `Null` before there is one.
    pub status: watch::Receiver<Value>,
    /// The weights as last seen.
    pub weights: watch::Receiver<Weights>,
    /// Who uses the service all the time.
    pub visitors: Visitors,
    _watches: JoinSet<()>,
}

impl Scene {
    /// Follows the migration `name`, which need not exist yet, and lets users in.
    pub fn open(world: &World, setup: &Setup, name: &str) -> Result<Self> {
        let (source, target) = (world.source().admin_client()?, world.target().admin_client()?);
        let (status_sender, status) = watch::channel(Value::Null);
        let (sender, weights) = watch::channel(Weights::default());
        let mut watches = JoinSet::new();
        let migrations = Api::namespaced_with(source.clone(), name, &kind());
        watches.spawn(follow(migrations, name.to_owned(), move |migration: Option<DynamicObject>| {
            let status = migration.map(|migration| migration.data["status"].clone()).unwrap_or_default();
            status_sender.send_replace(status);
        }));
        let to_source = sender.clone();
        watches.spawn(follow_weight(source, name.to_owned(), move |weight| {
            to_source.send_modify(|all| all.source = weight);
        }));
        watches.spawn(follow_weight(target, name.to_owned(), move |weight| {
            sender.send_modify(|all| all.target = weight);
        }));
        let door = Door { user: setup.user()?, host: format!("{name}.example.com") };
        let sides = [setup.source_balancer().https(), setup.target_balancer().https()];
        let visitors = Visitors::arrive(door, sides, weights.clone());
        Ok(Self { name: name.to_owned(), status, weights, visitors, _watches: watches })
    }
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
