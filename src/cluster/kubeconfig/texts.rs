//! Every refusal of a kubeconfig in its words: what was found, and what to do.

use super::KubeconfigError as E;

/// One of each kind, as a person reads it.
fn texts() -> Vec<(E, &'static str)> {
    vec![
        (
            E::TooLarge { found: 70000 },
            "the kubeconfig has 70000 bytes, more than the 65536 that are read; keep one cluster, one user and one context",
        ),
        (E::NotText, "the kubeconfig is not UTF-8 text; store the file as it is, without another round of base64"),
        (
            E::Malformed { line: 3, column: 7 },
            "the kubeconfig cannot be read at line 3, column 7; compare it with the output of kubectl config view --minify --flatten",
        ),
        (
            E::NotPlainYaml { line: 3, column: 7 },
            "the kubeconfig uses YAML anchors, aliases, merge keys or tags, or is nested too deep, at line 3, column 7; write it out as plain YAML",
        ),
        (
            E::DuplicateField { line: 3, column: 7 },
            "the kubeconfig has a field twice at line 3, column 7; keep one of them",
        ),
        (E::SeveralDocuments, "the kubeconfig has several YAML documents; keep one"),
        (
            E::UnknownField { field: "disable-compression".into(), line: 3, column: 7 },
            "the kubeconfig has the field disable-compression at line 3, column 7, which is not supported; remove it",
        ),
        (
            E::UnknownFieldUnnamed { line: 3, column: 7 },
            "the kubeconfig has a field at line 3, column 7 that is not supported; remove it",
        ),
        (
            E::Header { field: "apiVersion", expected: "v1" },
            "the kubeconfig's apiVersion is not v1; store a kubeconfig, not another object",
        ),
        (
            E::NotExactlyOne { field: "users", found: 2 },
            "the kubeconfig has 2 entries in users, expected exactly one; take the output of kubectl config view --minify --flatten --raw",
        ),
        (E::Missing { field: "current-context" }, "the kubeconfig has no current-context; add it inline"),
        (
            E::Dangling { field: "current-context", to: "contexts[0].name" },
            "the kubeconfig's current-context does not name the one entry that contexts[0].name gives; make the two equal",
        ),
        (
            E::ServerAddress,
            "the kubeconfig's clusters[0].cluster.server is not an address such as https://api.example.org:6443, without user, query and fragment; correct it",
        ),
        (
            E::NotHttps,
            "the kubeconfig's clusters[0].cluster.server does not begin with https://; connections without TLS are refused, use the API server's https address",
        ),
        (
            E::InsecureTls,
            "the kubeconfig has clusters[0].cluster.insecure-skip-tls-verify; certificates are always verified, remove it and give certificate-authority-data",
        ),
        (E::Proxy, "the kubeconfig has clusters[0].cluster.proxy-url; API servers are reached directly, remove it"),
        (
            E::ServerName,
            "the kubeconfig has clusters[0].cluster.tls-server-name; the certificate must be valid for the server's own address, remove it and use such an address",
        ),
        (
            E::FilePath { field: "users[0].user.tokenFile", instead: "token" },
            "the kubeconfig has users[0].user.tokenFile, a path; files are not read, give the content inline as token",
        ),
        (
            E::Exec,
            "the kubeconfig has users[0].user.exec; commands are not run, use a ServiceAccount's token or a client certificate",
        ),
        (
            E::AuthProvider,
            "the kubeconfig has users[0].user.auth-provider; authentication plug-ins are not run, use a ServiceAccount's token or a client certificate",
        ),
        (
            E::Password { field: "users[0].user.password" },
            "the kubeconfig has users[0].user.password; basic authentication is refused, use a ServiceAccount's token or a client certificate",
        ),
        (
            E::Impersonation { field: "users[0].user.as" },
            "the kubeconfig has users[0].user.as; impersonation is refused, give the credential of the identity that is meant",
        ),
        (
            E::NoCredentials,
            "the kubeconfig's users[0].user has no credential; give token, or client-certificate-data and client-key-data",
        ),
        (E::TwoCredentials, "the kubeconfig's users[0].user has a token and a client certificate; keep one of them"),
        (
            E::Token,
            "the kubeconfig's users[0].user.token is empty or has blanks, line breaks or other characters that no token has; store the bare token",
        ),
        (
            E::NotBase64 { field: "users[0].user.client-key-data" },
            "the kubeconfig's users[0].user.client-key-data is not base64; encode the PEM file without line breaks",
        ),
        (
            E::NotPem { field: "users[0].user.client-key-data", expected: "a PEM private key" },
            "the kubeconfig's users[0].user.client-key-data does not hold a PEM private key; encode the PEM file itself",
        ),
    ]
}

/// How many kinds there are: a new one does not compile until it is counted here, and then has no text yet.
fn number(error: &E) -> usize {
    match error {
        E::TooLarge { .. } => 0,
        E::NotText => 1,
        E::Malformed { .. } => 2,
        E::NotPlainYaml { .. } => 3,
        E::DuplicateField { .. } => 4,
        E::SeveralDocuments => 5,
        E::UnknownField { .. } => 6,
        E::UnknownFieldUnnamed { .. } => 7,
        E::Header { .. } => 8,
        E::NotExactlyOne { .. } => 9,
        E::Missing { .. } => 10,
        E::Dangling { .. } => 11,
        E::ServerAddress => 12,
        E::NotHttps => 13,
        E::InsecureTls => 14,
        E::Proxy => 15,
        E::ServerName => 16,
        E::FilePath { .. } => 17,
        E::Exec => 18,
        E::AuthProvider => 19,
        E::Password { .. } => 20,
        E::Impersonation { .. } => 21,
        E::NoCredentials => 22,
        E::TwoCredentials => 23,
        E::Token => 24,
        E::NotBase64 { .. } => 25,
        E::NotPem { .. } => 26,
    }
}

const KINDS: usize = 27;

#[test]
fn every_kind_of_refusal_says_what_was_found_and_what_to_do() {
    let mut found: Vec<_> = texts().iter().map(|(error, _)| number(error)).collect();
    found.sort_unstable();
    assert_eq!(found, (0..KINDS).collect::<Vec<_>>(), "one text for each kind");
    for (error, text) in texts() {
        assert_eq!(error.to_string(), text);
        assert!(text.starts_with("the kubeconfig") && text.contains([';', ',']), "it does not say what to do: {text}");
    }
}
