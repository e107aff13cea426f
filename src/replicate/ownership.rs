//! Who deploys an object, from the marks that Helm, Argo CD and Flux leave. One object has one owner.

use serde_json::Value;

/// Labels and annotations by which a tool finds its objects again. Copied along, they make the tool adopt or delete the copy.
const TRACKING: [&str; 10] = [
    "meta.helm.sh/release-name",
    "meta.helm.sh/release-namespace",
    "helm.sh/chart",
    "argocd.argoproj.io/tracking-id",
    "argocd.argoproj.io/instance",
    "argocd.argoproj.io/sync-wave",
    "kustomize.toolkit.fluxcd.io/name",
    "kustomize.toolkit.fluxcd.io/namespace",
    "helm.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/namespace",
];

/// Whether a label or annotation is one by which a tool finds its objects again.
pub fn is_tracking_key(key: &str) -> bool {
    TRACKING.contains(&key)
}

/// Who deploys the object, as a phrase for a sentence. None when nobody is known to.
pub fn deployed_by(metadata: &Value) -> Option<String> {
    let mark = |key: &str| {
        let found = metadata["annotations"][key].as_str().or_else(|| metadata["labels"][key].as_str());
        found.map(str::to_owned)
    };
    if let Some(name) = mark("kustomize.toolkit.fluxcd.io/name") {
        return Some(format!("the Flux Kustomization {name}"));
    }
    if let Some(name) = mark("helm.toolkit.fluxcd.io/name") {
        return Some(format!("the Flux HelmRelease {name}"));
    }
    if let Some(id) = mark("argocd.argoproj.io/tracking-id").or_else(|| mark("argocd.argoproj.io/instance")) {
        let application = id.split(':').next().unwrap_or_default().to_owned();
        return Some(format!("the Argo CD Application {application}"));
    }
    if let Some(name) = mark("meta.helm.sh/release-name") {
        return Some(format!("the Helm release {name}"));
    }
    if mark("app.kubernetes.io/managed-by").as_deref() == Some("Helm") {
        return Some("Helm".to_owned());
    }
    let owner = metadata["ownerReferences"].as_array()?.first()?;
    Some(format!("{} {}", owner["kind"].as_str()?, owner["name"].as_str()?))
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
