//! Objects that cannot be read are left out of a watch, so that one of them does not stop all the others.
//!
//! The schema keeps them away as a rule; another version of the operator, or of its definitions, can leave one behind.

use futures::{Stream, StreamExt as _};
use kube::Resource;
use kube::core::{DeserializeGuard, ObjectMeta};
use kube_runtime::reflector::{ObjectRef, Store};
use kube_runtime::watcher::{Error, Event};

use crate::causes::one_line;
use crate::metrics::{ErrorLabels, Metrics};

/// The events of objects that can be read. What was last read of one that cannot be read any more stays in force, until it
/// is gone: `known` is where that is kept.
pub(super) fn only<K: Resource<DynamicType = ()> + Clone + 'static>(
    events: impl Stream<Item = Result<Event<DeserializeGuard<K>>, Error>>,
    known: Store<K>,
    metrics: Metrics,
) -> impl Stream<Item = Result<Event<K>, Error>> {
    events.filter_map(move |event| {
        let readable = event.map(|event| readable(event, &known, &metrics)).transpose();
        std::future::ready(readable)
    })
}

fn readable<K: Resource<DynamicType = ()> + Clone + 'static>(
    event: Event<DeserializeGuard<K>>,
    known: &Store<K>,
    metrics: &Metrics,
) -> Option<Event<K>> {
    let read = |object: DeserializeGuard<K>| {
        object.0.map_err(|unreadable| {
            let (kind, metadata) = (K::kind(&()), unreadable.metadata);
            let (namespace, name) = (metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default());
            let error = one_line(&unreadable.error);
            tracing::error!(%kind, namespace, name, error, "an object cannot be read; mend it or delete it");
            metrics.reconcile_errors.get_or_create(&ErrorLabels { reason: "unreadable" }).inc();
        })
    };
    Some(match event {
        Event::Apply(object) => Event::Apply(read(object).ok()?),
        Event::Delete(object) => Event::Delete(object.0.or_else(|gone| last_read(known, &gone.metadata)).ok()?),
        Event::InitApply(object) => Event::InitApply(read(object).ok()?),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    })
}

/// The object as it was last read: enough to say which one is gone.
fn last_read<K: Resource<DynamicType = ()> + Clone + 'static>(known: &Store<K>, gone: &ObjectMeta) -> Result<K, ()> {
    let key = ObjectRef::new(gone.name.as_deref().unwrap_or_default());
    let key = gone.namespace.as_deref().into_iter().fold(key, ObjectRef::within);
    known.get(&key).map(|object| K::clone(&object)).ok_or(())
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, stream};
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::{Value, json};

    use super::*;

    fn object(value: Value) -> DeserializeGuard<ConfigMap> {
        serde_json::from_value(value).unwrap()
    }

    #[tokio::test]
    async fn an_object_that_cannot_be_read_is_left_out_counted_and_the_others_come() {
        let good = || object(json!({"metadata": {"name": "good"}}));
        let bad = || object(json!({"metadata": {"name": "bad"}, "data": "text"}));
        let events =
            [Event::Init, Event::InitApply(bad()), Event::InitApply(good()), Event::InitDone, Event::Apply(bad())];
        let metrics = Metrics::default();
        let (known, _) = kube_runtime::reflector::store();
        let events = only(stream::iter(events.map(Ok)), known, metrics.clone());
        let names: Vec<_> = events
            .filter_map(|event| async { if let Ok(Event::InitApply(map)) = event { map.metadata.name } else { None } })
            .collect()
            .await;
        assert_eq!(names, ["good"]);
        assert_eq!(metrics.reconcile_errors.get_or_create(&ErrorLabels { reason: "unreadable" }).get(), 2);
    }

    #[tokio::test]
    async fn one_that_could_be_read_once_and_is_gone_is_told_as_gone() {
        let (known, mut writer) = kube_runtime::reflector::store();
        let last: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "n"}})).unwrap();
        writer.apply_watcher_event(&Event::Apply(last.clone()));
        let gone =
            |name| Ok(Event::Delete(object(json!({"metadata": {"name": name, "namespace": "n"}, "data": "text"}))));
        let events = only(stream::iter([gone("a"), gone("never seen")]), known, Metrics::default());
        let told: Vec<_> = events.map(|event| event.unwrap()).collect().await;
        assert!(matches!(&told[..], [Event::Delete(told)] if *told == last), "{told:?}");
    }
}
