//! Why a kubeconfig is refused. Each text names the field and says what to do; none repeats a value.

use thiserror::Error;

/// Why a kubeconfig was refused.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum KubeconfigError {
    /// Larger than [`super::MAX_BYTES`].
    #[error(
        "the kubeconfig has {found} bytes, more than the {} that are read; keep one cluster, one user and one context",
        super::MAX_BYTES
    )]
    TooLarge {
        /// Its size in bytes.
        found: usize,
    },
    /// Not text.
    #[error("the kubeconfig is not UTF-8 text; store the file as it is, without another round of base64")]
    NotText,
    /// Not YAML, or a field of another type than it must have.
    #[error(
        "the kubeconfig cannot be read at line {line}, column {column}; compare it with the output of kubectl config \
         view --minify --flatten"
    )]
    Malformed {
        /// Line, counted from 1; 0 when unknown.
        line: u64,
        /// Column, counted from 1; 0 when unknown.
        column: u64,
    },
    /// Anchors, aliases, merge keys, tags, or far more content than a kubeconfig has.
    #[error(
        "the kubeconfig uses YAML anchors, aliases, merge keys or tags, or is nested too deep, at line {line}, column \
         {column}; write it out as plain YAML"
    )]
    NotPlainYaml {
        /// Line, counted from 1; 0 when unknown.
        line: u64,
        /// Column, counted from 1; 0 when unknown.
        column: u64,
    },
    /// One key twice in a mapping.
    #[error("the kubeconfig has a field twice at line {line}, column {column}; keep one of them")]
    DuplicateField {
        /// Line, counted from 1; 0 when unknown.
        line: u64,
        /// Column, counted from 1; 0 when unknown.
        column: u64,
    },
    /// More than one YAML document.
    #[error("the kubeconfig has several YAML documents; keep one")]
    SeveralDocuments,
    /// A field that is not on the list.
    #[error("the kubeconfig has the field {field} at line {line}, column {column}, which is not supported; remove it")]
    UnknownField {
        /// The field's name.
        field: String,
        /// Line, counted from 1; 0 when unknown.
        line: u64,
        /// Column, counted from 1; 0 when unknown.
        column: u64,
    },
    /// A field that is not on the list and whose name may itself be a credential in the wrong place.
    #[error("the kubeconfig has a field at line {line}, column {column} that is not supported; remove it")]
    UnknownFieldUnnamed {
        /// Line, counted from 1; 0 when unknown.
        line: u64,
        /// Column, counted from 1; 0 when unknown.
        column: u64,
    },
    /// Another kind of document.
    #[error("the kubeconfig's {field} is not {expected}; store a kubeconfig, not another object")]
    Header {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// No or several entries.
    #[error(
        "the kubeconfig has {found} entries in {field}, expected exactly one; take the output of kubectl config view \
         --minify --flatten --raw"
    )]
    NotExactlyOne {
        /// The list.
        field: &'static str,
        /// How many it has.
        found: usize,
    },
    /// A field that is needed is not there.
    #[error("the kubeconfig has no {field}; add it inline")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A reference to an entry that is not there.
    #[error("the kubeconfig's {field} does not name the one entry that {to} gives; make the two equal")]
    Dangling {
        /// The field that refers.
        field: &'static str,
        /// The field that it must be equal to.
        to: &'static str,
    },
    /// The server's address is not a plain https URL.
    #[error(
        "the kubeconfig's clusters[0].cluster.server is not an address such as https://api.example.org:6443, without \
         user, query and fragment; correct it"
    )]
    ServerAddress,
    /// The server is addressed without TLS.
    #[error(
        "the kubeconfig's clusters[0].cluster.server does not begin with https://; connections without TLS are \
         refused, use the API server's https address"
    )]
    NotHttps,
    /// Certificate verification switched off.
    #[error(
        "the kubeconfig has clusters[0].cluster.insecure-skip-tls-verify; certificates are always verified, remove it \
         and give certificate-authority-data"
    )]
    InsecureTls,
    /// A proxy.
    #[error("the kubeconfig has clusters[0].cluster.proxy-url; API servers are reached directly, remove it")]
    Proxy,
    /// Another name for the server's certificate.
    #[error(
        "the kubeconfig has clusters[0].cluster.tls-server-name; the certificate must be valid for the server's own \
         address, remove it and use such an address"
    )]
    ServerName,
    /// A path in place of inline data.
    #[error("the kubeconfig has {field}, a path; files are not read, give the content inline as {instead}")]
    FilePath {
        /// The field.
        field: &'static str,
        /// What to use.
        instead: &'static str,
    },
    /// A command that would be run.
    #[error(
        "the kubeconfig has users[0].user.exec; commands are not run, use a ServiceAccount's token or a client \
         certificate"
    )]
    Exec,
    /// A plug-in that would be run.
    #[error(
        "the kubeconfig has users[0].user.auth-provider; authentication plug-ins are not run, use a ServiceAccount's \
         token or a client certificate"
    )]
    AuthProvider,
    /// Basic authentication.
    #[error(
        "the kubeconfig has {field}; basic authentication is refused, use a ServiceAccount's token or a client \
         certificate"
    )]
    Password {
        /// The field.
        field: &'static str,
    },
    /// Another identity.
    #[error("the kubeconfig has {field}; impersonation is refused, give the credential of the identity that is meant")]
    Impersonation {
        /// The field.
        field: &'static str,
    },
    /// Nothing to log in with.
    #[error(
        "the kubeconfig's users[0].user has no credential; give token, or client-certificate-data and client-key-data"
    )]
    NoCredentials,
    /// More than one thing to log in with.
    #[error("the kubeconfig's users[0].user has a token and a client certificate; keep one of them")]
    TwoCredentials,
    /// The token cannot be sent.
    #[error(
        "the kubeconfig's users[0].user.token is empty or has blanks, line breaks or other characters that no token \
         has; store the bare token"
    )]
    Token,
    /// Data that is not base64.
    #[error("the kubeconfig's {field} is not base64; encode the PEM file without line breaks")]
    NotBase64 {
        /// The field.
        field: &'static str,
    },
    /// Data that is not the PEM that it must be.
    #[error("the kubeconfig's {field} does not hold {expected}; encode the PEM file itself")]
    NotPem {
        /// The field.
        field: &'static str,
        /// What it must hold.
        expected: &'static str,
    },
}
