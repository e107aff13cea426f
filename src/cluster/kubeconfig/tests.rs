use proptest::prelude::*;

use super::*;
use crate::cluster::client::{ConnectError, connect};
use crate::metrics::{ClusterSide, Metrics};

/// Stands for every value that must not come back in an error.
const CANARY: &str = "canary-5d1f8e20";

struct Pki {
    authority: String,
    key: String,
}

fn pki() -> Pki {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["api.example.org".into()]).unwrap();
    Pki { authority: STANDARD.encode(cert.pem()), key: STANDARD.encode(signing_key.serialize_pem()) }
}

/// A good kubeconfig, with `cluster` and `user` in place of the fields of its only cluster and user.
fn kubeconfig(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\npreferences: {{}}\ncurrent-context: only\n\
         clusters:\n- name: c\n  cluster: {{{cluster}}}\n\
         users:\n- name: u\n  user: {{{user}}}\n\
         contexts:\n- name: only\n  context: {{cluster: c, user: u, namespace: shop}}\n"
    )
}

fn cluster_fields() -> String {
    format!("server: 'https://api.example.org:6443', certificate-authority-data: {}", pki().authority)
}

fn good() -> String {
    kubeconfig(&cluster_fields(), "token: abc.def")
}

fn refusal(text: &str) -> KubeconfigError {
    let error = parse(text.as_bytes()).err().unwrap_or_else(|| panic!("accepted:\n{text}"));
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(CANARY), "the error repeats a value: {shown}");
    error
}

fn cluster_refusal(extra: &str) -> KubeconfigError {
    refusal(&kubeconfig(&format!("{}, {extra}", cluster_fields()), &format!("token: {CANARY}")))
}

fn user_refusal(user: &str) -> KubeconfigError {
    refusal(&kubeconfig(&cluster_fields(), user))
}

fn server_refusal(server: &str) -> KubeconfigError {
    let cluster = format!("server: '{server}', certificate-authority-data: {}", pki().authority);
    refusal(&kubeconfig(&cluster, &format!("token: {CANARY}")))
}

#[test]
fn a_token_becomes_a_connection_with_nothing_but_the_listed_fields() {
    let config = parse(good().as_bytes()).unwrap().config();
    assert_eq!(config.cluster_url.to_string(), "https://api.example.org:6443/");
    assert_eq!(config.root_cert.map(|roots| roots.len()), Some(1));
    assert!(!config.accept_invalid_certs && config.proxy_url.is_none() && config.tls_server_name.is_none());
    let user = config.auth_info;
    assert!(user.token.is_some() && user.token_file.is_none() && user.exec.is_none() && user.auth_provider.is_none());
    assert!(user.client_certificate_data.is_none() && user.impersonate.is_none() && user.password.is_none());
}

#[test]
fn a_client_certificate_is_a_credential() {
    let pki = pki();
    let user = format!("client-certificate-data: {}, client-key-data: {}", pki.authority, pki.key);
    let config = parse(kubeconfig(&cluster_fields(), &user).as_bytes()).unwrap().config();
    assert_eq!(config.auth_info.client_certificate_data, Some(pki.authority));
    assert!(config.auth_info.client_key_data.is_some() && config.auth_info.token.is_none());
}

#[tokio::test]
async fn what_is_accepted_makes_a_client_and_a_key_of_another_certificate_does_not() {
    let (one, other) = (pki(), pki());
    let client = |user: &str| {
        let kubeconfig = parse(kubeconfig(&cluster_fields(), user).as_bytes()).unwrap();
        connect(&kubeconfig.config(), ClusterSide::Source, &Metrics::default())
    };
    let identity = |key: &str| format!("client-certificate-data: {}, client-key-data: {key}", one.authority);
    assert!(client("token: abc").is_ok());
    assert!(client(&identity(&one.key)).is_ok());
    let error = client(&identity(&other.key)).err().unwrap();
    assert!(matches!(error, ConnectError::Client { side: ClusterSide::Source, .. }), "{error}");
}

#[test]
fn json_is_yaml() {
    let text = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "only",
        "clusters": [{"name": "c", "cluster": {"server": "https://[::1]:6443/k8s/clusters/a",
                                               "certificate-authority-data": pki().authority}}],
        "users": [{"name": "u", "user": {"token": "abc"}}],
        "contexts": [{"name": "only", "context": {"cluster": "c", "user": "u"}}],
    });
    let parsed = parse(text.to_string().as_bytes()).unwrap();
    assert_eq!(parsed.server().path(), "/k8s/clusters/a");
}

#[test]
fn commands_are_refused() {
    let exec = format!("exec: {{command: touch, args: [{CANARY}], apiVersion: client.authentication.k8s.io/v1}}");
    assert_eq!(user_refusal(&exec), KubeconfigError::Exec);
    assert_eq!(user_refusal(&format!("token: {CANARY}, {exec}")), KubeconfigError::Exec);
    for provider in ["gcp", "oidc", "azure"] {
        let user = format!("auth-provider: {{name: {provider}, config: {{cmd-path: {CANARY}}}}}");
        assert_eq!(user_refusal(&user), KubeconfigError::AuthProvider);
    }
}

#[test]
fn files_are_refused_each_by_its_name() {
    for (field, instead) in
        [("tokenFile", "token"), ("client-certificate", "client-certificate-data"), ("client-key", "client-key-data")]
    {
        let error = user_refusal(&format!("{field}: /proc/self/{CANARY}"));
        assert!(matches!(&error, KubeconfigError::FilePath { field: found, .. } if found.ends_with(field)), "{error}");
        assert!(error.to_string().contains(field) && error.to_string().ends_with(instead), "{error}");
    }
    let error = cluster_refusal(&format!("certificate-authority: /{CANARY}"));
    assert!(matches!(error, KubeconfigError::FilePath { instead: "certificate-authority-data", .. }), "{error}");
}

#[test]
fn connections_that_cannot_be_trusted_are_refused() {
    assert_eq!(cluster_refusal("insecure-skip-tls-verify: true"), KubeconfigError::InsecureTls);
    assert_eq!(cluster_refusal(&format!("proxy-url: http://{CANARY}")), KubeconfigError::Proxy);
    assert_eq!(cluster_refusal(&format!("tls-server-name: {CANARY}")), KubeconfigError::ServerName);
    assert_eq!(server_refusal(&format!("http://{CANARY}")), KubeconfigError::NotHttps);
    assert_eq!(server_refusal(&format!("{CANARY}:6443")), KubeconfigError::NotHttps);
    for server in ["https://user:canary-5d1f8e20@api.example.org", "https://", "", "https://a/?q=canary-5d1f8e20"] {
        assert_eq!(server_refusal(server), KubeconfigError::ServerAddress, "{server}");
    }
    let error = refusal(&kubeconfig("server: 'https://api'", "token: abc"));
    assert_eq!(error, KubeconfigError::Missing { field: "clusters[0].cluster.certificate-authority-data" });
    let error = refusal(&kubeconfig(&format!("certificate-authority-data: {}", pki().authority), "token: abc"));
    assert_eq!(error, KubeconfigError::Missing { field: "clusters[0].cluster.server" });
}

#[test]
fn other_identities_and_passwords_are_refused_each_by_its_name() {
    for (user, name) in [
        ("as: canary-5d1f8e20", "as"),
        ("as-uid: canary-5d1f8e20", "as-uid"),
        ("as-groups: ['system:masters', canary-5d1f8e20]", "as-groups"),
        ("as-user-extra: {a: [canary-5d1f8e20]}", "as-user-extra"),
    ] {
        let error = user_refusal(&format!("token: abc, {user}"));
        let found = matches!(&error, KubeconfigError::Impersonation { field } if field.ends_with(&format!(".{name}")));
        assert!(found, "{error}");
    }
    for name in ["username", "password"] {
        let error = user_refusal(&format!("{name}: {CANARY}"));
        assert!(matches!(&error, KubeconfigError::Password { field } if field.ends_with(name)), "{error}");
    }
}

#[test]
fn unknown_fields_are_named_unless_their_name_may_be_a_secret() {
    let error = cluster_refusal("disable-compression: true");
    assert!(matches!(&error, KubeconfigError::UnknownField { field, .. } if field == "disable-compression"), "{error}");
    assert!(error.to_string().contains("disable-compression at line 7"), "{error}");
    let error = user_refusal(&format!("{CANARY}: x"));
    assert!(matches!(error, KubeconfigError::UnknownFieldUnnamed { line: 10, .. }), "{error}");
    let nested = good().replace("preferences: {}", "preferences: {colors: true}");
    assert!(matches!(refusal(&nested), KubeconfigError::UnknownField { .. }));
    let top = good() + "extensions: []\n";
    assert!(matches!(refusal(&top), KubeconfigError::UnknownField { .. }));
}

#[test]
fn exactly_one_of_each_that_refer_to_each_other() {
    let second = good().replace("users:\n", "users:\n- name: v\n  user: {token: x}\n");
    assert_eq!(refusal(&second), KubeconfigError::NotExactlyOne { field: "users", found: 2 });
    let none = "apiVersion: v1\nkind: Config\n";
    assert_eq!(refusal(none), KubeconfigError::NotExactlyOne { field: "clusters", found: 0 });
    for (from, to, field) in [
        ("current-context: only", "current-context: canary-5d1f8e20", "current-context"),
        ("cluster: c, ", "cluster: canary-5d1f8e20, ", "contexts[0].context.cluster"),
        ("user: u, ", "user: canary-5d1f8e20, ", "contexts[0].context.user"),
    ] {
        let error = refusal(&good().replace(from, to));
        assert!(matches!(error, KubeconfigError::Dangling { field: found, .. } if found == field), "{error}");
    }
    let error = refusal(&good().replace("current-context: only\n", ""));
    assert_eq!(error, KubeconfigError::Missing { field: "current-context" });
}

#[test]
fn one_credential_that_can_be_sent() {
    let pki = pki();
    assert_eq!(user_refusal(""), KubeconfigError::NoCredentials);
    let both = format!("token: {CANARY}, client-certificate-data: {}, client-key-data: {}", pki.authority, pki.key);
    assert_eq!(user_refusal(&both), KubeconfigError::TwoCredentials);
    for token in ["''", "\"canary-5d1f8e20\\nX-Evil: 1\"", "'canary-5d1f8e20 '"] {
        assert_eq!(user_refusal(&format!("token: {token}")), KubeconfigError::Token);
    }
    let error = user_refusal(&format!("client-certificate-data: {}", pki.authority));
    assert_eq!(error, KubeconfigError::Missing { field: "users[0].user.client-key-data" });
    let error = user_refusal(&format!("client-key-data: {}", pki.key));
    assert_eq!(error, KubeconfigError::Missing { field: "users[0].user.client-certificate-data" });
}

#[test]
fn data_fields_hold_the_pem_that_they_promise() {
    let (pki, encoded) = (pki(), STANDARD.encode(CANARY));
    let field = "users[0].user.client-key-data";
    let error = user_refusal(&format!("client-certificate-data: {}, client-key-data: {CANARY}", pki.authority));
    assert_eq!(error, KubeconfigError::NotBase64 { field });
    let error = user_refusal(&format!("client-certificate-data: {}, client-key-data: {encoded}", pki.authority));
    assert_eq!(error, KubeconfigError::NotPem { field, expected: "a PEM private key" });
    let error = user_refusal(&format!("client-certificate-data: {encoded}, client-key-data: {}", pki.key));
    assert!(matches!(error, KubeconfigError::NotPem { expected: "one or more PEM certificates", .. }), "{error}");
    let cluster = format!("server: 'https://api', certificate-authority-data: {}", pki.key);
    let error = refusal(&kubeconfig(&cluster, "token: abc"));
    assert!(matches!(error, KubeconfigError::NotPem { .. }), "a key is no authority: {error}");
}

#[test]
fn only_small_plain_yaml_is_read() {
    assert_eq!(parse(&vec![b'#'; MAX_BYTES + 1]).err(), Some(KubeconfigError::TooLarge { found: MAX_BYTES + 1 }));
    assert_eq!(parse(b"\xff\xfe\x00c").err(), Some(KubeconfigError::NotText));
    let twice = good().replace("kind: Config", "kind: Config\nkind: Config");
    assert!(matches!(refusal(&twice), KubeconfigError::DuplicateField { .. }));
    assert_eq!(refusal(&format!("{}---\n{}", good(), good())), KubeconfigError::SeveralDocuments);
    for (from, to) in [
        ("name: c\n", "name: &c c\n"),
        ("name: c\n", "name: !run c\n"),
        ("{cluster: c,", "{<<: {cluster: c},"),
        ("token: abc.def", "exec: [[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]"),
    ] {
        let error = refusal(&good().replace(from, to));
        assert!(matches!(error, KubeconfigError::NotPlainYaml { .. }), "{to}: {error:?}");
    }
    let wide = good() + &"# x\n".repeat(10) + "junk: [" + &"a,".repeat(20_000) + "]\n";
    assert!(matches!(refusal(&wide), KubeconfigError::NotPlainYaml { .. } | KubeconfigError::UnknownField { .. }));
    for broken in ["", "]", "just text", "- a\n- b\n", "clusters: canary-5d1f8e20", "clusters: {a: canary-5d1f8e20}"] {
        refusal(broken);
    }
}

#[test]
fn ten_megabytes_of_anything_are_refused_at_a_glance() {
    let size = 10_000_000;
    for piece in ["#", "\n", "[", "- a\n", "a: &a [*a]\n", "\u{feff}"] {
        let text = piece.repeat(size / piece.len() + 1);
        let began = std::time::Instant::now();
        assert_eq!(parse(text.as_bytes()).err(), Some(KubeconfigError::TooLarge { found: text.len() }));
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{piece:?} took {:?}", began.elapsed());
    }
}

#[test]
fn another_kind_of_document_is_refused() {
    for (from, to) in [("kind: Config", "kind: Secret"), ("apiVersion: v1", "apiVersion: canary-5d1f8e20")] {
        assert!(matches!(refusal(&good().replace(from, to)), KubeconfigError::Header { .. }));
    }
}

proptest! {
    /// A value of the wrong type, in the wrong place or cut off is never repeated.
    #[test]
    fn no_damage_makes_an_error_repeat_a_value(cut in 0_usize..700, junk in "[ -~]{0,12}") {
        let text = kubeconfig(&cluster_fields(), &format!("token: '{CANARY}', password: {CANARY}"));
        let cut = cut.min(text.len());
        let damaged = format!("{}{junk}{}", &text[..cut], &text[cut..]);
        for text in [&damaged[..], &text[..cut]] {
            if let Err(error) = parse(text.as_bytes()) {
                let shown = format!("{error} {error:?}");
                prop_assert!(!shown.contains(CANARY), "{shown}");
            }
        }
    }
}
