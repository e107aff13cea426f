//! The control planes behave like real clusters, as far as a migration can tell.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use rig::control_plane::wait_until;
use rig::world::World;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);

fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

async fn namespace(client: &Client, name: &str) {
    let namespace = object(json!({"metadata": {"name": name}}));
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
}

fn deployment(replicas: i32, env: &Value) -> Deployment {
    let labels = json!({"app": "web"});
    object(json!({
        "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "web", "image": "registry.test/web:1", "env": env}]},
        }},
    }))
}

fn is_ready(replicas: i32) -> impl Fn(Option<&Deployment>) -> bool {
    move |found| found.and_then(|it| it.status.as_ref()?.ready_replicas).unwrap_or(0) == replicas
}

async fn wait_ready(client: &Client, namespace: &str, replicas: i32) {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let ready = await_condition(deployments, "web", is_ready(replicas));
    tokio::time::timeout(LIMIT, ready).await.expect("the Deployment is not ready in time").unwrap();
}

async fn first_waiting_reason(client: &Client, namespace: &str) -> Option<(String, String)> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let found = pods.list(&ListParams::default()).await.unwrap().items;
    let status = found.first()?.status.as_ref()?.container_statuses.as_ref()?.first()?.clone();
    let waiting = status.state?.waiting?;
    Some((waiting.reason.unwrap_or_default(), waiting.message.unwrap_or_default()))
}

#[tokio::test]
async fn a_deployment_becomes_ready_within_seconds() {
    let world = World::shared().await.unwrap();
    let client = world.source().admin_client().unwrap();
    namespace(&client, "ready").await;
    let began = Instant::now();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "ready");
    deployments.create(&PostParams::default(), &deployment(2, &json!([]))).await.unwrap();
    wait_ready(&client, "ready", 2).await;
    println!(
        "a Deployment was 2/2 after {:.1} s; the world started in {:.1} s",
        began.elapsed().as_secs_f32(),
        world.started_in().as_secs_f32()
    );
}

#[tokio::test]
async fn a_pod_stays_unready_until_the_secret_that_it_names_exists() {
    let world = World::shared().await.unwrap();
    let client = world.target().admin_client().unwrap();
    namespace(&client, "waits").await;
    let env = json!([{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "api-key", "key": "value"}}}]);
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "waits");
    deployments.create(&PostParams::default(), &deployment(1, &env)).await.unwrap();
    let expected = ("CreateContainerConfigError".to_owned(), "secret \"api-key\" not found".to_owned());
    wait_until("the Pod showing what it waits for", LIMIT, || async {
        first_waiting_reason(&client, "waits").await.as_ref() == Some(&expected)
    })
    .await
    .unwrap();
    let status = deployments.get("web").await.unwrap().status.unwrap();
    assert_eq!(status.ready_replicas.unwrap_or(0), 0);
    let secret: Secret = object(json!({"metadata": {"name": "api-key"}, "stringData": {"value": "x"}}));
    Api::namespaced(client.clone(), "waits").create(&PostParams::default(), &secret).await.unwrap();
    wait_ready(&client, "waits", 1).await;
}

#[tokio::test]
async fn a_deleted_namespace_goes_away_with_its_content() {
    let world = World::shared().await.unwrap();
    let client = world.source().admin_client().unwrap();
    namespace(&client, "gone").await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "gone");
    deployments.create(&PostParams::default(), &deployment(1, &json!([]))).await.unwrap();
    wait_ready(&client, "gone", 1).await;
    let namespaces: Api<Namespace> = Api::all(client);
    namespaces.delete("gone", &DeleteParams::background()).await.unwrap();
    let gone = await_condition(namespaces, "gone", |found: Option<&Namespace>| found.is_none());
    tokio::time::timeout(LIMIT, gone).await.expect("the namespace is still there").unwrap();
}

#[tokio::test]
async fn writes_of_an_ingress_are_recorded_with_their_bodies_and_secrets_without() {
    let world = World::shared().await.unwrap();
    let client = world.source().admin_client().unwrap();
    namespace(&client, "recorded").await;
    let ingress = object(json!({"metadata": {"name": "web", "annotations": {"weight": "body-canary"}},
        "spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}}));
    let ingresses: Api<k8s_openapi::api::networking::v1::Ingress> = Api::namespaced(client.clone(), "recorded");
    ingresses.create(&PostParams::default(), &ingress).await.unwrap();
    let secret: Secret = object(json!({"metadata": {"name": "s"}, "stringData": {"value": "secret-canary"}}));
    Api::namespaced(client.clone(), "recorded").create(&PostParams::default(), &secret).await.unwrap();
    // The API server records before it answers, so nothing needs to be waited for.
    let log = std::fs::read_to_string(world.source().audit_log()).unwrap();
    assert!(log.contains("body-canary"), "the body of an Ingress is not in the audit log");
    assert!(log.contains("/api/v1/namespaces/recorded/secrets"), "the write of a Secret is not in the audit log");
    assert!(!log.contains("secret-canary"), "a Secret's value is in the audit log");
}

#[tokio::test]
async fn a_service_account_gets_a_kubeconfig_with_its_own_rights() {
    let world = World::shared().await.unwrap();
    let cluster = world.target();
    namespace(&cluster.admin_client().unwrap(), "account").await;
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
        Api::namespaced(cluster.admin_client().unwrap(), "account");
    let exists = await_condition(accounts, "default", |found: Option<&_>| found.is_some());
    tokio::time::timeout(LIMIT, exists).await.expect("no default ServiceAccount").unwrap();
    let access = cluster.service_account("account", "default").await.unwrap();
    let refused = Api::<Secret>::namespaced(access.client().unwrap(), "account").list(&ListParams::default()).await;
    let Err(kube::Error::Api(status)) = refused else { panic!("expected a refusal, found {refused:?}") };
    assert!(status.message.contains("system:serviceaccount:account:default"), "{}", status.message);
}
