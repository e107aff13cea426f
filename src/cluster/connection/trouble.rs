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
        "there is no Secret {secret} in the operator's namespace {namespace}; create it with the kubeconfig under the key {key}"
    )]
    NoSecret { secret: String, namespace: String, key: String },
    #[error("Secret {secret} has no key {key}; put the kubeconfig there")]
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
        "it does not accept the credential in Secret {secret} of the operator's namespace, which has expired or was revoked; \
         put a kubeconfig with a new one there, it is used at once"
    )]
    NotAccepted {
        secret: String,
        #[source]
        source: CallError,
    },
    #[error("the identity that the operator has there lacks a right; give it the role of deploy/{side}")]
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
        let why = crate::causes::whole(&self);
        if unreachable { Reach::Unreachable { since: crate::cluster::now(), why } } else { Reach::Refused { why } }
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

    fn words(trouble: Trouble) -> String {
        trouble.reach().trouble()
    }

    #[test]
    fn a_credential_that_is_not_accepted_is_named_by_its_secret() {
        let trouble = Trouble::NotAccepted { secret: "new-cluster".into(), source: answer(401, "Unauthorized", "") };
        let told = words(trouble);
        assert!(told.contains("credential in Secret new-cluster") && told.contains("with a new one there"), "{told}");
        assert!(told.ends_with("the API server answered 401 Unauthorized"), "{told}");
    }

    #[test]
    fn a_right_that_is_lacking_is_named_in_the_api_servers_words() {
        let why = "namespaces \"kube-system\" is forbidden: User \"o\" cannot get resource \"namespaces\"";
        let told = words(Trouble::Forbidden { side: "target", source: answer(403, "Forbidden", why) });
        assert!(told.contains("role of deploy/target") && told.ends_with(why), "{told}");
    }

    #[test]
    fn what_is_wrong_with_the_secret_is_said_with_what_to_put_there() {
        let (secret, key) = (|| "new-cluster".to_owned(), || "kubeconfig".to_owned());
        let cases = [
            (
                Trouble::NoSecret { secret: secret(), namespace: "ops".into(), key: key() },
                "cannot be used: there is no Secret new-cluster in the operator's namespace ops; create it with the kubeconfig under \
                 the key kubeconfig",
            ),
            (
                Trouble::NoKey { secret: secret(), key: key() },
                "cannot be used: Secret new-cluster has no key kubeconfig; put the kubeconfig there",
            ),
            (
                Trouble::Kubeconfig { secret: secret(), source: KubeconfigError::SeveralDocuments },
                "cannot be used: the kubeconfig in Secret new-cluster is refused: the kubeconfig has several YAML documents; keep one",
            ),
            (Trouble::NoWay, "cannot be used: the connection is neither inCluster nor kubeconfig"),
        ];
        for (trouble, said) in cases {
            assert_eq!(words(trouble), said);
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
