//! The target's Ingress, made from the source's: class mapped, annotations by allow-list, identifier and weight its own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::fields::kept;
use super::{LAST_APPLIED, is_tracking_key};
use crate::api::{OWNER_ANNOTATION, OWNER_LABEL, STAMP_ANNOTATION};

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const NGINX: &str = "nginx.ingress.kubernetes.io/";

/// Annotations of ingress-nginx that are values, not code, and reach nothing outside the Ingress.
/// Snippets, authentication by URL, redirects and aliases are left out: they are code or point elsewhere.
const HARMLESS: [&str; 40] = [
    "affinity",
    "affinity-mode",
    "allowlist-source-range",
    "backend-protocol",
    "client-body-buffer-size",
    "connection-proxy-header",
    "cors-allow-credentials",
    "cors-allow-headers",
    "cors-allow-methods",
    "cors-allow-origin",
    "cors-expose-headers",
    "cors-max-age",
    "custom-http-errors",
    "denylist-source-range",
    "enable-cors",
    "force-ssl-redirect",
    "limit-burst-multiplier",
    "limit-connections",
    "limit-rpm",
    "limit-rps",
    "limit-whitelist",
    "load-balance",
    "preserve-trailing-slash",
    "proxy-body-size",
    "proxy-buffer-size",
    "proxy-buffering",
    "proxy-buffers-number",
    "proxy-connect-timeout",
    "proxy-http-version",
    "proxy-next-upstream",
    "proxy-next-upstream-tries",
    "proxy-read-timeout",
    "proxy-request-buffering",
    "proxy-send-timeout",
    "rewrite-target",
    "session-cookie-max-age",
    "session-cookie-name",
    "ssl-redirect",
    "use-regex",
    "whitelist-source-range",
];

/// What the target's Ingress differs in.
#[derive(Clone, Debug)]
pub struct IngressRules<'a> {
    /// Prefix of the source's external-dns annotations.
    pub source_prefix: &'a str,
    /// Prefix of the target's external-dns annotations.
    pub target_prefix: &'a str,
    /// Classes that have another name on the target.
    pub classes: &'a BTreeMap<String, String>,
    /// The target's DNS set identifier.
    pub identifier: &'a str,
    /// The stamp's text.
    pub stamp: &'a str,
    /// The owner, for people.
    pub owner: &'a str,
    /// The owner's label, for us.
    pub owner_label: &'a str,
}

/// The annotations of the source's Ingress that the target's will not have, of those that mean something to somebody.
pub fn left_out(names: &BTreeSet<String>, source_prefix: &str) -> Vec<String> {
    let meaningless = |name: &str| {
        let dns = name.strip_prefix(source_prefix).is_some_and(|rest| ["set-identifier", "aws-weight"].contains(&rest));
        dns || name == LAST_APPLIED || name == STAMP_ANNOTATION
    };
    names.iter().filter(|name| !meaningless(name) && !is_copied(name, source_prefix)).cloned().collect()
}

fn is_copied(name: &str, source_prefix: &str) -> bool {
    let harmless = name.strip_prefix(NGINX).is_some_and(|rest| HARMLESS.contains(&rest));
    // All records of a weighted set must have one TTL, or the DNS provider refuses the second.
    let ttl = name.strip_prefix(source_prefix) == Some("ttl");
    harmless || ttl || name == CLASS_ANNOTATION
}

/// The target's Ingress at weight 0, as JSON. `source` is the source's live object.
pub fn target_ingress(source: &Value, rules: &IngressRules<'_>) -> Value {
    let metadata = &source["metadata"];
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": labels(metadata, rules),
            "annotations": annotations(metadata, rules),
        },
        "spec": spec(&source["spec"], rules),
    })
}

fn labels(metadata: &Value, rules: &IngressRules<'_>) -> Map<String, Value> {
    let mut labels = kept(&metadata["labels"], |name| !is_tracking_key(name));
    labels.insert(OWNER_LABEL.to_owned(), json!(rules.owner_label));
    labels
}

fn annotations(metadata: &Value, rules: &IngressRules<'_>) -> Map<String, Value> {
    let prefixes = (rules.source_prefix, rules.target_prefix);
    let mut annotations = translated(&metadata["annotations"], prefixes, rules.classes);
    annotations.insert(format!("{}set-identifier", rules.target_prefix), json!(rules.identifier));
    annotations.insert(format!("{}aws-weight", rules.target_prefix), json!("0"));
    annotations.insert(STAMP_ANNOTATION.to_owned(), json!(rules.stamp));
    annotations.insert(OWNER_ANNOTATION.to_owned(), json!(rules.owner));
    annotations
}

/// The annotations that the target's Ingress takes over from the source's, as they read on the target. `prefixes` are those of the
/// source's and of the target's external-dns.
pub(super) fn translated(
    annotations: &Value,
    prefixes: (&str, &str),
    classes: &BTreeMap<String, String>,
) -> Map<String, Value> {
    let copied = kept(annotations, |name| is_copied(name, prefixes.0));
    let translate = |(name, value): (String, Value)| match name.strip_prefix(prefixes.0) {
        Some(rest) if !prefixes.0.is_empty() => (format!("{}{rest}", prefixes.1), value),
        _ if name == CLASS_ANNOTATION => (name, json!(mapped_class(value.as_str().unwrap_or_default(), classes))),
        _ => (name, value),
    };
    copied.into_iter().map(translate).collect()
}

fn spec(source: &Value, rules: &IngressRules<'_>) -> Value {
    let mut spec = source.clone();
    if let Some(class) = source["ingressClassName"].as_str() {
        spec["ingressClassName"] = json!(mapped_class(class, rules.classes));
    }
    spec
}

/// A class's name on the target.
pub(super) fn mapped_class<'a>(class: &'a str, classes: &'a BTreeMap<String, String>) -> &'a str {
    classes.get(class).map_or(class, String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(annotations: Value) -> Value {
        let source = json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "9", "finalizers": ["x"],
                "labels": {"app": "web", "helm.sh/chart": "c"}, "annotations": annotations},
            "spec": {"ingressClassName": "old", "rules": [{"host": "shop.example"}], "unknownField": 1},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
        });
        let classes = [("old".to_owned(), "new".to_owned())].into();
        target_ingress(
            &source,
            &IngressRules {
                source_prefix: "external-dns.alpha.kubernetes.io/",
                target_prefix: "external-dns.kubernetes.io/",
                classes: &classes,
                identifier: "web-shop-green",
                stamp: "{}",
                owner: "o",
                owner_label: "l",
            },
        )
    }

    #[test]
    fn the_copy_has_its_own_identifier_weight_and_class_and_nothing_of_the_sources_life() {
        let made = made(json!({
            "external-dns.alpha.kubernetes.io/set-identifier": "web-shop-blue",
            "external-dns.alpha.kubernetes.io/aws-weight": "100",
            "external-dns.alpha.kubernetes.io/target": "source-lb.example",
            "external-dns.alpha.kubernetes.io/ttl": "60",
        }));
        let annotations = &made["metadata"]["annotations"];
        assert_eq!(annotations["external-dns.kubernetes.io/set-identifier"], "web-shop-green");
        assert_eq!(annotations["external-dns.kubernetes.io/aws-weight"], "0");
        assert_eq!(annotations["external-dns.kubernetes.io/ttl"], "60");
        assert_eq!(annotations.as_object().unwrap().len(), 5);
        assert_eq!(made["spec"]["ingressClassName"], "new");
        assert_eq!(made["spec"]["unknownField"], 1);
        assert_eq!(made["metadata"]["labels"], json!({"app": "web", OWNER_LABEL: "l"}));
        for gone in ["uid", "resourceVersion", "finalizers"] {
            assert!(made["metadata"].get(gone).is_none(), "{gone}");
        }
        assert!(made.get("status").is_none());
    }

    #[test]
    fn code_and_pointers_elsewhere_are_left_out_and_listed() {
        let names = [
            "nginx.ingress.kubernetes.io/configuration-snippet",
            "nginx.ingress.kubernetes.io/auth-url",
            "nginx.ingress.kubernetes.io/proxy-body-size",
            "external-dns.alpha.kubernetes.io/target",
            "external-dns.alpha.kubernetes.io/aws-weight",
            LAST_APPLIED,
        ];
        let left = left_out(&names.map(str::to_owned).into(), "external-dns.alpha.kubernetes.io/");
        let expected = [
            "external-dns.alpha.kubernetes.io/target",
            "nginx.ingress.kubernetes.io/auth-url",
            "nginx.ingress.kubernetes.io/configuration-snippet",
        ];
        assert_eq!(left, expected);
        let made = made(
            json!({"nginx.ingress.kubernetes.io/configuration-snippet": "evil", "nginx.ingress.kubernetes.io/proxy-body-size": "8m"}),
        );
        let annotations = made["metadata"]["annotations"].as_object().unwrap();
        assert!(annotations.contains_key("nginx.ingress.kubernetes.io/proxy-body-size"));
        assert!(!annotations.keys().any(|name| name.contains("snippet")));
    }
}
