//! What the questions about the inventory look at: both sides, each with an index, so that a question costs one look-up for each object.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::told::{Noted, noted};
use crate::machine::inventory::{Content, IngressContent, Inventory, Item, SideInventory, Workload};
use crate::machine::observed::Side;
use crate::machine::order::Order;

/// Kinds whose Pods are another's: they are told where the Pods' template stands.
const TEMPLATES: [&str; 7] =
    ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "CronJob", "Job", "ReplicationController"];

/// What was ordered, and what was found on both sides.
pub(super) struct Both<'a> {
    pub(super) order: &'a Order,
    /// When the inventory was taken, if that was told.
    pub(super) taken: Option<Timestamp>,
    /// The Certificate that fills a Secret of the source, by the Secret's name.
    pub(super) issued: BTreeMap<&'a str, &'a Item>,
    pub(super) source: Sight<'a>,
    pub(super) target: Sight<'a>,
}

impl<'a> Both<'a> {
    pub(super) fn new(order: &'a Order, inventory: &'a Inventory) -> Self {
        let [source, target] = [Side::Source, Side::Target].map(|side| Sight::new(side, inventory.side(side)));
        let fills = |item: &'a Item| match &item.content {
            Content::Certificate { secret, .. } => Some((secret.as_str(), item)),
            _ => None,
        };
        let issued = inventory.source.items.values().filter_map(fills).collect();
        Self { order, taken: inventory.taken, issued, source, target }
    }

    /// The source's workloads, each where its Pods' template stands. Jobs that have ended run no more.
    pub(super) fn workloads(&self) -> impl Iterator<Item = (&'a Item, &'a Workload)> {
        let has_template = |item: &Item| item.owners.iter().any(|owner| TEMPLATES.contains(&owner.kind.as_str()));
        self.source.workloads().filter(move |(item, workload)| !has_template(item) && !workload.finished)
    }

    /// The source's workloads for each of which the question says something.
    pub(super) fn where_workload(&self, detail: impl Fn(&Workload) -> Option<String>) -> Vec<Noted> {
        self.workloads().filter_map(|(item, workload)| Some(noted(item, detail(workload)?))).collect()
    }

    /// The source's Ingresses that move: those with a host that are not excluded.
    pub(super) fn ingresses(&self) -> impl Iterator<Item = (&'a Item, &'a IngressContent)> {
        let excluded = &self.order.excluded_ingresses;
        self.source.all.items.values().filter_map(move |item| match &item.content {
            Content::Ingress(ingress) if !ingress.hosts.is_empty() && !excluded.contains(&item.name) => {
                Some((item, ingress))
            }
            _ => None,
        })
    }

    /// The class of an Ingress on the target. None: the default there.
    pub(super) fn target_class(&self, ingress: &'a IngressContent) -> Option<&'a str> {
        let class = ingress.class.as_ref()?;
        Some(self.order.classes.get(class).unwrap_or(class))
    }

    /// Both sides.
    pub(super) fn sides(&self) -> [&Sight<'a>; 2] {
        [&self.source, &self.target]
    }
}

/// One side.
pub(super) struct Sight<'a> {
    pub(super) side: Side,
    pub(super) all: &'a SideInventory,
    index: BTreeMap<(&'a str, &'a str, &'a str), &'a Item>,
}

impl<'a> Sight<'a> {
    fn new(side: Side, all: &'a SideInventory) -> Self {
        let key = |item: &'a Item| (item.kind.group.as_str(), item.kind.kind.as_str(), item.name.as_str());
        Self { side, all, index: all.items.values().map(|item| (key(item), item)).collect() }
    }

    /// An object, whatever the version of it that was read.
    pub(super) fn get(&self, group: &str, kind: &str, name: &str) -> Option<&'a Item> {
        self.index.get(&(group, kind, name)).copied()
    }

    /// The object that another is on this side.
    pub(super) fn same(&self, item: &Item) -> Option<&'a Item> {
        self.get(&item.kind.group, &item.kind.kind, &item.name)
    }

    /// Whether an object that is not found is not there: nobody says so of what could not be read.
    pub(super) fn lacks(&self, group: &str, kind: &str, name: &str) -> bool {
        self.saw(group, kind) && self.get(group, kind, name).is_none()
    }

    /// Whether all objects of a kind could be read. What could not is named by its resource, `secrets`, or by its group's version.
    pub(super) fn saw(&self, group: &str, kind: &str) -> bool {
        let (kind, group) = (kind.to_lowercase(), group.to_lowercase());
        let words = |what: &str| what.to_lowercase();
        let hides = |what: &str| {
            let resource = what.split(['.', ' ', '/']).next().unwrap_or(what);
            is_plural(resource, &kind) || (!group.is_empty() && what.contains(&group) && what.contains("group"))
        };
        !self.all.unread.iter().any(|unread| hides(&words(&unread.what)))
    }

    /// Its workloads, also those that others made.
    pub(super) fn workloads(&self) -> impl Iterator<Item = (&'a Item, &'a Workload)> {
        self.all.items.values().filter_map(|item| match &item.content {
            Content::Workload(workload) => Some((item, workload.as_ref())),
            _ => None,
        })
    }

    /// A workload.
    pub(super) fn workload(&self, item: &Item) -> Option<&'a Workload> {
        match &self.same(item)?.content {
            Content::Workload(workload) => Some(workload),
            _ => None,
        }
    }

    /// Whether the cluster's own object is there, of those that were looked at.
    pub(super) fn cluster_lacks(&self, kind: &str, name: &str) -> bool {
        let is_it = |item: &Item| item.kind.kind == kind && item.name == name;
        let read =
            self.all.unread.iter().all(|unread| {
                !is_plural(unread.what.split(['.', ' ']).next().unwrap_or_default(), &kind.to_lowercase())
            });
        read && !self.all.cluster.values().any(is_it)
    }
}

/// Whether a resource is a kind's: `ingressclasses` of `ingressclass`, `networkpolicies` of `networkpolicy`.
fn is_plural(resource: &str, kind: &str) -> bool {
    let stem = kind.strip_suffix('y').unwrap_or(kind);
    let end = resource.strip_prefix(stem);
    end.is_some_and(|end| ["", "s", "es", "ies", "y"].contains(&end) && !(stem == kind && end.contains('y')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::inventory::Unread;

    #[test]
    fn what_could_not_be_read_is_not_said_to_be_absent() {
        let unread = |what: &str| Unread { what: what.into(), why: "forbidden".into() };
        let hidden = |what: &str, group: &str, kind: &str| {
            let all = SideInventory { unread: vec![unread(what)], ..SideInventory::default() };
            !Sight::new(Side::Target, &all).saw(group, kind)
        };
        assert!(hidden("secrets", "", "Secret"));
        assert!(hidden("networkpolicies.networking.k8s.io", "networking.k8s.io", "NetworkPolicy"));
        assert!(hidden("ingressclasses", "networking.k8s.io", "IngressClass"));
        assert!(hidden("API group monitoring.coreos.com/v1", "monitoring.coreos.com", "PrometheusRule"));
        assert!(!hidden("secrets", "", "ConfigMap"));
        assert!(!hidden("ingressclasses", "networking.k8s.io", "Ingress"));
        assert!(!hidden("API group metrics.k8s.io/v1beta1", "", "Secret"));
    }
}
