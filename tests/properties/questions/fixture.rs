//! A namespace that moves without a word, and how one is changed and asked about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use namespace_migration::api::status::{Finding, Severity};
use namespace_migration::machine::inventory::{
    Content, IngressContent, Inventory, Item, Kind, Reference, SecretContent, ServiceContent, SideInventory, Workload,
};
use namespace_migration::machine::{Observed, Order};
use namespace_migration::preflight;

use crate::world::World;

/// Group, version and kind of everything that both clusters serve.
const SERVED: [(&str, &str, &str); 19] = [
    ("", "v1", "Namespace"),
    ("", "v1", "Service"),
    ("", "v1", "ServiceAccount"),
    ("", "v1", "Secret"),
    ("", "v1", "ConfigMap"),
    ("", "v1", "PersistentVolumeClaim"),
    ("", "v1", "ResourceQuota"),
    ("", "v1", "LimitRange"),
    ("", "v1", "Pod"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "StatefulSet"),
    ("batch", "v1", "CronJob"),
    ("batch", "v1", "Job"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler"),
    ("networking.k8s.io", "v1", "Ingress"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding"),
    ("cert-manager.io", "v1", "Certificate"),
    ("monitoring.coreos.com", "v1", "PrometheusRule"),
];

pub fn strings<const N: usize>(words: [&str; N]) -> BTreeSet<String> {
    words.map(str::to_owned).into()
}

pub fn map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// An object that kubectl has applied, of one of the kinds that are served.
pub fn item(kind: &str, name: &str, content: Content) -> Item {
    let served = SERVED.iter().find(|(_, _, found)| *found == kind);
    let (group, version, kind) = served.copied().unwrap_or(("example.org", "v1", kind));
    Item { kind: Kind::new(group, version, kind), name: name.into(), last_applied: true, content, ..Item::default() }
}

pub fn web() -> Workload {
    Workload {
        replicas: Some(2),
        ready: 2,
        strategy: "RollingUpdate".into(),
        pod_labels: map([("app", "web")]),
        service_account: "web".into(),
        images: vec![("web".into(), "registry.example/web:1".into())],
        has_readiness: true,
        ..Workload::default()
    }
}

pub fn workload(kind: &str, name: &str, change: impl FnOnce(&mut Workload)) -> Item {
    let mut workload = web();
    change(&mut workload);
    item(kind, name, Content::Workload(Box::new(workload)))
}

pub fn needs(kind: &str, name: &str) -> Reference {
    Reference { kind: kind.into(), name: name.into(), optional: false, via: "env KEY of container web".into() }
}

pub fn secret(name: &str, kind: &str) -> Item {
    item("Secret", name, Content::Secret(SecretContent { kind: kind.into(), ..SecretContent::default() }))
}

pub fn service(name: &str, change: impl FnOnce(&mut ServiceContent)) -> Item {
    let selector = map([("app", "web")]);
    let mut content = ServiceContent { kind: "ClusterIP".into(), selector, ..ServiceContent::default() };
    change(&mut content);
    item("Service", name, Content::Service(content))
}

pub fn ingress() -> IngressContent {
    let hosts = strings(["shop.example"]);
    IngressContent {
        class: Some("nginx".into()),
        certificates: vec![(Some("web-tls".into()), hosts.clone())],
        hosts,
        services: strings(["web"]),
    }
}

pub trait Put {
    fn put(&mut self, item: Item);
    fn take(&mut self, kind: &str, name: &str) -> Item;
    /// Changes the Deployment web.
    fn web(&mut self, change: impl FnOnce(&mut Workload));
}

impl Put for SideInventory {
    fn put(&mut self, item: Item) {
        self.items.insert((item.kind.clone(), item.name.clone()), item);
    }

    fn take(&mut self, kind: &str, name: &str) -> Item {
        let key = self.items.keys().find(|(found, named)| found.kind == kind && named == name).cloned().unwrap();
        self.items.remove(&key).unwrap()
    }

    fn web(&mut self, change: impl FnOnce(&mut Workload)) {
        self.take("Deployment", "web");
        self.put(workload("Deployment", "web", change));
    }
}

fn side() -> SideInventory {
    let mut side = SideInventory {
        version: Some((1, 33)),
        clock_ahead_millis: Some(100),
        served: SERVED.iter().map(|(group, version, kind)| Kind::new(group, version, kind)).collect(),
        namespace: Some(item("Namespace", "shop", Content::Other)),
        ..SideInventory::default()
    };
    side.put(workload("Deployment", "web", |_| {}));
    side.put(service("web", |_| {}));
    side.put(item("ServiceAccount", "web", Content::ServiceAccount { pull_secrets: BTreeSet::new() }));
    side.put(secret("web-tls", "kubernetes.io/tls"));
    side.put(item("Ingress", "web", Content::Ingress(ingress())));
    let class = Kind::new("networking.k8s.io", "v1", "IngressClass");
    side.cluster.insert((class.clone(), "nginx".into()), Item { kind: class, name: "nginx".into(), ..Item::default() });
    side
}

/// The same on both sides, and nothing to say about it.
pub fn clean() -> Inventory {
    Inventory { taken: "2024-11-21T14:00:00Z".parse().ok(), source: side(), target: side() }
}

pub fn order() -> Order {
    World::new().order
}

/// What is found because of the inventory.
pub fn asked_of(order: &Order, inventory: Option<Inventory>) -> Vec<Finding> {
    let mut observed = Observed::default();
    (observed.source.synced, observed.target.synced) = (true, true);
    let before = preflight::findings(order, &observed);
    observed.inventory = inventory.map(Arc::new);
    preflight::findings(order, &observed).into_iter().filter(|finding| !before.contains(finding)).collect()
}

/// What is found after a change of the clean namespace.
pub fn after(change: impl FnOnce(&mut Inventory)) -> Vec<Finding> {
    let mut inventory = clean();
    change(&mut inventory);
    asked_of(&order(), Some(inventory))
}

/// One check speaks after a change, alone, and says this.
pub fn says(change: impl FnOnce(&mut Inventory), check: &str, severity: Severity, message: &str) {
    let found = after(change);
    let checks: Vec<_> = found.iter().map(|finding| finding.check.as_str()).collect();
    assert_eq!(checks, [check], "{found:#?}");
    assert_eq!((found[0].severity, found[0].message.as_str()), (severity, message));
    assert!(!found[0].fix.is_empty() && !found[0].objects.is_empty(), "{found:#?}");
    let accepted = found[0].fix.contains(&format!("name {check} with a reason in spec.preflight.acknowledge."));
    assert_eq!(accepted, severity == Severity::Blocker, "{found:#?}");
}

/// What one check says after a change, whatever others say.
pub fn among(change: impl FnOnce(&mut Inventory), check: &str) -> String {
    let found = after(change);
    let one = found.iter().find(|finding| finding.check == check);
    one.unwrap_or_else(|| panic!("{check} is silent: {found:#?}")).message.clone()
}

/// Nothing is found after a change.
pub fn silent(change: impl FnOnce(&mut Inventory)) {
    assert_eq!(after(change), []);
}
