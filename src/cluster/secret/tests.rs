use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes as Answer;
use axum::http::{Method as Asked, StatusCode as Code, Uri};
use proptest::prelude::*;
use ring::hmac;
use serde_json::{Value as Json, json};

use super::*;
use crate::cluster::client::connect;
use crate::cluster::local_api::serve;
use crate::metrics::{ClusterSide, Metrics};

/// Stands for a value; its base64 is searched for as well.
const CANARY: &str = "canary-0b71c9";
const CANARY_BASE64: &str = "Y2FuYXJ5LTBiNzFjOQ==";

fn written() -> Json {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/basic-auth", "immutable": true,
        "metadata": {
            "name": "db", "namespace": "shop", "uid": "u-1", "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "finalizers": ["example.org/keep"], "managedFields": [{"manager": "kubectl"}],
            "ownerReferences": [{"apiVersion": "v1", "kind": "SealedSecret", "name": "db", "uid": "u-2"}],
            "labels": {
                "team": "shop", "app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": "shop",
                "helm.sh/chart": "shop-1", "kustomize.toolkit.fluxcd.io/name": "shop", "nothelm.sh/a": "kept",
            },
            "annotations": {
                "note": "kept", "meta.helm.sh/release-name": "shop", "argocd.argoproj.io/tracking-id": "shop",
                "kubectl.kubernetes.io/last-applied-configuration": CANARY,
            },
        },
        "data": {"password": CANARY_BASE64, "empty": "", "binary": "/wD+"},
    })
}

fn secret() -> OpaqueSecret {
    OpaqueSecret::from_json(written().to_string().as_bytes()).unwrap()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, b"one run")
}

type Log = Arc<Mutex<Vec<(Asked, String, Vec<u8>)>>>;

/// A server that gives one answer to everything and remembers what it was asked.
async fn api(code: u16, answer: impl ToString) -> (Client, Log) {
    let (log, answer) = (Log::default(), answer.to_string());
    let router = Router::new().fallback({
        let log = Arc::clone(&log);
        async move |method: Asked, uri: Uri, body: Answer| {
            log.lock().unwrap().push((method, uri.to_string(), body.to_vec()));
            (Code::from_u16(code).unwrap(), answer.clone())
        }
    });
    let config = kube::Config::new(format!("http://{}", serve(router).await).parse().unwrap());
    (connect(&config, ClusterSide::Target, &Metrics::default()).unwrap().requests, log)
}

fn status(code: u16, reason: &str) -> Json {
    let message = format!("data: Invalid value: {CANARY}");
    json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message})
}

fn shows_nothing(error: &SecretError) {
    let shown = format!("{error} {error:?} {:?}", error.call().map(ToString::to_string));
    assert!(!shown.contains(CANARY) && !shown.contains(CANARY_BASE64), "{shown}");
}

#[tokio::test]
async fn a_secret_is_read_with_all_that_a_decision_needs() {
    let (client, log) = api(200, written()).await;
    let secret = get(&client, "shop", "db").await.unwrap().unwrap();
    assert_eq!(
        (secret.name(), secret.namespace(), secret.uid(), secret.resource_version()),
        ("db", "shop", "u-1", "7")
    );
    assert_eq!(secret.secret_type(), "kubernetes.io/basic-auth");
    assert!(secret.is_immutable() && !secret.is_terminating());
    assert_eq!(secret.owners(), [Owner { kind: "SealedSecret".into(), name: "db".into() }]);
    assert_eq!((secret.label("team"), secret.annotation("note")), (Some("shop"), Some("kept")));
    assert_eq!(secret.data_keys().collect::<Vec<_>>(), ["binary", "empty", "password"]);
    assert_eq!(secret.reveal("password"), Some(CANARY.as_bytes()));
    let asked = log.lock().unwrap();
    assert_eq!((&asked[0].0, asked[0].1.as_str()), (&Asked::GET, "/api/v1/namespaces/shop/secrets/db"));
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_no_error() {
    let (client, _) = api(404, status(404, "NotFound")).await;
    assert!(get(&client, "shop", "db").await.unwrap().is_none());
}

#[tokio::test]
async fn no_error_repeats_a_value_or_the_servers_words() {
    let list = json!({"kind": "SecretList", "metadata": {"name": CANARY}, "items": [written()]});
    let wrong_type = json!({"kind": "Secret", "metadata": {"name": "db"}, "data": {"a": [CANARY]}});
    let not_base64 = json!({"kind": "Secret", "metadata": {"name": "db"}, "data": {"a": CANARY}});
    let other = json!({"kind": "Secret", "metadata": {"name": CANARY, "namespace": "shop"}, "data": {}});
    let page = Json::String(format!("<html>{CANARY}"));
    for (code, answer) in [(200, list), (200, wrong_type), (200, not_base64), (200, other), (200, page.clone())] {
        let (client, _) = api(code, answer).await;
        let error = get(&client, "shop", "db").await.err().unwrap();
        assert!(matches!(error.call(), Some(CallError::Unreadable { .. })), "{error:?}");
        shows_nothing(&error);
    }
    for (code, answer) in [(403, status(403, "Forbidden")), (500, status(500, CANARY)), (502, page)] {
        let (client, _) = api(code, answer).await;
        let error = get(&client, "shop", "db").await.err().unwrap();
        assert!(matches!(error.call(), Some(CallError::Api { code: found, .. }) if *found == code), "{error:?}");
        shows_nothing(&error);
        shows_nothing(&create(&client, "shop", &secret()).await.unwrap_err());
        shows_nothing(&delete(&client, "shop", "db", "u-1").await.unwrap_err());
    }
}

#[tokio::test]
async fn a_copy_is_posted_once_with_its_values_and_nothing_of_its_past() {
    let (client, log) = api(201, json!({"kind": "Secret", "metadata": {"uid": "u-9"}})).await;
    let copy = secret().sanitised(&map(&[("ours", "1")]), &map(&[("note", "ours")]));
    assert_eq!(create(&client, "shop", &copy).await.unwrap(), Created { uid: "u-9".into() });
    let asked = log.lock().unwrap();
    let (method, uri, body) = &asked[0];
    let path = "/api/v1/namespaces/shop/secrets?fieldManager=namespace-migration";
    assert_eq!((asked.len(), method, uri.as_str()), (1, &Asked::POST, path));
    let expected = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/basic-auth", "immutable": true,
        "metadata": {
            "name": "db", "namespace": "shop",
            "labels": {"team": "shop", "nothelm.sh/a": "kept", "ours": "1"},
            "annotations": {"note": "ours"},
        },
        "data": {"password": CANARY_BASE64, "empty": "", "binary": "/wD+"},
    });
    assert_eq!(serde_json::from_slice::<Json>(body).unwrap(), expected);
}

#[tokio::test]
async fn one_that_is_there_already_is_told_apart_from_other_conflicts() {
    let (client, _) = api(409, status(409, "AlreadyExists")).await;
    let error = create(&client, "shop", &secret()).await.unwrap_err();
    assert!(matches!(&error, SecretError::AlreadyExists { .. }), "{error:?}");
    shows_nothing(&error);
    let (client, _) = api(409, status(409, "Conflict")).await;
    let error = create(&client, "shop", &secret()).await.unwrap_err();
    assert!(error.call().is_some_and(CallError::is_conflict), "{error:?}");
    shows_nothing(&error);
}

#[tokio::test]
async fn only_the_object_with_the_uid_is_deleted() {
    let (client, log) = api(200, status(200, "")).await;
    delete(&client, "shop", "db", "u-1").await.unwrap();
    let asked = log.lock().unwrap()[0].clone();
    assert_eq!((asked.0, asked.1.as_str()), (Asked::DELETE, "/api/v1/namespaces/shop/secrets/db"));
    assert_eq!(serde_json::from_slice::<Json>(&asked.2).unwrap()["preconditions"], json!({"uid": "u-1"}));
    let (client, _) = api(404, status(404, "NotFound")).await;
    delete(&client, "shop", "db", "u-1").await.unwrap();
    let (client, _) = api(409, status(409, "Conflict")).await;
    let error = delete(&client, "shop", "db", "u-1").await.unwrap_err();
    assert!(matches!(error, SecretError::Replaced { .. }), "{error:?}");
}

#[tokio::test]
async fn a_name_that_would_change_the_path_is_never_sent() {
    let (client, log) = api(200, written()).await;
    for name in ["", ".", "..", "../pods", "a/b", "a?b", "a%2fb", "A", "-a", "a\n", &"a".repeat(254)] {
        let error = get(&client, "shop", name).await.err().unwrap();
        assert!(matches!(error, SecretError::Name { .. }), "{name}");
        assert!(matches!(get(&client, name, "db").await, Err(SecretError::Name { .. })), "{name}");
    }
    assert!(log.lock().unwrap().is_empty());
}

#[test]
fn digests_compare_values_and_show_nothing() {
    let (one, mut changed) = (secret(), written());
    changed["data"]["password"] = json!("b3RoZXI=");
    let other = OpaqueSecret::from_json(changed.to_string().as_bytes()).unwrap();
    let (left, right) = (one.digest(&key()), other.digest(&key()));
    let differing: Vec<_> = left.keys().filter(|key| left.get(*key) != right.get(*key)).collect();
    assert_eq!(differing, ["password"]);
    assert_eq!(left, one.sanitised(&map(&[]), &map(&[])).digest(&key()));
    assert!(left["password"].to_string().len() == 64 && left["password"] != left["empty"]);
    let other_run = hmac::Key::new(hmac::HMAC_SHA256, b"another run");
    assert_ne!(left, one.digest(&other_run));
}

proptest! {
    #[test]
    fn every_value_survives_the_copy(
        data in prop::collection::btree_map("[ -~é]{1,12}", prop::collection::vec(any::<u8>(), 0..64), 0..6),
    ) {
        let encoded: BTreeMap<&String, String> = data
            .iter()
            .map(|(key, value)| (key, base64::Engine::encode(&base64::engine::general_purpose::STANDARD, value)))
            .collect();
        let json = json!({"kind": "Secret", "metadata": {"name": "a", "namespace": "b"}, "data": encoded});
        let secret = OpaqueSecret::from_json(json.to_string().as_bytes()).unwrap();
        let body = secret.sanitised(&map(&[]), &map(&[])).body("b");
        prop_assert!(body.capacity() - body.len() <= 1, "the buffer grew and left a copy behind");
        let copy = OpaqueSecret::from_json(body.as_bytes()).unwrap();
        for (key, value) in &data {
            prop_assert_eq!(copy.reveal(key), Some(value.as_slice()));
        }
        prop_assert_eq!(secret.digest(&key()), copy.digest(&key()));
    }
}
