//! Pods wait for the Secrets and `ConfigMaps` that they name, as with a kubelet.
//!
//! kwok makes a Pod ready without looking at what it names. Here a Pod is shown as a kubelet shows it
//! (`CreateContainerConfigError`, or a volume that is not mounted) until everything is there; only then it gets the
//! annotation that kwok's stage for readiness waits for. As with a kubelet, a Pod that runs stays ready when a Secret
//! goes away later.

mod missing;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::time::Instant;

use self::missing::{Kind, Missing, Present, first_missing};

/// What kwok's stage `pod-ready` waits for; the same text stands in `config/kwok-stages.yaml`.
const ANNOTATION: &str = "rig.namespacemigration.io/references";
const PRESENT: &str = "present";
/// After a refused write; a dead API server comes back with a new list, which repeats everything.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Runs until it is aborted.
pub(super) async fn watch(client: Client) {
    let mut pods = events::<Pod>(&client);
    let mut secrets = events::<Secret>(&client);
    let mut config_maps = events::<ConfigMap>(&client);
    let mut state = State { client, present: Present::default(), waiting: BTreeMap::new(), retry_at: None };
    loop {
        tokio::select! {
            Some(event) = pods.next() => state.pod(event).await,
            Some(event) = secrets.next() => state.referent(Kind::Secret, event, secret_keys).await,
            Some(event) = config_maps.next() => state.referent(Kind::ConfigMap, event, config_map_keys).await,
            () = at(state.retry_at) => state.settle_all(None).await,
        }
    }
}

type Events<K> = std::pin::Pin<Box<dyn Stream<Item = watcher::Event<K>> + Send>>;

/// A watch that never ends; errors (a stopped API server) are left to its back-off.
fn events<K>(client: &Client) -> Events<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let stream = watcher(Api::<K>::all(client.clone()), watcher::Config::default()).default_backoff();
    stream.filter_map(|event| async { logged(event) }).boxed()
}

fn logged<K>(event: Result<watcher::Event<K>, watcher::Error>) -> Option<watcher::Event<K>> {
    event.inspect_err(|error| tracing::debug!(%error, "a watch of the rig was interrupted")).ok()
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

struct State {
    client: Client,
    present: Present,
    /// Pods that are neither ready nor finished, by namespace and name.
    waiting: BTreeMap<(String, String), Pod>,
    retry_at: Option<Instant>,
}

impl State {
    async fn pod(&mut self, event: watcher::Event<Pod>) {
        match event {
            watcher::Event::Init => self.waiting.clear(),
            watcher::Event::InitDone => {}
            watcher::Event::Delete(pod) => drop(self.waiting.remove(&key(&pod))),
            watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) => {
                let key = key(&pod);
                self.waiting.remove(&key);
                if is_waiting(&pod) {
                    self.waiting.insert(key.clone(), pod);
                    self.settle(&key).await;
                }
            }
        }
    }

    async fn referent<K: kube::ResourceExt>(
        &mut self,
        kind: Kind,
        event: watcher::Event<K>,
        keys: impl Fn(&K) -> Vec<String>,
    ) {
        let namespace = match event {
            watcher::Event::Init => return self.present.forget(kind),
            watcher::Event::InitApply(object) => return self.present.add(kind, &object, keys(&object)),
            watcher::Event::InitDone => {
                self.present.listed(kind);
                None
            }
            watcher::Event::Apply(object) => {
                self.present.add(kind, &object, keys(&object));
                object.namespace()
            }
            watcher::Event::Delete(object) => return self.present.remove(kind, &object),
        };
        self.settle_all(namespace.as_deref()).await;
    }

    async fn settle_all(&mut self, namespace: Option<&str>) {
        self.retry_at = None;
        let concerned = |key: &&(String, String)| namespace.is_none_or(|namespace| key.0 == namespace);
        let keys: Vec<_> = self.waiting.keys().filter(concerned).cloned().collect();
        for key in keys {
            self.settle(&key).await;
        }
    }

    /// Lets a Pod go on, or shows what it waits for.
    async fn settle(&mut self, key: &(String, String)) {
        let Some(pod) = self.waiting.get(key).filter(|_| self.present.is_complete()) else { return };
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &key.0);
        let parameters = PatchParams::default();
        let result = match first_missing(pod, &self.present) {
            None => pods.patch(&key.1, &parameters, &Patch::Merge(&go_on(pod))).await,
            Some(missing) if is_shown(pod, &missing) => return,
            Some(missing) => pods.patch_status(&key.1, &parameters, &Patch::Strategic(&shown(pod, &missing))).await,
        };
        if let Err(error) = result.map_err(Box::new) {
            tracing::debug!(%error, namespace = key.0, pod = key.1, "a write of the rig was refused");
            self.retry_at = Some(Instant::now() + RETRY_AFTER);
        }
    }
}

fn key(pod: &Pod) -> (String, String) {
    (pod.namespace().unwrap_or_default(), pod.name_any())
}

/// Bound to a Node, not yet let go on, not being deleted.
fn is_waiting(pod: &Pod) -> bool {
    let bound = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let let_go = pod.annotations().get(ANNOTATION).is_some_and(|value| value == PRESENT);
    bound && phase == Some("Pending") && !let_go && pod.metadata.deletion_timestamp.is_none()
}

/// The uid makes the write fail on a Pod of the same name that came later (`StatefulSets`).
fn go_on(pod: &Pod) -> Value {
    json!({"metadata": {"uid": pod.metadata.uid, "annotations": {ANNOTATION: PRESENT}}})
}

fn is_shown(pod: &Pod, missing: &Missing) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let waiting = statuses.into_iter().flatten().filter_map(|status| status.state.as_ref()?.waiting.as_ref());
    waiting.into_iter().any(|waiting| waiting.message.as_ref() == Some(&missing.message))
}

fn shown(pod: &Pod, missing: &Missing) -> Value {
    let waiting = json!({"reason": missing.reason, "message": missing.message});
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let statuses: Vec<Value> = containers
        .map(|container| {
            json!({"name": container.name, "image": container.image, "imageID": "", "ready": false, "restartCount": 0,
                   "state": {"waiting": waiting}})
        })
        .collect();
    let unready = |kind: &str| json!({"type": kind, "status": "False", "reason": "ContainersNotReady", "message": missing.message});
    json!({
        "metadata": {"uid": pod.metadata.uid},
        "status": {"containerStatuses": statuses, "conditions": [unready("Ready"), unready("ContainersReady")]},
    })
}

fn secret_keys(secret: &Secret) -> Vec<String> {
    secret.data.iter().flat_map(|data| data.keys().cloned()).collect()
}

fn config_map_keys(map: &ConfigMap) -> Vec<String> {
    let text = map.data.iter().flat_map(|data| data.keys().cloned());
    text.chain(map.binary_data.iter().flat_map(|data| data.keys().cloned())).collect()
}
