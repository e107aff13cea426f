use serde_json::json;

use super::*;
use crate::machine::inventory::Content;

/// What must not be found in anything made of a Secret.
const CANARY: &str = "Y2FuYXJ5LXZhbHVl";

fn secret(kind: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": kind,
        "metadata": {"name": "db", "namespace": "shop", "uid": "u-1", "annotations": {
            LAST_APPLIED: format!("{{\"data\":{{\"password\":\"{CANARY}\"}}}}"),
            "kapp.k14s.io/original": CANARY,
            "note": CANARY,
            "meta.helm.sh/release-name": "web",
        }},
        "data": {"password": CANARY}, "stringData": {"plain": CANARY},
    })
}

#[test]
fn a_secrets_values_get_into_nothing_and_no_hash_depends_on_them() {
    for kind in ["Opaque", "kubernetes.io/tls", "kubernetes.io/service-account-token", "example.com/own"] {
        let (object, mut other) = (secret(kind), secret(kind));
        let reduced = item(&object);
        assert!(!format!("{reduced:?}").contains(CANARY), "{reduced:?}");
        assert_eq!(reduced.annotations["note"], "", "only its name is kept");
        assert_eq!(reduced.annotations["meta.helm.sh/release-name"], "web");
        assert!(reduced.last_applied);
        other["data"]["password"] = json!("b3RoZXI=");
        other["metadata"]["annotations"]["note"] = json!("other");
        assert_eq!(item(&other).digest, reduced.digest);
        other["data"]["new"] = json!("");
        assert_ne!(item(&other).digest, reduced.digest, "an entry more is seen");
    }
}

#[test]
fn of_a_secret_read_as_metadata_nothing_is_claimed() {
    let reduced = item(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}}));
    assert_eq!(reduced.digest, "");
    assert_eq!(reduced.content, Content::Secret(crate::machine::inventory::SecretContent::default()));
}

#[test]
fn a_digest_is_about_what_a_copy_would_be() {
    let map = |uid: &str, value: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "uid": uid, "labels": {"namespacemigration.io/owner": uid}},
            "data": {"key": value}})
    };
    let digest = item(&map("1", "a")).digest;
    assert_eq!(digest.len(), 32);
    assert_eq!(item(&map("2", "a")).digest, digest);
    assert_ne!(item(&map("1", "b")).digest, digest);
}

#[test]
fn one_digest_counts_where_the_targets_registry_is_another() {
    let deployment = |image: &str| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}})
    };
    let registries = [("old.example".to_owned(), "new.example".to_owned())].into();
    let rules = Rules { registries, ..Rules::default() };
    assert_eq!(digest(&deployment("old.example/web:1"), &rules), item(&deployment("new.example/web:1")).digest);
}

#[test]
fn a_workload_is_read_in_full() {
    let cron_job = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "report"},
        "spec": {"schedule": "0 1 * * *", "suspend": true, "jobTemplate": {"spec": {"ttlSecondsAfterFinished": 60,
            "template": {"metadata": {"labels": {"app": "report"}}, "spec": {
                "serviceAccountName": "reporter", "priorityClassName": "low", "nodeSelector": {"disk": "ssd"},
                "imagePullSecrets": [{"name": "registry"}],
                "initContainers": [{"name": "wait", "image": "busybox", "args": ["nc -z db.data.svc.cluster.local:5432"]}],
                "containers": [{"name": "main", "image": "report:1", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
                    "env": [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "db", "key": "p"}}},
                        {"name": "URL", "value": "http://web.shop.svc:80/x, not.a.service"}],
                    "envFrom": [{"configMapRef": {"name": "settings", "optional": true}}]}],
                "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory"}}, {"name": "tls", "secret": {"secretName": "cert"}},
                    {"name": "all", "projected": {"sources": [{"configMap": {"name": "more"}}]}},
                    {"name": "share", "nfs": {"server": "nfs.example", "path": "/"}}],
            }}}}},
    });
    let Content::Workload(workload) = item(&cron_job).content else { panic!("it is a workload") };
    assert_eq!(workload.schedule.as_deref(), Some("0 1 * * *"));
    assert_eq!((workload.replicas, workload.suspended, workload.ttl_after_finished), (None, true, Some(60)));
    assert_eq!(workload.images[0], ("wait".to_owned(), "busybox".to_owned()));
    let hosts: Vec<_> = workload.cluster_hosts.iter().map(String::as_str).collect();
    assert_eq!(hosts, ["db.data.svc.cluster.local", "web.shop.svc"]);
    let references: Vec<_> =
        workload.references.iter().map(|r| (r.name.as_str(), r.optional, r.via.as_str())).collect();
    let expected = [
        ("more", false, "volume all"),
        ("settings", true, "envFrom of container main"),
        ("cert", false, "volume tls"),
        ("db", false, "env P of container main"),
        ("registry", false, "imagePullSecrets"),
    ];
    assert_eq!(references, expected);
    assert_eq!(workload.volumes.len(), 2);
    assert!(workload.without_requests, "the first container asks for nothing");
}

#[test]
fn a_long_annotation_is_cut_between_two_characters() {
    let long = format!("{}é", "x".repeat(LONGEST_ANNOTATION - 1));
    let reduced = item(&json!({"kind": "ConfigMap", "metadata": {"annotations": {"a": long, "b": "x\n\"y\""}}}));
    assert_eq!(reduced.annotations["a"].len(), LONGEST_ANNOTATION - 1);
    assert_eq!(reduced.annotations["b"], "x\n\"y\"");
}

#[test]
fn addresses_are_found_wherever_they_are_written_but_not_those_that_the_cluster_gives() {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "annotations": {"note": "see http://10.1.2.3:80/"}},
        "spec": {"clusterIP": "10.9.9.9", "externalName": "Old-1.eu-west-2.elb.amazonaws.com"}});
    let found: Vec<_> = item(&service).addresses.into_iter().collect();
    assert_eq!(found, ["10.1.2.3", "old-1.eu-west-2.elb.amazonaws.com"]);
}

#[test]
fn what_has_the_wrong_type_reads_as_absent() {
    let odd = json!({"apiVersion": 1, "kind": "Deployment", "metadata": {"name": ["x"], "labels": [1], "annotations": {"a": {}},
        "ownerReferences": {"kind": "X"}, "finalizers": "x", "managedFields": [7], "creationTimestamp": "yesterday"},
        "spec": [], "status": 3});
    let expected = Item { kind: kind(&odd), digest: item(&odd).digest, ..Item::default() };
    assert_eq!(item(&odd), expected);
    assert_eq!(item(&Value::Null).digest, "");
}

#[test]
fn the_largest_objects_are_read_and_their_bytes_counted() {
    let name = "n".repeat(253);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "10.0.0.1 ".repeat(116_508)}});
    let reduced = item(&map);
    let Content::ConfigMap { bytes, .. } = reduced.content else { panic!("it is a ConfigMap") };
    assert_eq!((bytes, reduced.name.len(), reduced.addresses.len()), (1_048_573, 253, 1));
}
