//! Objects that cannot be read are left out of a watch, so that one of them does not stop all the others.
//!
//! The schema keeps them away as a rule; another version of the operator, or of its definitions, can leave one behind.

use futures::{Stream, StreamExt as _};
use kube::Resource;
use kube::core::DeserializeGuard;
use kube_runtime::watcher::{Error, Event};

use crate::causes::one_line;
use crate::metrics::{ErrorLabels, Metrics};

/// The events of objects that can be read. What was last read of one that cannot be read any more stays in force.
pub(super) fn only<K: Resource<DynamicType = ()>>(
    events: impl Stream<Item = Result<Event<DeserializeGuard<K>>, Error>>,
    metrics: Metrics,
) -> impl Stream<Item = Result<Event<K>, Error>> {
    events.filter_map(move |event| {
        let readable = event.map(|event| readable(event, &metrics)).transpose();
        std::future::ready(readable)
    })
}

fn readable<K: Resource<DynamicType = ()>>(event: Event<DeserializeGuard<K>>, metrics: &Metrics) -> Option<Event<K>> {
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
        Event::Delete(object) => Event::Delete(object.0.ok()?),
        Event::InitApply(object) => Event::InitApply(read(object).ok()?),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    })
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
        let events = only(stream::iter(events.map(Ok)), metrics.clone());
        let names: Vec<_> = events
            .filter_map(|event| async { if let Ok(Event::InitApply(map)) = event { map.metadata.name } else { None } })
            .collect()
            .await;
        assert_eq!(names, ["good"]);
        assert_eq!(metrics.reconcile_errors.get_or_create(&ErrorLabels { reason: "unreadable" }).get(), 2);
    }
}
