//! What a cluster has put into the rest of an object, by kind.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::keys::is_job_label;
use super::{Rules, reduced};
use crate::machine::inventory::Kind;
use crate::replicate::fields::{kept, pod_template};
use crate::replicate::image::mapped_image;
use crate::replicate::ingress::mapped_class;

/// Takes out of an object what the source has put into it, and puts the target's names in place of the source's.
pub(super) fn strip(kind: &Kind, object: &mut Value, rules: &Rules) {
    match (kind.group.as_str(), kind.kind.as_str()) {
        // Nothing but the finalizer of the namespace controller.
        ("", "Namespace") => remove(object, "", &["spec"]),
        // Those are tokens of the source; what images are pulled with stays.
        ("", "ServiceAccount") => remove(object, "", &["secrets"]),
        ("", "Service") => service(object, rules),
        ("", "PersistentVolumeClaim") => remove(object, "/spec", &["volumeName"]),
        ("", "PersistentVolume") => remove(object, "/spec", &["claimRef"]),
        ("", "Pod") => remove(object, "/spec", &["nodeName", "priority"]),
        ("apps", "StatefulSet") => claim_templates(object),
        ("batch", "Job") => job(object),
        ("batch", "CronJob") => cron_job(object),
        ("networking.k8s.io" | "extensions", "Ingress") => ingress_class(object, &rules.classes),
        _ => {}
    }
    if let Some(template) = pod_template(kind).and_then(|pointer| object.pointer_mut(pointer)) {
        pods(template, kind, &rules.registries);
    }
}

fn fields<'a>(object: &'a mut Value, pointer: &str) -> Option<&'a mut Map<String, Value>> {
    object.pointer_mut(pointer).and_then(Value::as_object_mut)
}

fn remove(object: &mut Value, pointer: &str, names: &[&str]) {
    let Some(fields) = fields(object, pointer) else { return };
    fields.retain(|name, _| !names.contains(&name.as_str()));
}

fn elements<'a>(object: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Value> {
    object.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten()
}

/// A headless Service has `None` for an address, which is what makes it headless.
fn service(object: &mut Value, rules: &Rules) {
    remove(object, "/spec", &["healthCheckNodePort", "externalIPs", "loadBalancerIP"]);
    if object.pointer("/spec/clusterIP") != Some(&json!("None")) {
        remove(object, "/spec", &["clusterIP", "clusterIPs"]);
    }
    if !rules.keep_node_ports {
        elements(object, "/spec/ports").for_each(|port| remove(port, "", &["nodePort"]));
    }
}

fn claim_templates(object: &mut Value) {
    for claim in elements(object, "/spec/volumeClaimTemplates") {
        remove(claim, "", &["status"]);
        remove(claim, "/spec", &["volumeName"]);
        reduce_metadata(claim, |_| true);
    }
}

/// The selector names the Job's UID, unless somebody has chosen it.
fn job(object: &mut Value) {
    if object.pointer("/spec/manualSelector") != Some(&Value::Bool(true)) {
        remove(object, "/spec", &["selector"]);
    }
}

/// No CronJob runs on both sides: the copy sleeps until the traffic is there.
fn cron_job(object: &mut Value) {
    if let Some(spec) = fields(object, "/spec") {
        spec.insert("suspend".to_owned(), Value::Bool(true));
    }
    if let Some(template) = object.pointer_mut("/spec/jobTemplate") {
        reduce_metadata(template, |key| !is_job_label(key));
    }
}

fn ingress_class(object: &mut Value, classes: &BTreeMap<String, String>) {
    let Some(Value::String(class)) = object.pointer_mut("/spec/ingressClassName") else { return };
    *class = mapped_class(class, classes).to_owned();
}

fn pods(template: &mut Value, kind: &Kind, registries: &BTreeMap<String, String>) {
    if kind.kind != "Pod" {
        reduce_metadata(template, |key| kind.kind != "Job" || !is_job_label(key));
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        elements(template, &format!("/spec/{list}")).for_each(|container| map_image(container, registries));
    }
}

fn map_image(container: &mut Value, registries: &BTreeMap<String, String>) {
    let Some(Value::String(image)) = container.pointer_mut("/image") else { return };
    *image = mapped_image(image, registries);
}

/// A template's metadata: selectors are about its labels, so even a deploying tool's stay.
fn reduce_metadata(template: &mut Value, keeps_label: impl Fn(&str) -> bool) {
    let Some(fields) = template.as_object_mut() else { return };
    let Some(metadata) = fields.remove("metadata") else { return };
    let labels = kept(&metadata["labels"], keeps_label);
    let annotations = kept(&metadata["annotations"], |key| key != crate::replicate::LAST_APPLIED);
    fields.insert("metadata".to_owned(), reduced(&metadata, labels, annotations));
}
