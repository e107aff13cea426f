//! Objects as JSON become facts. Users' objects never pass through typed structs, which would drop what they do not know.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::DynamicObject;
use serde_json::Value;

use crate::api::{FIELD_MANAGER, OWNER_LABEL, STAMP_ANNOTATION};
use crate::machine::observed::{IngressFacts, NamespaceFacts, ServiceFacts, WorkloadFacts};
use crate::machine::stamp::Stamp;
use crate::replicate;

/// Facts about a namespace.
pub fn namespace(object: &DynamicObject) -> NamespaceFacts {
    let terminating = object.metadata.deletion_timestamp.is_some() || object.data["status"]["phase"] == "Terminating";
    NamespaceFacts { uid: object.metadata.uid.clone().unwrap_or_default(), terminating }
}

/// Facts about an Ingress (networking.k8s.io/v1) whose external-dns reads annotations with this prefix.
pub fn ingress(object: &DynamicObject, prefix: &str) -> IngressFacts {
    let (metadata, spec) = (&object.metadata, &object.data["spec"]);
    let annotation = |name: &str| metadata.annotations.as_ref()?.get(name).cloned();
    let (weight_key, controller_key) = (format!("{prefix}aws-weight"), format!("{prefix}controller"));
    let is_ours = annotation(&controller_key).as_deref() == Some(FIELD_MANAGER);
    IngressFacts {
        uid: metadata.uid.clone().unwrap_or_default(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
        deleting: metadata.deletion_timestamp.is_some(),
        hosts: texts(array(&spec["rules"]).map(|rule| &rule["host"])),
        annotated_hosts: annotation(&format!("{prefix}hostname")).as_deref().map(named_hosts).unwrap_or_default(),
        tls_hosts: texts(array(&spec["tls"]).flat_map(|tls| array(&tls["hosts"]))),
        services: services(spec),
        addresses: addresses(&object.data["status"]),
        class: class(spec).or_else(|| annotation("kubernetes.io/ingress.class")),
        ttl_text: annotation(&format!("{prefix}ttl")),
        identifier: annotation(&format!("{prefix}set-identifier")),
        weight_managers: managers(object, &weight_key),
        weight_written: owning(object, &weight_key).filter_map(|entry| Some(entry.time.as_ref()?.0)).max(),
        weight_text: annotation(&weight_key),
        withheld: is_ours && managers(object, &controller_key).contains(FIELD_MANAGER),
        stamp: annotation(STAMP_ANNOTATION).as_deref().and_then(Stamp::parse),
        deployed_by: deployed_by(object),
        created_by: metadata.labels.as_ref().and_then(|labels| labels.get(OWNER_LABEL).cloned()),
        annotation_names: metadata.annotations.iter().flatten().map(|(name, _)| name.clone()).collect(),
    }
}

/// Facts about a Deployment, StatefulSet or DaemonSet (apps/v1).
pub fn workload(object: &DynamicObject, is_daemon_set: bool) -> WorkloadFacts {
    let (spec, status) = (&object.data["spec"], &object.data["status"]);
    let (desired, ready) = if is_daemon_set {
        (number(&status["desiredNumberScheduled"], 0), number(&status["numberReady"], 0))
    } else {
        (number(&spec["replicas"], 1), number(&status["readyReplicas"], 0))
    };
    let observed = status["observedGeneration"].as_i64();
    let labels = pairs(&spec["template"]["metadata"]["labels"]);
    WorkloadFacts { desired, ready, current: observed == object.metadata.generation, labels }
}

/// Facts about a Service (v1).
pub fn service(object: &DynamicObject) -> ServiceFacts {
    ServiceFacts { selector: pairs(&object.data["spec"]["selector"]) }
}

fn pairs(value: &Value) -> BTreeMap<String, String> {
    let entries = value.as_object().into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// The hosts of external-dns's `hostname` annotation: separated by commas, spaces mean nothing.
/// <https://kubernetes-sigs.github.io/external-dns/latest/docs/annotations/annotations/>
fn named_hosts(annotation: &str) -> BTreeSet<String> {
    let names = annotation.split(',').map(|name| name.trim().trim_end_matches('.').to_lowercase());
    names.filter(|name| !name.is_empty()).collect()
}

/// Names of the Ingress's backends.
fn services(spec: &Value) -> BTreeSet<String> {
    let paths = array(&spec["rules"]).flat_map(|rule| array(&rule["http"]["paths"])).map(|path| &path["backend"]);
    texts(paths.chain(std::iter::once(&spec["defaultBackend"])).map(|backend| &backend["service"]["name"]))
}

/// The field goes before the annotation, as external-dns has it.
fn class(spec: &Value) -> Option<String> {
    spec["ingressClassName"].as_str().filter(|class| !class.is_empty()).map(str::to_owned)
}

fn addresses(status: &Value) -> BTreeSet<String> {
    let points = array(&status["loadBalancer"]["ingress"]);
    texts(points.flat_map(|point| [&point["ip"], &point["hostname"]]))
}

/// Field managers that own an annotation.
fn managers(object: &DynamicObject, annotation: &str) -> BTreeSet<String> {
    owning(object, annotation).filter_map(|entry| entry.manager.clone()).collect()
}

/// The entries of `managedFields` (FieldsV1) that own an annotation.
/// <https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>
fn owning<'a>(object: &'a DynamicObject, annotation: &str) -> impl Iterator<Item = &'a ManagedFieldsEntry> + use<'a> {
    let field = format!("f:{annotation}");
    object.metadata.managed_fields.iter().flatten().filter(move |entry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        fields.is_some_and(|fields| fields["f:metadata"]["f:annotations"].get(&field).is_some())
    })
}

fn deployed_by(object: &DynamicObject) -> Option<String> {
    serde_json::to_value(&object.metadata).ok().as_ref().and_then(replicate::deployed_by)
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn texts<'a>(values: impl Iterator<Item = &'a Value>) -> BTreeSet<String> {
    values.filter_map(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

fn number(value: &Value, absent: i32) -> i32 {
    value.as_i64().and_then(|number| i32::try_from(number).ok()).unwrap_or(absent)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::machine::traffic::Weight;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_ingress_becomes_facts() {
        let facts = ingress(
            &object(json!({
                "metadata": {"name": "web", "uid": "u", "resourceVersion": "7",
                    "annotations": {"dns/aws-weight": "10", "dns/set-identifier": "web-blue",
                        STAMP_ANNOTATION: "{\"owner\":\"o\",\"attempt\":1,\"epoch\":2,\"direction\":\"Forward\"}"},
                    "managedFields": [
                        {"manager": "namespace-migration", "operation": "Apply", "time": "2026-11-21T08:00:00Z",
                         "fieldsV1": {"f:metadata": {"f:annotations": {"f:dns/aws-weight": {}}}}},
                        {"manager": "kubectl", "fieldsV1": {"f:spec": {}}}]},
                "spec": {"defaultBackend": {"service": {"name": "fallback"}},
                    "tls": [{"hosts": ["a.example"]}],
                    "rules": [{"host": "a.example", "http": {"paths": [{"backend": {"service": {"name": "web"}}}]}}, {}]},
                "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "lb.example"}]}},
            })),
            "dns/",
        );
        assert_eq!(facts.weight().map(Weight::get), Some(10));
        assert!(facts.weight_is_ours());
        assert_eq!(facts.weight_written.map(|at| at.to_string()).as_deref(), Some("2026-11-21T08:00:00Z"));
        assert_eq!(facts.stamp.map(|stamp| stamp.epoch), Some(2));
        assert_eq!(facts.hosts, ["a.example".to_owned()].into());
        assert_eq!(facts.services, ["fallback".to_owned(), "web".to_owned()].into());
        assert_eq!(facts.addresses, ["192.0.2.1".to_owned(), "lb.example".to_owned()].into());
    }

    #[test]
    fn the_hosts_of_the_hostname_annotation_are_known_apart_from_those_of_the_rules() {
        let made = object(json!({
            "metadata": {"annotations": {"dns/hostname": "shop.example, WWW.shop.example.,", "other/hostname": "not.example"}},
            "spec": {"rules": [{"host": "shop.example"}]},
        }));
        let facts = ingress(&made, "dns/");
        assert_eq!(facts.annotated_hosts, ["shop.example".to_owned(), "www.shop.example".to_owned()].into());
        assert_eq!(facts.hosts, ["shop.example".to_owned()].into());
    }

    #[test]
    fn an_ingress_is_withheld_when_we_have_said_so_and_nobody_else() {
        let withheld = |manager: &str, value: &str| {
            let fields = json!({"f:metadata": {"f:annotations": {"f:dns/controller": {}}}});
            let made = object(json!({"metadata": {
                "annotations": {"dns/controller": value}, "managedFields": [{"manager": manager, "fieldsV1": fields}],
            }}));
            ingress(&made, "dns/").withheld
        };
        assert!(withheld("namespace-migration", "namespace-migration"));
        assert!(!withheld("helm", "namespace-migration"));
        assert!(!withheld("namespace-migration", "dns-controller"));
    }

    #[test]
    fn a_workload_is_ready_only_when_its_counts_are_current() {
        let counts = json!({"metadata": {"generation": 2}, "spec": {"replicas": 2},
            "status": {"observedGeneration": 1, "readyReplicas": 2}});
        assert!(!workload(&object(counts), false).is_ready());
        let daemons = json!({"metadata": {"generation": 1},
            "status": {"observedGeneration": 1, "desiredNumberScheduled": 3, "numberReady": 3}});
        assert!(workload(&object(daemons), true).is_ready());
    }

    #[test]
    fn a_service_selects_the_pods_of_a_workload_by_their_labels() {
        let selects = service(&object(json!({"metadata": {}, "spec": {"selector": {"app": "web"}}})));
        let template = json!({"metadata": {"labels": {"app": "web", "tier": "front"}}});
        let runs = workload(&object(json!({"metadata": {}, "spec": {"template": template}})), false);
        assert!(selects.selector.iter().all(|(key, value)| runs.labels.get(key) == Some(value)));
        assert!(service(&object(json!({"metadata": {}, "spec": {"externalName": "elsewhere"}}))).selector.is_empty());
    }
}
