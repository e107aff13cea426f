//! Load balancer, sample namespaces, recorder and fault proxy, each against a real API server.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hyper::http::StatusCode;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Patch, PatchParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use rig::certificate_authority::CertificateAuthority;
use rig::control_plane::{ControlPlane, wait_until};
use rig::load_balancer::{Destination, LoadBalancer, Options};
use rig::proxy::Proxy;
use rig::recorder::{Recorder, merge};
use rig::sample_app::{Application, Fault};
use rig::sample_namespace::SampleNamespace;
use rig::user::User;
use rig::weight_history::{contains_text, target_never_raised_after_rollback, weight_history};
use rig::world::World;
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(60);
const PREFIX: &str = "external-dns.alpha.kubernetes.io/";

async fn balance(cluster: &ControlPlane, application: &Application, class: &str) -> Result<(LoadBalancer, User)> {
    let authority = Arc::new(CertificateAuthority::new("users' root")?);
    let user = User::trusting(&authority.pem())?;
    let options = Options {
        cluster: cluster.name().to_owned(),
        address: "127.0.0.21".parse()?,
        name: None,
        http_port: 0,
        https_port: 0,
        class: class.to_owned(),
    };
    let balancer = LoadBalancer::start(options, cluster.admin_client()?, application.clone(), authority).await?;
    Ok((balancer, user))
}

async fn routed(balancer: &LoadBalancer, host: &str, wanted: Destination) -> Result<()> {
    let what = format!("{host}: {wanted:?}");
    wait_until(&what, LIMIT, || std::future::ready(balancer.destination(host, "/", true) == wanted)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn users_reach_a_namespace_through_the_load_balancer_once_its_secret_is_there() -> Result<()> {
    let cluster = World::shared().await?.source();
    let (application, host) = (Application::new(), "balanced.example.com");
    let (balancer, user) = balance(cluster, &application, "balanced").await?;
    let client = cluster.admin_client()?;
    let sample = SampleNamespace::new("balanced", host, "balanced");

    ensure!(user.get(balancer.http(), host, "/").await?.status == 404, "an unknown host has no page");
    ensure!(user.get_securely(balancer.https(), host, "/").await.is_err(), "an unknown host has no valid certificate");
    sample.create_on_target(&client).await?;
    sample.create_ingress(&client).await?;
    routed(&balancer, host, Destination::Unavailable).await?;
    ensure!(
        user.get_securely(balancer.https(), host, "/").await?.status == 503,
        "Pods without their Secret are unready"
    );
    sample.create_secret(&client).await?;
    sample.wait_until_ready(&client, LIMIT).await?;
    routed(&balancer, host, Destination::Application).await?;
    let page = user.get_securely(balancer.https(), host, "/").await?;
    ensure!(page.status == 200 && page.body.contains("source"), "{page:?}");
    ensure!(user.get(balancer.http(), host, "/login").await?.status == 200);

    let ingresses: Api<Ingress> = Api::namespaced(client.clone(), "balanced");
    tokio::time::timeout(LIMIT, await_condition(ingresses, "balanced", says_address("127.0.0.21"))).await??;
    faults_are_seen_by_users(&application, &balancer, &user, host).await?;
    sample.delete(&client, LIMIT).await?;
    routed(&balancer, host, Destination::DefaultBackend).await?;
    sample.delete(&client, LIMIT).await
}

fn says_address(address: &'static str) -> impl Fn(Option<&Ingress>) -> bool {
    move |ingress| {
        let balancer = ingress.and_then(|ingress| ingress.status.as_ref()?.load_balancer.as_ref());
        let points = balancer.and_then(|balancer| balancer.ingress.as_ref());
        points.is_some_and(|points| points.iter().any(|point| point.ip.as_deref() == Some(address)))
    }
}

async fn faults_are_seen_by_users(
    application: &Application,
    balancer: &LoadBalancer,
    user: &User,
    host: &str,
) -> Result<()> {
    for fault in [Fault::WrongCertificate, Fault::ExpiredCertificate] {
        application.set("source", host, fault.clone());
        ensure!(user.get_securely(balancer.https(), host, "/").await.is_err(), "{fault}: the handshake must fail");
        ensure!(user.get(balancer.http(), host, "/").await?.status == 200, "{fault}: plain HTTP is not touched");
    }
    application.set("source", host, Fault::DropConnection);
    ensure!(user.get_securely(balancer.https(), host, "/").await.is_err(), "the connection must be dropped");
    application.set("source", host, Fault::Status(500));
    ensure!(user.get_securely(balancer.https(), host, "/").await?.status == 500);
    application.heal("source", host);
    ensure!(user.get_securely(balancer.https(), host, "/").await?.status == 200);
    let requests = application.requests("source", host);
    ensure!(requests.by_status[&500] == 1 && requests.by_status[&503] == 1 && requests.unanswered == 1, "{requests:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_write_that_is_released_after_a_rollback_is_recorded_and_found() -> Result<()> {
    let cluster = World::shared().await?.target();
    let client = cluster.admin_client()?;
    let sample = SampleNamespace::new("recorded", "recorded.example.com", "none").without_deployment();
    sample.create_on_source(&client).await?;
    let recorder = Recorder::open("target", cluster.audit_log());
    let mark = recorder.mark().await?;

    let authority = CertificateAuthority::new("proxy's root")?;
    let proxy = Proxy::start(&cluster.server_url(), &cluster.ca_pem(), &authority).await?;
    let mut access = cluster.administrator();
    (access.server, access.ca_pem) = (proxy.url(), authority.pem());
    let through_proxy = access.client()?;
    let is_old = |request: &rig::proxy::ApiRequest| request.annotation(&format!("{PREFIX}aws-weight")) == Some("50");
    let mut held = proxy.faults().delay_matching(is_old);
    let old = tokio::spawn(write_weight(through_proxy.clone(), 50, 1, "Forward"));
    held.caught(LIMIT).await?;
    old.abort();
    write_weight(through_proxy, 0, 2, "RollingBack").await?;
    held.release();
    ensure!(held.status(LIMIT).await? == StatusCode::OK, "nothing in this write keeps the API server from taking it");

    recorder.wait_for(mark, LIMIT, |write| write.request_object.to_string().contains("\"50\"")).await?;
    let writes = merge([recorder.since(mark).await?]);
    let history = weight_history(&writes, "recorded", PREFIX);
    ensure!(history.len() == 2, "{history:#?}");
    ensure!(target_never_raised_after_rollback(&history).is_err(), "the old write went unnoticed");
    let log = std::fs::read_to_string(cluster.audit_log())?;
    contains_text([("audit log", log)], &sample.canary()).map_err(anyhow::Error::msg)?;
    sample.delete(&client, LIMIT).await
}

async fn write_weight(client: Client, weight: i32, epoch: i64, direction: &str) -> Result<()> {
    let stamp = json!({"owner": "u/recorded/shop", "attempt": 1, "epoch": epoch, "direction": direction}).to_string();
    let annotations = json!({format!("{PREFIX}aws-weight"): weight.to_string(), "namespacemigration.io/stamp": stamp});
    let ingresses: Api<Ingress> = Api::namespaced(client, "recorded");
    let object =
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"annotations": annotations}});
    let params = PatchParams::apply("namespace-migration").force();
    ingresses.patch("recorded", &params, &Patch::Apply(&object)).await.context("write a weight").map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_works_through_a_healthy_proxy_and_sees_the_conflicts_that_it_is_told_to_make() -> Result<()> {
    let cluster = World::shared().await?.source();
    let authority = CertificateAuthority::new("proxy's root")?;
    let proxy = Proxy::start(&cluster.server_url(), &cluster.ca_pem(), &authority).await?;
    let mut access = cluster.administrator();
    (access.server, access.ca_pem) = (proxy.url(), authority.pem());
    let client = access.client()?;
    let sample = SampleNamespace::new("proxied", "proxied.example.com", "none").without_need_of_secret();
    sample.create_on_source(&client).await?;
    sample.wait_until_ready(&client, LIMIT).await?;
    proxy.faults().answer(|request| request.verb == "delete", StatusCode::CONFLICT, 1);
    let refused = sample.delete(&client, LIMIT).await.map_err(|error| format!("{error:#}"));
    ensure!(refused.is_err_and(|error| error.contains("409 Conflict on demand")));
    ensure!(proxy.faults().requests()[&("create".to_owned(), "ingresses".to_owned())] == 1);
    sample.delete(&client, LIMIT).await
}
