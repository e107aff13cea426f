//! The control planes behave like real clusters, as far as a migration can tell.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret, ServiceAccount};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use rig::control_plane::wait_until;
use rig::kubectl::Kubectl;
use rig::world::World;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

async fn namespace(client: &Client, name: &str) -> Result<()> {
    let namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    Ok(())
}

async fn deploy(client: &Client, namespace: &str, replicas: i32, env: &Value) -> Result<()> {
    let labels = json!({"app": "web"});
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "web", "image": "registry.test/web:1", "env": env}]},
        }},
    }))?;
    Api::namespaced(client.clone(), namespace).create(&PostParams::default(), &deployment).await?;
    Ok(())
}

fn ready_replicas(deployment: &Deployment) -> i32 {
    deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0)
}

async fn wait_ready(client: &Client, namespace: &str, replicas: i32) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let is_ready = move |found: Option<&Deployment>| found.is_some_and(|it| ready_replicas(it) == replicas);
    let ready = await_condition(deployments, "web", is_ready);
    tokio::time::timeout(LIMIT, ready).await.context("the Deployment is not ready in time")??;
    Ok(())
}

/// The reason and the message with which the namespace's first Pod waits.
async fn waiting(client: &Client, namespace: &str) -> Option<(String, String)> {
    let pods = Api::<Pod>::namespaced(client.clone(), namespace).list(&ListParams::default()).await.ok()?;
    let status = pods.items.first()?.status.as_ref()?.container_statuses.as_ref()?.first()?.clone();
    let waiting = status.state?.waiting?;
    Some((waiting.reason.unwrap_or_default(), waiting.message.unwrap_or_default()))
}

#[tokio::test]
async fn a_deployment_becomes_ready_within_seconds() -> Result<()> {
    let world = World::shared().await?;
    let client = world.source().admin_client()?;
    namespace(&client, "ready").await?;
    let began = Instant::now();
    deploy(&client, "ready", 2, &json!([])).await?;
    wait_ready(&client, "ready", 2).await?;
    let (ready, started) = (began.elapsed().as_secs_f32(), world.started_in().as_secs_f32());
    println!("a Deployment was 2/2 after {ready:.1} s; the world started in {started:.1} s");
    Ok(())
}

#[tokio::test]
async fn a_pod_stays_unready_until_the_secret_that_it_names_exists() -> Result<()> {
    let world = World::shared().await?;
    let client = world.target().admin_client()?;
    namespace(&client, "waits").await?;
    let env = json!([{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "api-key", "key": "value"}}}]);
    deploy(&client, "waits", 1, &env).await?;
    let expected = ("CreateContainerConfigError".to_owned(), "secret \"api-key\" not found".to_owned());
    let shows_it = || async { waiting(&client, "waits").await.as_ref() == Some(&expected) };
    wait_until("the Pod showing what it waits for", LIMIT, shows_it).await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "waits");
    assert_eq!(ready_replicas(&deployments.get("web").await?), 0);
    let secret: Secret =
        serde_json::from_value(json!({"metadata": {"name": "api-key"}, "stringData": {"value": "x"}}))?;
    Api::namespaced(client.clone(), "waits").create(&PostParams::default(), &secret).await?;
    wait_ready(&client, "waits", 1).await
}

#[tokio::test]
async fn a_deleted_namespace_goes_away_with_its_content() -> Result<()> {
    let world = World::shared().await?;
    let client = world.source().admin_client()?;
    namespace(&client, "gone").await?;
    deploy(&client, "gone", 1, &json!([])).await?;
    wait_ready(&client, "gone", 1).await?;
    let namespaces: Api<Namespace> = Api::all(client);
    namespaces.delete("gone", &DeleteParams::background()).await?;
    let gone = await_condition(namespaces, "gone", |found: Option<&Namespace>| found.is_none());
    tokio::time::timeout(LIMIT, gone).await.context("the namespace is still there")??;
    Ok(())
}

#[tokio::test]
async fn writes_of_an_ingress_are_recorded_with_their_bodies_and_secrets_without() -> Result<()> {
    let world = World::shared().await?;
    let client = world.source().admin_client()?;
    namespace(&client, "recorded").await?;
    let ingress: Ingress = serde_json::from_value(json!({
        "metadata": {"name": "web", "annotations": {"weight": "body-canary"}},
        "spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}},
    }))?;
    Api::namespaced(client.clone(), "recorded").create(&PostParams::default(), &ingress).await?;
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"value": "secret-canary"}});
    let secret: Secret = serde_json::from_value(secret)?;
    Api::namespaced(client.clone(), "recorded").create(&PostParams::default(), &secret).await?;
    // The API server records before it answers, so nothing needs to be waited for.
    let log = std::fs::read_to_string(world.source().audit_log())?;
    assert!(log.contains("body-canary"), "the body of an Ingress is not in the audit log");
    assert!(log.contains("/api/v1/namespaces/recorded/secrets"), "the write of a Secret is not in the audit log");
    assert!(!log.contains("secret-canary"), "a Secret's value is in the audit log");
    Ok(())
}

#[tokio::test]
async fn a_service_account_gets_a_kubeconfig_with_its_own_rights() -> Result<()> {
    let cluster = World::shared().await?.target();
    let client = cluster.admin_client()?;
    namespace(&client, "account").await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client, "account");
    let exists = await_condition(accounts, "default", |found: Option<&ServiceAccount>| found.is_some());
    tokio::time::timeout(LIMIT, exists).await.context("no default ServiceAccount")??;
    let access = cluster.service_account("account", "default").await?;
    let refused = Api::<Secret>::namespaced(access.client()?, "account").list(&ListParams::default()).await;
    let Err(kube::Error::Api(status)) = refused else { panic!("expected a refusal, found {refused:?}") };
    assert!(status.message.contains("system:serviceaccount:account:default"), "{}", status.message);
    Ok(())
}

#[tokio::test]
async fn kubectl_talks_to_the_cluster() -> Result<()> {
    let world = World::shared().await?;
    let kubectl = Kubectl::of(world.target(), world.tools())?;
    assert_eq!(kubectl.run(&["get", "nodes", "-o", "name"]).await?.trim(), "node/target-node");
    let error = kubectl.run(&["get", "namespace", "absent"]).await.unwrap_err().to_string();
    assert!(error.contains("kubectl get namespace absent") && error.contains("not found"), "{error}");
    Ok(())
}
