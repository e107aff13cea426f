//! Secrets that must not be copied, and why.

/// The type of a service account's token.
pub(super) const ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";

/// Why a Secret of this type and name must not be copied. None when it may.
pub fn refusal(name: &str, kind: &str, has_owner: bool) -> Option<String> {
    let why = match kind {
        ACCOUNT_TOKEN => {
            "it is a service account's token, which only the cluster that signed it accepts; create one on the target"
        }
        "bootstrap.kubernetes.io/token" => "it is a token for joining nodes to the source cluster",
        "helm.sh/release.v1" => "it is Helm's record of a release on the source; install the release on the target",
        _ if name.starts_with("sh.helm.release.v1.") => {
            "it is Helm's record of a release on the source; install the release on the target"
        }
        _ if has_owner => "a controller made it and owns it; let the same controller make it on the target",
        _ => return None,
    };
    Some(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_helm_releases_and_generated_secrets_are_refused_with_the_reason() {
        assert!(refusal("t", "kubernetes.io/service-account-token", false).unwrap().contains("token"));
        assert!(refusal("sh.helm.release.v1.web.v3", "Opaque", false).unwrap().contains("Helm"));
        assert!(refusal("r", "helm.sh/release.v1", false).unwrap().contains("Helm"));
        assert!(refusal("g", "Opaque", true).unwrap().contains("controller"));
        assert_eq!(refusal("api-key", "Opaque", false), None);
    }
}
