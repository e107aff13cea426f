//! Why a cluster cannot be used, in words for the person who can change it.

use thiserror::Error;

use crate::cluster::call::CallError;
use crate::cluster::client::ConnectError;
use crate::cluster::kubeconfig::KubeconfigError;
use crate::cluster::secret::SecretError;
use crate::machine::observed::Reach;

#[derive(Debug, Error)]
pub(super) enum Trouble {
    #[error("Secret {secret} of the operator's namespace could not be read")]
    ReadSecret {
        secret: String,
        #[source]
        source: Box<SecretError>,
    },
    #[error(
        "there is no Secret {secret} in the operator's namespace {namespace}, which would have the kubeconfig under the key {key}"
    )]
    NoSecret { secret: String, namespace: String, key: String },
    #[error("Secret {secret} has no key {key}")]
    NoKey { secret: String, key: String },
    #[error("the kubeconfig in Secret {secret} is refused")]
    Kubeconfig {
        secret: String,
        #[source]
        source: KubeconfigError,
    },
    #[error("no connection can be made")]
    Connect(#[source] ConnectError),
    #[error("the connection is neither inCluster nor kubeconfig")]
    NoWay,
    #[error(
        "it does not accept the credential in Secret {secret} of the operator's namespace, which has expired or was revoked"
    )]
    NotAccepted {
        secret: String,
        #[source]
        source: CallError,
    },
    #[error("the identity that the operator has there lacks a right")]
    Forbidden {
        side: &'static str,
        #[source]
        source: CallError,
    },
    #[error("asking for the identity of the cluster failed")]
    Identity(#[source] CallError),
    #[error("its identity is {found}")]
    WrongCluster { found: String },
}

impl Trouble {
    /// What the others see of it.
    pub(super) fn reach(self) -> Reach {
        if let Self::WrongCluster { found } = self {
            return Reach::WrongCluster { found };
        }
        let unreachable = self.call().is_some_and(CallError::unreachable);
        let (why, fix) = (crate::causes::whole(&self), self.fix());
        if unreachable { Reach::Unreachable { since: crate::cluster::now(), why } } else { Reach::Refused { why, fix } }
    }

    /// What a person can do about it.
    fn fix(&self) -> String {
        match self {
            Self::ReadSecret { secret, .. } => format!(
                "Let the operator get Secret {secret} in its own namespace (Role namespace-migration-home of deploy/base); it is tried \
                 again by itself."
            ),
            Self::NoSecret { secret, namespace, key } => format!(
                "Create Secret {secret} in namespace {namespace} with the kubeconfig under the key {key}; it is used at once."
            ),
            Self::NoKey { secret, key } => {
                format!("Put the kubeconfig into Secret {secret} under the key {key}; it is used at once.")
            }
            Self::Kubeconfig { secret, .. } => {
                format!("Put a kubeconfig without that into Secret {secret}; it is used at once.")
            }
            Self::Connect(_) => {
                "Mend the certificates and keys of the connection; it is tried again by itself.".to_owned()
            }
            Self::NoWay => "Set inCluster or kubeconfig in the connection of the ClusterPair.".to_owned(),
            Self::NotAccepted { secret, .. } => {
                format!("Put a kubeconfig with a new credential into Secret {secret}; it is used at once.")
            }
            Self::Forbidden { side, .. } => {
                format!("Give that identity the role of deploy/{side}; it is tried again by itself.")
            }
            Self::Identity(_) | Self::WrongCluster { .. } => {
                "Mend the cluster, or its connection in the ClusterPair; it is tried again by itself.".to_owned()
            }
        }
    }

    fn call(&self) -> Option<&CallError> {
        match self {
            Self::Identity(error) => Some(error),
            Self::ReadSecret { source, .. } => source.call(),
            _ => None,
        }
    }

    /// Whether it is the home cluster's trouble: then it says nothing about the kubeconfig.
    pub(super) fn is_of_home(&self) -> bool {
        matches!(self, Self::ReadSecret { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, reason: &str, message: &str) -> CallError {
        CallError::Api { code, reason: reason.into(), message: message.into() }
    }

    /// What is said and what is to be done.
    fn words(trouble: Trouble) -> [String; 2] {
        let reach = trouble.reach();
        [reach.trouble(), reach.fix().unwrap_or_default().to_owned()]
    }

    #[test]
    fn a_credential_that_is_not_accepted_is_named_by_its_secret() {
        let trouble = Trouble::NotAccepted { secret: "new-cluster".into(), source: answer(401, "Unauthorized", "") };
        let [told, fix] = words(trouble);
        assert!(told.contains("credential in Secret new-cluster"), "{told}");
        assert!(told.ends_with("the API server answered 401 Unauthorized"), "{told}");
        assert_eq!(fix, "Put a kubeconfig with a new credential into Secret new-cluster; it is used at once.");
    }

    #[test]
    fn a_right_that_is_lacking_is_named_in_the_api_servers_words() {
        let why = "namespaces \"kube-system\" is forbidden: User \"o\" cannot get resource \"namespaces\"";
        let [told, fix] = words(Trouble::Forbidden { side: "target", source: answer(403, "Forbidden", why) });
        assert!(fix.contains("the role of deploy/target") && told.ends_with(why), "{told} {fix}");
    }

    #[test]
    fn what_is_wrong_with_the_secret_is_said_with_what_to_put_there() {
        let (secret, key) = (|| "new-cluster".to_owned(), || "kubeconfig".to_owned());
        let cases = [
            (
                Trouble::NoSecret { secret: secret(), namespace: "ops".into(), key: key() },
                "cannot be used: there is no Secret new-cluster in the operator's namespace ops, which would have the kubeconfig under the \
                 key kubeconfig",
                "Create Secret new-cluster in namespace ops with the kubeconfig under the key kubeconfig; it is used at once.",
            ),
            (
                Trouble::NoKey { secret: secret(), key: key() },
                "cannot be used: Secret new-cluster has no key kubeconfig",
                "Put the kubeconfig into Secret new-cluster under the key kubeconfig; it is used at once.",
            ),
            (
                Trouble::Kubeconfig { secret: secret(), source: KubeconfigError::SeveralDocuments },
                "cannot be used: the kubeconfig in Secret new-cluster is refused: the kubeconfig has several YAML documents; keep one",
                "Put a kubeconfig without that into Secret new-cluster; it is used at once.",
            ),
            (
                Trouble::NoWay,
                "cannot be used: the connection is neither inCluster nor kubeconfig",
                "Set inCluster or kubeconfig in the connection of the ClusterPair.",
            ),
        ];
        for (trouble, said, fix) in cases {
            assert_eq!(words(trouble), [said, fix]);
        }
    }

    fn no_secret_was_read(source: CallError) -> Trouble {
        let (action, namespace, name) = ("get", "ops".to_owned(), "new-cluster".to_owned());
        let source = Box::new(SecretError::Call { action, namespace, name, source });
        Trouble::ReadSecret { secret: "new-cluster".into(), source }
    }

    #[test]
    fn what_fails_on_the_way_to_a_cluster_is_said_with_what_to_mend() {
        let home = ConnectError::Kubeconfig { path: "/etc/home".into(), source: KubeconfigError::SeveralDocuments };
        let cases = [
            (
                no_secret_was_read(answer(403, "Forbidden", "")),
                "cannot be used: Secret new-cluster of the operator's namespace could not be read: cannot get Secret ops/new-cluster: the \
                 API server answered 403 Forbidden",
                "Let the operator get Secret new-cluster in its own namespace (Role namespace-migration-home of deploy/base); it is tried \
                 again by itself.",
            ),
            (
                Trouble::Connect(home),
                "cannot be used: no connection can be made: cannot use the kubeconfig /etc/home: the kubeconfig has several YAML \
                 documents; keep one",
                "Mend the certificates and keys of the connection; it is tried again by itself.",
            ),
            (
                Trouble::Forbidden { side: "source", source: answer(403, "Forbidden", "") },
                "cannot be used: the identity that the operator has there lacks a right: the API server answered 403 Forbidden",
                "Give that identity the role of deploy/source; it is tried again by itself.",
            ),
            (
                Trouble::Identity(answer(500, "InternalError", "")),
                "cannot be used: asking for the identity of the cluster failed: the API server answered 500 InternalError",
                "Mend the cluster, or its connection in the ClusterPair; it is tried again by itself.",
            ),
        ];
        for (trouble, said, fix) in cases {
            assert_eq!(words(trouble), [said, fix]);
        }
    }

    #[test]
    fn a_secret_or_an_identity_that_nobody_answers_for_is_told_as_no_answer() {
        let cases = [
            (
                no_secret_was_read(answer(503, "", "")),
                "does not answer: Secret new-cluster of the operator's namespace could not be read: cannot get Secret ops/new-cluster: the \
                 API server answered 503",
            ),
            (
                Trouble::Identity(answer(503, "", "")),
                "does not answer: asking for the identity of the cluster failed: the API server answered 503",
            ),
        ];
        for (trouble, said) in cases {
            assert_eq!(words(trouble), [said, ""]);
        }
    }

    #[test]
    fn only_a_cluster_that_does_not_answer_is_unreachable() {
        let away = Trouble::Identity(answer(503, "", ""));
        assert!(matches!(away.reach(), Reach::Unreachable { .. }));
        assert!(matches!(Trouble::Identity(answer(500, "", "")).reach(), Reach::Refused { .. }));
        assert_eq!(Trouble::WrongCluster { found: "u".into() }.reach(), Reach::WrongCluster { found: "u".into() });
    }
}
