//! Copies of objects, whatever is in them: what must never be left in one, what must never be lost, and that nothing panics.

use namespace_migration::machine::inventory::Item;
use namespace_migration::replicate::{Context, LAST_APPLIED, Rules, classify, digest, item, sanitize};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use crate::corpus::{files, objects, rules};

/// In every field that tells of an object's life on the source.
const LIFE: &str = "d1e0c2c4-life";
/// In every value of a Secret.
const SECRET: &str = "Y2FuYXJ5";

/// Kinds with rules of their own, and some without.
const KINDS: [(&str, &str); 20] = [
    ("v1", "Namespace"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "PersistentVolume"),
    ("v1", "Pod"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("networking.k8s.io/v1", "Ingress"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("cert-manager.io/v1", "Certificate"),
    ("coordination.k8s.io/v1", "Lease"),
    ("example.com/v1", "Widget"),
    ("", ""),
];

/// Names of fields that the code looks at.
const FIELDS: [&str; 36] = [
    "metadata",
    "spec",
    "status",
    "template",
    "jobTemplate",
    "containers",
    "initContainers",
    "volumes",
    "env",
    "envFrom",
    "name",
    "namespace",
    "labels",
    "annotations",
    "uid",
    "ownerReferences",
    "finalizers",
    "managedFields",
    "clusterIP",
    "clusterIPs",
    "ports",
    "nodePort",
    "selector",
    "image",
    "data",
    "stringData",
    "type",
    "subjects",
    "roleRef",
    "rules",
    "tls",
    "ingressClassName",
    "volumeClaimTemplates",
    "suspend",
    LAST_APPLIED,
    "namespacemigration.io/owner",
];

fn json_of(depth: u32) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(vec!["None", "nginx", "1.dkr.ecr/x", "web\nshop", "", "10.0.0.1"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(depth, 60, 6, |inner| {
        let key = prop_oneof![4 => select(FIELDS.to_vec()).prop_map(str::to_owned), 1 => any::<String>()];
        let map = prop::collection::vec((key, inner.clone()), 0..6)
            .prop_map(|entries| entries.into_iter().collect::<Map<_, _>>());
        prop_oneof![prop::collection::vec(inner, 0..4).prop_map(Value::from), map.prop_map(Value::from)]
    })
}

/// An object of a kind that has rules, with anything for its fields.
fn hostile() -> impl Strategy<Value = Value> {
    (select(KINDS.to_vec()), json_of(6), json_of(6), json_of(4)).prop_map(|((version, kind), metadata, spec, rest)| {
        let mut object = rest.as_object().cloned().unwrap_or_default();
        object.extend([("apiVersion".to_owned(), json!(version)), ("kind".to_owned(), json!(kind))]);
        object.extend([("metadata".to_owned(), metadata), ("spec".to_owned(), spec)]);
        Value::Object(object)
    })
}

/// An object of the corpus.
fn real() -> impl Strategy<Value = Value> {
    select(
        files()
            .iter()
            .flat_map(|file| objects(file))
            .filter(|object| object["metadata"].is_object())
            .collect::<Vec<_>>(),
    )
}

/// The same object with all that a cluster writes into it.
fn lived(mut object: Value) -> Value {
    let written = json!({"uid": LIFE, "resourceVersion": LIFE, "generation": 7, "creationTimestamp": LIFE, "deletionTimestamp": LIFE,
        "deletionGracePeriodSeconds": 30, "selfLink": LIFE, "generateName": LIFE, "finalizers": [LIFE], "managedFields": [{"manager": LIFE}],
        "ownerReferences": [{"uid": LIFE, "kind": LIFE, "name": LIFE}]});
    put(&mut object["metadata"], written);
    put(
        &mut object["metadata"]["annotations"],
        json!({LAST_APPLIED: LIFE, "deployment.kubernetes.io/revision": LIFE, "kubernetes.io/service-account.uid": LIFE}),
    );
    object["status"] = json!({"x": LIFE});
    match object["kind"].as_str() {
        Some("Service") if object["apiVersion"] == "v1" => {
            put(
                &mut object["spec"],
                json!({"clusterIP": LIFE, "clusterIPs": [LIFE], "healthCheckNodePort": LIFE, "externalIPs": [LIFE], "loadBalancerIP": LIFE}),
            );
        }
        Some("Job") => {
            put(&mut object["metadata"]["labels"], json!({"controller-uid": LIFE}));
            put(&mut object["spec"], json!({"selector": {"matchLabels": {"controller-uid": LIFE}}}));
        }
        Some("ServiceAccount") => object["secrets"] = json!([{"name": LIFE}]),
        Some("PersistentVolume") => put(&mut object["spec"], json!({"claimRef": {"uid": LIFE}})),
        Some("PersistentVolumeClaim") => put(&mut object["spec"], json!({"volumeName": LIFE})),
        Some("Pod") => put(&mut object["spec"], json!({"nodeName": LIFE})),
        _ => {}
    }
    object
}

fn put(at: &mut Value, fields: Value) {
    if !at.is_object() {
        *at = json!({});
    }
    let Value::Object(fields) = fields else { return };
    at.as_object_mut().unwrap().extend(fields);
}

/// A Secret of any type, with anything around its values.
fn secret() -> impl Strategy<Value = Value> {
    let kinds = vec![
        "Opaque",
        "kubernetes.io/tls",
        "kubernetes.io/service-account-token",
        "helm.sh/release.v1",
        "example.com/own",
    ];
    (select(kinds), prop::collection::btree_map(any::<String>(), Just(SECRET), 0..5), json_of(4)).prop_map(|(kind, data, metadata)| {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": metadata, "data": data, "stringData": data});
        put(&mut secret["metadata"], json!({"name": "s"}));
        put(&mut secret["metadata"]["annotations"], json!({LAST_APPLIED: SECRET, "kapp.k14s.io/original": SECRET, "x": SECRET}));
        secret
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(400), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_an_object_is_nothing_panics_and_everything_has_an_answer(object in prop_oneof![json_of(8), hostile()]) {
        let reduced = item(&object);
        let answer = classify(&reduced, &Context::default());
        prop_assert!(!answer.evidence.is_empty() && !answer.evidence.contains(char::is_control), "{answer:?}");
    }

    #[test]
    fn a_copy_of_a_copy_is_the_copy(object in prop_oneof![json_of(8), hostile(), real()]) {
        for rules in [rules(), Rules::default()] {
            let copy = sanitize(&object, &rules);
            prop_assert_eq!(sanitize(&copy, &rules), copy);
        }
    }

    #[test]
    fn nothing_of_an_objects_life_on_the_source_is_left_in_its_copy(object in prop_oneof![hostile(), real()]) {
        let object = lived(object);
        let copy = sanitize(&object, &rules());
        prop_assert!(!copy.to_string().contains(LIFE), "{copy}");
        prop_assert!(copy.get("status").is_none());
        let left: Vec<_> = copy["metadata"].as_object().unwrap().keys().collect();
        prop_assert!(left.iter().all(|field| ["name", "namespace", "labels", "annotations"].contains(&field.as_str())), "{left:?}");
    }

    #[test]
    fn what_a_cluster_writes_into_an_object_does_not_change_its_digest(object in real()) {
        prop_assume!(object["spec"].is_object() || object["spec"].is_null());
        prop_assume!(object["kind"] != "Secret" && object["spec"]["clusterIP"] != "None" && object["spec"]["manualSelector"] != true);
        prop_assert_eq!(item(&lived(object.clone())).digest, item(&object).digest);
    }

    #[test]
    fn a_secrets_values_reach_its_copy_unchanged_and_nothing_else_at_all(secret in secret()) {
        let copy = sanitize(&secret, &rules());
        prop_assert_eq!(&copy["data"], &secret["data"]);
        prop_assert_eq!(&copy["stringData"], &secret["stringData"]);
        let reduced: Item = item(&secret);
        let told = format!("{reduced:?} {:?}", classify(&reduced, &Context::default()));
        prop_assert!(!told.contains(SECRET), "{told}");
        let mut other = secret.clone();
        other["data"].as_object_mut().unwrap().values_mut().for_each(|value| *value = json!("b3RoZXI="));
        prop_assert_eq!(digest(&other, &rules()), digest(&secret, &rules()));
    }
}
