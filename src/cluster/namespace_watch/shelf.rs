//! Where the watch of one kind of a namespace puts what it brings: objects become facts at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use kube::ResourceExt as _;
use kube::api::DynamicObject;
use kube_runtime::watcher::Event;

use super::{Facts, Kind, Store};
use crate::cluster::object_watch::Shelf;
use crate::mutex::locked;
use crate::observe::facts;

/// The part of the store that one kind is in.
pub(super) struct KindShelf {
    pub(super) kind: Kind,
    /// Prefix of the cluster's external-dns annotations.
    pub(super) annotation_prefix: String,
    pub(super) store: Arc<Mutex<Store>>,
}

impl Shelf for KindShelf {
    fn take(&self, event: Event<DynamicObject>) -> bool {
        match event {
            Event::Init => {
                locked(&self.store).lists.insert(self.kind, BTreeMap::new());
                false
            }
            Event::InitApply(object) => {
                let (name, facts) = (object.name_any(), self.facts(&object));
                locked(&self.store).lists.entry(self.kind).or_default().insert(name, facts);
                false
            }
            Event::InitDone => self.finish_list(),
            Event::Apply(object) => {
                let (key, facts) = ((self.kind, object.name_any()), self.facts(&object));
                let old = locked(&self.store).objects.insert(key, facts.clone());
                self.shown_again() | (old.as_ref() != Some(&facts))
            }
            Event::Delete(object) => {
                let old = locked(&self.store).objects.remove(&(self.kind, object.name_any()));
                self.shown_again() | old.is_some()
            }
        }
    }

    fn refused(&self, why: String) -> bool {
        locked(&self.store).refused.insert(self.kind, why.clone()).as_ref() != Some(&why)
    }

    fn is_refused(&self) -> bool {
        locked(&self.store).refused.contains_key(&self.kind)
    }

    fn shown_again(&self) -> bool {
        locked(&self.store).refused.remove(&self.kind).is_some()
    }
}

impl KindShelf {
    /// The complete list replaces what was known: an object that is not in it is gone.
    fn finish_list(&self) -> bool {
        let mut store = locked(&self.store);
        let list = store.lists.remove(&self.kind).unwrap_or_default();
        let is_first = store.listed.insert(self.kind) | store.refused.remove(&self.kind).is_some();
        let kind = self.kind;
        let same = store
            .objects
            .iter()
            .filter(|((known, _), _)| *known == kind)
            .map(|((_, name), facts)| (name, facts))
            .eq(list.iter());
        store.objects.retain(|(known, _), _| *known != kind);
        store.objects.extend(list.into_iter().map(|(name, facts)| ((kind, name), facts)));
        is_first || !same
    }

    fn facts(&self, object: &DynamicObject) -> Facts {
        match self.kind {
            Kind::Namespace => Facts::Namespace(facts::namespace(object)),
            Kind::Ingress => Facts::Ingress(Box::new(facts::ingress(object, &self.annotation_prefix))),
            Kind::Service => Facts::Service(facts::service(object)),
            Kind::Deployment | Kind::StatefulSet => Facts::Workload(facts::workload(object, false)),
            Kind::DaemonSet => Facts::Workload(facts::workload(object, true)),
        }
    }
}
