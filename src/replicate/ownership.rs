//! Who deploys an object, from the marks that Helm, Argo CD and Flux leave. One object has one owner.

use serde_json::Value;

/// Labels and annotations by which Helm, Argo CD and Flux recognise what is theirs. A copy that kept them would be
/// adopted, or pruned, by a tool that never made it. The last is kubectl's copy of the whole object, values included.
const TRACKING_KEYS: [&str; 3] = ["app.kubernetes.io/managed-by", "app.kubernetes.io/instance", super::LAST_APPLIED];
/// Every key under these domains, and under those below them, is such a mark as well. kapp and Rancher keep whole objects under theirs.
const TRACKING_DOMAINS: [&str; 5] =
    ["helm.sh", "argocd.argoproj.io", "fluxcd.io", "kapp.k14s.io", "objectset.rio.cattle.io"];

/// Whether a label or annotation is one by which a tool finds its objects again.
pub fn is_tracking_key(key: &str) -> bool {
    TRACKING_KEYS.contains(&key) || TRACKING_DOMAINS.iter().any(|parent| is_within(key, parent))
}

/// What stands before the slash of a label's or annotation's key; empty where there is none.
pub(super) fn domain(key: &str) -> &str {
    key.split_once('/').map_or("", |(domain, _)| domain)
}

/// Whether a key is under this domain, or under one below it.
pub(super) fn is_within(key: &str, parent: &str) -> bool {
    domain(key).strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Who deploys the object, as a phrase for a sentence. None when nobody is known to.
pub fn deployed_by(metadata: &Value) -> Option<String> {
    let mark = |key: &str| metadata["annotations"][key].as_str().or_else(|| metadata["labels"][key].as_str());
    if let Some(tool) = tool(mark) {
        return Some(tool);
    }
    let owner = metadata["ownerReferences"].as_array()?.first()?;
    Some(format!("{} {}", owner["kind"].as_str()?, owner["name"].as_str()?))
}

/// The tool whose marks an object has, and its name for what it belongs to. `mark` finds an annotation or a label by its key.
pub(super) fn tool<'a>(mark: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    if let Some(name) = mark("kustomize.toolkit.fluxcd.io/name") {
        return Some(format!("the Flux Kustomization {name}"));
    }
    if let Some(name) = mark("helm.toolkit.fluxcd.io/name") {
        return Some(format!("the Flux HelmRelease {name}"));
    }
    if let Some(id) = mark("argocd.argoproj.io/tracking-id").or_else(|| mark("argocd.argoproj.io/instance")) {
        return Some(format!("the Argo CD Application {}", id.split(':').next().unwrap_or_default()));
    }
    if let Some(name) = mark("meta.helm.sh/release-name") {
        return Some(format!("the Helm release {name}"));
    }
    (mark("app.kubernetes.io/managed-by") == Some("Helm")).then(|| "Helm".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_tool_is_recognised_by_its_mark() {
        let cases = [
            (json!({"annotations": {"meta.helm.sh/release-name": "web"}}), Some("the Helm release web")),
            (json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}}), Some("Helm")),
            (
                json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:networking.k8s.io/Ingress:a/b"}}),
                Some("the Argo CD Application shop"),
            ),
            (json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}), Some("the Flux Kustomization apps")),
            (json!({"ownerReferences": [{"kind": "App", "name": "x"}]}), Some("App x")),
            (json!({"labels": {"app": "web"}}), None),
        ];
        for (metadata, expected) in cases {
            assert_eq!(deployed_by(&metadata).as_deref(), expected, "{metadata}");
        }
    }
}
