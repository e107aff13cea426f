//! The kubeconfig as YAML: every field that a kubeconfig may have, so that each refusal can say which one it is about.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::MergeKeyPolicy;
use serde_saphyr::{Error, budget, options};
use zeroize::Zeroizing;

use super::KubeconfigError;

/// A kubeconfig has some thirty; this is the wall against bombs, not a fine measure.
const MAX_NODES: usize = 512;
/// An unknown field's name is repeated in the error up to this length, because a longer one may be a pasted credential.
const MAX_FIELD_NAME: usize = 32;

/// A value that must not be shown. Wiped when dropped.
#[derive(Clone)]
pub(super) struct Sensitive(Zeroizing<String>);

impl Sensitive {
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Sensitive {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    #[serde(rename = "apiVersion")]
    pub(super) api_version: Option<String>,
    pub(super) kind: Option<String>,
    #[serde(rename = "preferences")]
    _preferences: Option<Preferences>,
    #[serde(rename = "current-context")]
    pub(super) current_context: Option<String>,
    #[serde(default)]
    pub(super) clusters: Vec<NamedCluster>,
    #[serde(default)]
    pub(super) users: Vec<NamedUser>,
    #[serde(default)]
    pub(super) contexts: Vec<NamedContext>,
}

/// kubectl writes `preferences: {}`; anything inside is an unknown field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Preferences {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedCluster {
    pub(super) name: String,
    pub(super) cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedUser {
    pub(super) name: String,
    pub(super) user: User,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedContext {
    pub(super) name: String,
    pub(super) context: Context,
}

/// The namespace is part of every context that kubectl writes. Nothing here has a default namespace, so it is not used.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Context {
    pub(super) cluster: Option<String>,
    pub(super) user: Option<String>,
    #[serde(rename = "namespace")]
    _namespace: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Cluster {
    pub(super) server: Option<String>,
    pub(super) certificate_authority_data: Option<Sensitive>,
    certificate_authority: Option<IgnoredAny>,
    insecure_skip_tls_verify: Option<IgnoredAny>,
    proxy_url: Option<IgnoredAny>,
    tls_server_name: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct User {
    pub(super) token: Option<Sensitive>,
    pub(super) client_certificate_data: Option<Sensitive>,
    pub(super) client_key_data: Option<Sensitive>,
    #[serde(rename = "tokenFile")]
    token_file: Option<IgnoredAny>,
    client_certificate: Option<IgnoredAny>,
    client_key: Option<IgnoredAny>,
    exec: Option<IgnoredAny>,
    auth_provider: Option<IgnoredAny>,
    username: Option<IgnoredAny>,
    password: Option<IgnoredAny>,
    #[serde(rename = "as")]
    impersonate: Option<IgnoredAny>,
    as_uid: Option<IgnoredAny>,
    as_groups: Option<IgnoredAny>,
    as_user_extra: Option<IgnoredAny>,
}

fn refuse<const N: usize>(known: [(bool, KubeconfigError); N]) -> Result<(), KubeconfigError> {
    match known.into_iter().find(|(present, _)| *present) {
        Some((_, refusal)) => Err(refusal),
        None => Ok(()),
    }
}

impl Cluster {
    /// Names the first field that is known and not allowed.
    pub(super) fn refuse_foreign_fields(&self) -> Result<(), KubeconfigError> {
        use KubeconfigError::{FilePath, InsecureTls, Proxy, ServerName};
        let authority = "clusters[0].cluster.certificate-authority";
        refuse([
            (self.insecure_skip_tls_verify.is_some(), InsecureTls),
            (
                self.certificate_authority.is_some(),
                FilePath { field: authority, instead: "certificate-authority-data" },
            ),
            (self.proxy_url.is_some(), Proxy),
            (self.tls_server_name.is_some(), ServerName),
        ])
    }
}

impl User {
    /// Names the first field that is known and not allowed.
    pub(super) fn refuse_foreign_fields(&self) -> Result<(), KubeconfigError> {
        use KubeconfigError::{AuthProvider, Exec, FilePath, Impersonation, Password};
        let certificate = "users[0].user.client-certificate";
        let key = "users[0].user.client-key";
        refuse([
            (self.exec.is_some(), Exec),
            (self.auth_provider.is_some(), AuthProvider),
            (self.token_file.is_some(), FilePath { field: "users[0].user.tokenFile", instead: "token" }),
            (self.client_certificate.is_some(), FilePath { field: certificate, instead: "client-certificate-data" }),
            (self.client_key.is_some(), FilePath { field: key, instead: "client-key-data" }),
            (self.impersonate.is_some(), Impersonation { field: "users[0].user.as" }),
            (self.as_uid.is_some(), Impersonation { field: "users[0].user.as-uid" }),
            (self.as_groups.is_some(), Impersonation { field: "users[0].user.as-groups" }),
            (self.as_user_extra.is_some(), Impersonation { field: "users[0].user.as-user-extra" }),
            (self.username.is_some(), Password { field: "users[0].user.username" }),
            (self.password.is_some(), Password { field: "users[0].user.password" }),
        ])
    }
}

/// Parses the text as exactly one plain YAML document.
pub(super) fn read(text: &str) -> Result<Document, KubeconfigError> {
    let options = options! {
        budget: budget! {
            max_aliases: 0,
            max_anchors: 0,
            max_documents: 1,
            max_depth: 16,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
        },
        merge_keys: MergeKeyPolicy::Error,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| without_values(&error))
}

/// The library's messages quote what they found; these say where it is instead.
fn without_values(error: &Error) -> KubeconfigError {
    let (line, column) = error.location().map_or((0, 0), |location| (location.line(), location.column()));
    match error.without_snippet() {
        Error::SerdeUnknownField { field, .. } if is_field_name(field) => {
            KubeconfigError::UnknownField { field: field.clone(), line, column }
        }
        Error::SerdeUnknownField { .. } => KubeconfigError::UnknownFieldUnnamed { line, column },
        Error::SerdeMissingField { field, .. } => KubeconfigError::Missing { field },
        Error::DuplicateMappingKey { .. } => KubeconfigError::DuplicateField { line, column },
        Error::MultipleDocuments { .. } | Error::Budget { breach: BudgetBreach::Documents { .. }, .. } => {
            KubeconfigError::SeveralDocuments
        }
        Error::Budget { .. } | Error::MergeKeyNotAllowed { .. } | Error::UnsupportedTag { .. } => {
            KubeconfigError::NotPlainYaml { line, column }
        }
        _ => KubeconfigError::Malformed { line, column },
    }
}

fn is_field_name(text: &str) -> bool {
    text.len() <= MAX_FIELD_NAME && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
}
