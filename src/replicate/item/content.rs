//! What is in an object, by its kind.

use std::collections::BTreeSet;

use serde_json::Value;

use super::entry_names;
use super::workload::workload;
use crate::machine::inventory::{Content, IngressContent, Kind, SecretContent, ServiceContent};
use crate::replicate::fields::{array, entries, is_secret, keys, pairs, pod_template, some_text, text, texts};

/// The content of an object of this kind; `Other` for kinds that no check looks into.
pub(super) fn content(kind: &Kind, object: &Value) -> Content {
    if let Some(template) = pod_template(kind) {
        return Content::Workload(Box::new(workload(kind, object, template)));
    }
    if is_secret(kind) {
        return Content::Secret(secret(object));
    }
    let spec = &object["spec"];
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "ConfigMap") => config_map(object),
        ("", "Service") => Content::Service(service(spec)),
        ("networking.k8s.io" | "extensions", "Ingress") => Content::Ingress(ingress(object)),
        ("", "ServiceAccount") => Content::ServiceAccount { pull_secrets: names(&object["imagePullSecrets"]) },
        ("", "PersistentVolumeClaim") => claim(spec),
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaler(spec),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => binding(object),
        ("networking.k8s.io", "NetworkPolicy") => network_policy(spec),
        ("", "ResourceQuota") => Content::Quota { hard: pairs(&spec["hard"]), used: pairs(&object["status"]["used"]) },
        ("cert-manager.io", "Certificate") => certificate(object),
        ("coordination.k8s.io", "Lease") => Content::Lease { holder: some_text(&spec["holderIdentity"]) },
        _ => Content::Other,
    }
}

fn names(list: &Value) -> BTreeSet<String> {
    texts(array(list).map(|entry| &entry["name"]))
}

fn secret(object: &Value) -> SecretContent {
    SecretContent { kind: text(&object["type"]), immutable: object["immutable"] == true, keys: entry_names(object) }
}

fn config_map(object: &Value) -> Content {
    let (data, binary) = (&object["data"], &object["binaryData"]);
    let both = || entries(data).chain(entries(binary));
    Content::ConfigMap {
        keys: keys(data).into_iter().chain(keys(binary)).collect(),
        immutable: object["immutable"] == true,
        bytes: both().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum(),
    }
}

fn service(spec: &Value) -> ServiceContent {
    ServiceContent {
        kind: some_text(&spec["type"]).unwrap_or_else(|| "ClusterIP".to_owned()),
        headless: spec["clusterIP"] == "None",
        selector: pairs(&spec["selector"]),
        external_ips: texts(array(&spec["externalIPs"])),
        external_name: some_text(&spec["externalName"]),
    }
}

fn ingress(object: &Value) -> IngressContent {
    let (spec, annotations) = (&object["spec"], &object["metadata"]["annotations"]);
    let certificate = |tls: &Value| (some_text(&tls["secretName"]), texts(array(&tls["hosts"])));
    IngressContent {
        class: some_text(&spec["ingressClassName"]).or_else(|| some_text(&annotations["kubernetes.io/ingress.class"])),
        hosts: texts(array(&spec["rules"]).map(|rule| &rule["host"])),
        certificates: array(&spec["tls"]).map(certificate).collect(),
        services: services(spec),
    }
}

/// By the name of version 1, or by that of the versions before it.
fn services(spec: &Value) -> BTreeSet<String> {
    let paths = array(&spec["rules"]).flat_map(|rule| array(&rule["http"]["paths"])).map(|path| &path["backend"]);
    let backends = paths.chain([&spec["defaultBackend"], &spec["backend"]]);
    texts(backends.flat_map(|backend| [&backend["service"]["name"], &backend["serviceName"]]))
}

fn claim(spec: &Value) -> Content {
    Content::Claim {
        storage_class: some_text(&spec["storageClassName"]),
        size: text(&spec["resources"]["requests"]["storage"]),
        access_modes: array(&spec["accessModes"]).filter_map(some_text).collect(),
    }
}

/// Without a minimum it is 1: <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/horizontal-pod-autoscaler-v2/>
fn autoscaler(spec: &Value) -> Content {
    let target = &spec["scaleTargetRef"];
    Content::Autoscaler {
        target: (text(&target["kind"]), text(&target["name"])),
        least: spec["minReplicas"].as_i64().unwrap_or(1),
        most: spec["maxReplicas"].as_i64().unwrap_or_default(),
    }
}

fn binding(object: &Value) -> Content {
    let role = &object["roleRef"];
    let subject = |subject: &Value| (text(&subject["kind"]), some_text(&subject["namespace"]), text(&subject["name"]));
    Content::Binding {
        role: (text(&role["kind"]), text(&role["name"])),
        subjects: array(&object["subjects"]).map(subject).collect(),
    }
}

fn network_policy(spec: &Value) -> Content {
    let rules = || array(&spec["ingress"]).flat_map(|rule| array(&rule["from"]));
    let peers: Vec<_> = rules().chain(array(&spec["egress"]).flat_map(|rule| array(&rule["to"]))).collect();
    let types: Vec<_> = array(&spec["policyTypes"]).collect();
    Content::NetworkPolicy {
        namespaces: peers
            .iter()
            .map(|peer| pairs(&peer["namespaceSelector"]["matchLabels"]))
            .filter(|labels| !labels.is_empty())
            .collect(),
        ranges: texts(peers.iter().map(|peer| &peer["ipBlock"]["cidr"])),
        // A policy that names no types is one for what comes in.
        restricts_ingress: types.is_empty() || types.iter().any(|kind| *kind == "Ingress"),
    }
}

fn certificate(object: &Value) -> Content {
    let (spec, status) = (&object["spec"], &object["status"]);
    let ready = array(&status["conditions"]).find(|condition| condition["type"] == "Ready");
    Content::Certificate {
        secret: text(&spec["secretName"]),
        issuer: (
            some_text(&spec["issuerRef"]["kind"]).unwrap_or_else(|| "Issuer".to_owned()),
            text(&spec["issuerRef"]["name"]),
        ),
        names: texts(array(&spec["dnsNames"]).chain([&spec["commonName"]])),
        ready: ready.map(|condition| condition["status"] == "True"),
        not_after: status["notAfter"].as_str().and_then(|text| text.parse().ok()),
    }
}
