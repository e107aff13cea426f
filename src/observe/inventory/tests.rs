use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::*;
use crate::cluster::client::connect;
use crate::cluster::local_api::serve;
use crate::metrics::{ClusterSide, Metrics};
use crate::mutex::locked;

/// What was asked for, path and query.
type Asked = Arc<Mutex<Vec<String>>>;

async fn client(router: Router) -> Client {
    let config = kube::Config::new(format!("http://{}", serve(router).await).parse().unwrap());
    connect(&config, ClusterSide::Source, &Metrics::default()).unwrap().requests
}

fn status(code: u16, reason: &str) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason});
    (StatusCode::from_u16(code).unwrap(), body.to_string()).into_response()
}

fn resource(name: &str, kind: &str, namespaced: bool) -> Value {
    json!({"name": name, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": ["get", "list"]})
}

fn resources(group_version: &str, resources: &[Value]) -> String {
    json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": resources}).to_string()
}

fn group(name: &str, versions: &[&str]) -> Value {
    let version = |version: &&str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let all: Vec<_> = versions.iter().map(version).collect();
    json!({"name": name, "versions": all, "preferredVersion": all[0]})
}

/// An API server with the kinds of a small namespace, one group that does not answer, and one kind that may not be listed.
fn api_server(asked: &Asked) -> Router {
    let core = [
        resource("configmaps", "ConfigMap", true),
        resource("secrets", "Secret", true),
        resource("events", "Event", true),
        resource("pods", "Pod", true),
        resource("pods/log", "Pod", true),
        resource("nodes", "Node", false),
    ];
    let apps = [resource("deployments", "Deployment", true), resource("replicasets", "ReplicaSet", true)];
    let groups = [group("apps", &["v1"]), group("broken.example", &["v1"]), group("batch", &["v1", "v1beta1"])];
    Router::new()
        .route("/version", get(|| async { json!({"major": "1", "minor": "29+"}).to_string() }))
        .route("/api/v1", get(async move || resources("v1", &core)))
        .route("/apis", get(async move || json!({"kind": "APIGroupList", "groups": groups}).to_string()))
        .route("/apis/apps/v1", get(async move || resources("apps/v1", &apps)))
        .route("/apis/broken.example/v1", get(async || status(503, "ServiceUnavailable")))
        .route("/apis/batch/v1", get(async || resources("batch/v1", &[resource("cronjobs", "CronJob", true)])))
        .route(
            "/apis/batch/v1beta1",
            get(async || resources("batch/v1beta1", &[resource("cronjobs", "CronJob", true)])),
        )
        .fallback(get(list))
        .with_state(Arc::clone(asked))
}

/// ConfigMaps come on two pages, of which the second is gone when it is first asked for; DaemonSets and the like are not there.
async fn list(State(asked): State<Asked>, uri: Uri) -> Response {
    let goes_on = uri.query().is_some_and(|query| query.contains("continue=second"));
    let again = locked(&asked).iter().filter(|known| known.contains("continue=second")).count();
    locked(&asked).push(uri.to_string());
    let named = |name: &str| json!({"metadata": {"name": name, "namespace": "shop", "uid": name}});
    let items = match (uri.path(), goes_on) {
        ("/api/v1/namespaces/shop", _) => return json!({"metadata": {"name": "shop"}}).to_string().into_response(),
        ("/api/v1/namespaces/shop/configmaps", false) => vec![named("first")],
        ("/api/v1/namespaces/shop/configmaps", true) if again == 0 => return status(410, "Expired"),
        ("/api/v1/namespaces/shop/configmaps", true) => vec![named("last")],
        ("/apis/apps/v1/namespaces/shop/deployments", _) => return status(403, "Forbidden"),
        _ => vec![named("one")],
    };
    let more = uri.path().ends_with("configmaps") && !goes_on;
    let metadata = if more { json!({"continue": "second"}) } else { json!({}) };
    json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}).to_string().into_response()
}

fn names(side: &SideInventory) -> Vec<String> {
    side.items.values().map(|item| format!("{} {} {}", item.kind.api_version(), item.kind.kind, item.name)).collect()
}

#[tokio::test]
async fn everything_but_secrets_is_listed_page_by_page_and_what_cannot_be_read_is_noted() {
    let asked = Asked::default();
    let client = client(api_server(&asked)).await;
    let found = take(&client, &client, "shop").await.source;
    let expected =
        ["v1 ConfigMap first", "v1 ConfigMap last", "v1 Pod one", "apps/v1 ReplicaSet one", "batch/v1 CronJob one"];
    assert_eq!(names(&found), expected);
    let unread: Vec<_> = found.unread.iter().map(|unread| unread.what.as_str()).collect();
    assert_eq!(unread, ["API group broken.example/v1", "deployments.apps"]);
    assert!(found.unread[1].why.contains("403 Forbidden"), "{:?}", found.unread);
    assert_eq!((found.version, found.namespace.map(|item| item.name)), (Some((1, 29)), Some("shop".to_owned())));
    for never in ["secrets", "events", "nodes", "pods/log"] {
        assert!(!locked(&asked).iter().any(|path| path.contains(never)), "{never} was asked for");
    }
}

#[tokio::test]
async fn a_kind_is_read_at_a_version_that_the_other_side_serves_too() {
    let other = [Kind::new("batch", "v1beta1", "CronJob")].into();
    let found = discovery::discover(&client(api_server(&Asked::default())).await).await;
    let version = |other: &BTreeSet<Kind>| {
        let listed = found.inside(other);
        listed.into_iter().find(|known| known.kind.kind == "CronJob").map(|known| known.kind.version)
    };
    assert_eq!(version(&other).as_deref(), Some("v1beta1"));
    assert_eq!(version(&BTreeSet::new()).as_deref(), Some("v1"), "else at the preferred one");
}
