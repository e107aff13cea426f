//! The real external-dns publishes Ingresses in the rig's Route 53, step by step as a migration makes it do.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use rig::control_plane::ControlPlane;
use rig::external_dns::{Options, Pair};
use rig::population::{Family, resolve};
use rig::route53::balancers::elb_name;
use rig::route53::faults::Scope;
use rig::route53::journal::{Action, Entry};
use rig::route53::record::{Kind, Routing, Target};
use rig::route53::zone::Zone;
use rig::setup::{self, ANNOTATION_PREFIX, Dns, Setup, in_ipv6};
use rig::world::World;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);
const SOURCE_ADDRESS: &str = "127.0.4.1";
const TARGET_ADDRESS: &str = "127.0.4.2";

/// A zone and a pair of external-dns of its own, so that nothing else writes to it.
struct Scene {
    world: &'static World,
    zone: Zone,
    pair: Pair,
    class: &'static str,
}

impl Scene {
    async fn start(name: &'static str) -> Result<Self> {
        let world = World::shared().await?;
        let zone = world.create_zone(&format!("{name}.example.org"));
        let options = ["source", "target"].map(|side| Options {
            ingress_class: Some(name.to_owned()),
            ..Options::new(format!("{name}-{side}"), &zone)
        });
        let pair = world.start_external_dns(options).await?;
        Ok(Self { world, zone, pair, class: name })
    }

    fn host(&self) -> String {
        self.host_of("shop")
    }

    fn host_of(&self, name: &str) -> String {
        format!("{name}.{}", self.zone.name().trim_end_matches('.'))
    }

    /// Waits for a batch of this side about the host, from number `mark` of the journal on.
    async fn batch(&self, what: &str, mark: usize, side: &str) -> Result<Entry> {
        let (caller, host) = (format!("{}-{side}", self.class), self.host());
        let fits = |entry: &Entry| entry.caller == caller && entry.is_about(&host);
        self.zone.wait_for(what, mark, LIMIT, fits).await
    }

    /// Creates the Ingress `name` with what its load balancer wrote into its status.
    async fn publish(&self, cluster: &ControlPlane, name: &str, point: &Value, annotations: &Value) -> Result<()> {
        let client = cluster.admin_client()?;
        create_namespace(&client, self.class).await?;
        let api: Api<Ingress> = Api::namespaced(client, self.class);
        let ingress = ingress(name, self.class, &self.host_of(name), annotations)?;
        api.create(&PostParams::default(), &ingress).await.context("creating an Ingress")?;
        let status = json!({"status": {"loadBalancer": {"ingress": [point]}}});
        let patched = api.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await;
        patched.context("writing the status of an Ingress").map(|_| ())
    }

    async fn annotate(&self, cluster: &ControlPlane, identifier: &str, weight: &str) -> Result<()> {
        self.change(cluster, &weighted(identifier, weight)).await
    }

    async fn change(&self, cluster: &ControlPlane, annotations: &Value) -> Result<()> {
        let api: Api<Ingress> = Api::namespaced(cluster.admin_client()?, self.class);
        let change = json!({"metadata": {"annotations": annotations}});
        let patched = api.patch("shop", &PatchParams::default(), &Patch::Merge(&change)).await;
        patched.context("annotating an Ingress").map(|_| ())
    }
}

fn weighted(identifier: &str, weight: &str) -> Value {
    json!({
        format!("{ANNOTATION_PREFIX}set-identifier"): identifier,
        format!("{ANNOTATION_PREFIX}aws-weight"): weight,
    })
}

/// The name that a side's load balancer has in this test; it resolves from now on.
fn named(scene: &Scene, side: &str, address: &str) -> Result<Value> {
    let name = elb_name(&format!("{}-{side}", scene.class));
    scene.world.route53().surroundings().name_balancer(&name, [address.parse()?]);
    Ok(json!({"hostname": name}))
}

async fn create_namespace(client: &Client, name: &str) -> Result<()> {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
    api.patch(name, &PatchParams::apply("test"), &Patch::Apply(&object)).await.map(|_| ()).context("a namespace")
}

fn ingress(name: &str, class: &str, host: &str, annotations: &Value) -> Result<Ingress> {
    let backend = json!({"service": {"name": "shop", "port": {"number": 80}}});
    Ok(serde_json::from_value(json!({
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"ingressClassName": class, "rules": [{"host": host, "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": backend},
        ]}}]},
    }))?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simple_record_becomes_weighted_in_one_batch_and_follows_its_weight() -> Result<()> {
    let scene = Scene::start("converted").await?;
    let (zone, host) = (&scene.zone, scene.host());
    scene.publish(scene.world.source(), "shop", &json!({"ip": SOURCE_ADDRESS}), &json!({})).await?;
    let simple = scene.batch("the simple record", 0, "source").await?;
    ensure!(simple.actions() == ["CREATE TXT", "CREATE A"], "{simple}");
    let record = simple.change(Action::Create, &host, Kind::A).context("an A record")?;
    ensure!(record.target == Target::Values(vec![SOURCE_ADDRESS.to_owned()]), "{record:?}");

    scene.annotate(scene.world.source(), "blue", "100").await?;
    let converted = scene.batch("the conversion", simple.number + 1, "source").await?;
    ensure!(converted.accepted(), "{converted}");
    ensure!(converted.actions() == ["DELETE TXT", "DELETE A", "CREATE TXT 100", "CREATE A 100"], "{converted}");
    zone.wait_served(&host, Kind::A, &[("blue", 100)], LIMIT).await?;

    scene.annotate(scene.world.source(), "blue", "99").await?;
    let changed = scene.batch("the new weight", converted.number + 1, "source").await?;
    ensure!(changed.actions() == ["UPSERT TXT 99", "UPSERT A 99"], "{changed}");
    zone.wait_served(&host, Kind::A, &[("blue", 99)], LIMIT).await?;
    scene.pair.kill().await
}

#[tokio::test(flavor = "multi_thread")]
async fn load_balancers_with_names_become_aliases_of_both_types_in_one_batch() -> Result<()> {
    let scene = Scene::start("named").await?;
    let (zone, host) = (&scene.zone, scene.host());
    let point = named(&scene, "source", SOURCE_ADDRESS)?;
    scene.publish(scene.world.source(), "shop", &point, &json!({})).await?;
    let simple = scene.batch("the simple aliases", 0, "source").await?;
    ensure!(simple.actions() == ["CREATE TXT", "CREATE TXT", "CREATE A", "CREATE AAAA"], "{simple}");
    for kind in [Kind::A, Kind::Aaaa] {
        let record = simple.change(Action::Create, &host, kind).context("an alias")?;
        let Target::Alias { zone_id, evaluate_target_health, .. } = &record.target else { bail!("{record:?}") };
        ensure!(zone_id == "ZD4D7Y8KGAS4G" && *evaluate_target_health && record.ttl.is_none(), "{record:?}");
    }

    scene.annotate(scene.world.source(), "blue", "100").await?;
    let converted = scene.batch("the conversion", simple.number + 1, "source").await?;
    let deleted = ["DELETE TXT", "DELETE TXT", "DELETE A", "DELETE AAAA"];
    let created = ["CREATE TXT 100", "CREATE TXT 100", "CREATE A 100", "CREATE AAAA 100"];
    ensure!(converted.accepted() && converted.actions() == [deleted, created].concat(), "{converted}");

    let point = named(&scene, "target", TARGET_ADDRESS)?;
    scene.publish(scene.world.target(), "shop", &point, &weighted("green", "0")).await?;
    for kind in [Kind::A, Kind::Aaaa] {
        zone.wait_served(&host, kind, &[("blue", 100), ("green", 0)], LIMIT).await?;
    }
    scene.pair.kill().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingress_that_names_another_controller_loses_its_records_in_one_batch_until_it_does_not_any_more()
-> Result<()> {
    let scene = Scene::start("withheld").await?;
    let (zone, host) = (&scene.zone, scene.host());
    scene.publish(scene.world.source(), "shop", &json!({"ip": SOURCE_ADDRESS}), &weighted("blue", "100")).await?;
    zone.wait_served(&host, Kind::A, &[("blue", 100)], LIMIT).await?;
    let point = named(&scene, "target", TARGET_ADDRESS)?;
    scene.publish(scene.world.target(), "shop", &point, &weighted("green", "0")).await?;
    zone.wait_served(&host, Kind::A, &[("blue", 100), ("green", 0)], LIMIT).await?;
    zone.wait_served(&host, Kind::Aaaa, &[("green", 0)], LIMIT)
        .await
        .context("alone in its kind, it is served at 0")?;

    let (mark, controller) = (zone.mark(), format!("{ANNOTATION_PREFIX}controller"));
    scene.change(scene.world.target(), &json!({&controller: "namespace-migration"})).await?;
    let removed = scene.batch("the removal", mark, "target").await?;
    let deleted = ["DELETE TXT 0", "DELETE TXT 0", "DELETE A 0", "DELETE AAAA 0"];
    ensure!(removed.accepted() && removed.actions() == deleted, "{removed}");
    zone.wait_served(&host, Kind::A, &[("blue", 100)], LIMIT).await?;
    zone.wait_served(&host, Kind::Aaaa, &[], LIMIT).await?;

    scene.change(scene.world.target(), &json!({&controller: null})).await?;
    zone.wait_served(&host, Kind::Aaaa, &[("green", 0)], LIMIT).await?;
    scene.pair.kill().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weighted_record_beside_a_simple_one_is_refused_and_other_hosts_are_not_concerned() -> Result<()> {
    let scene = Scene::start("refused").await?;
    let (zone, host) = (&scene.zone, scene.host());
    scene.publish(scene.world.source(), "shop", &json!({"ip": SOURCE_ADDRESS}), &json!({})).await?;
    let simple = scene.batch("the simple record", 0, "source").await?;

    let point = json!({"ip": TARGET_ADDRESS});
    scene.publish(scene.world.target(), "shop", &point, &weighted("green", "0")).await?;
    let refused = scene.batch("a refusal", simple.number + 1, "target").await?;
    let text = format!(
        "RRSet with DNS name {host}., type A, SetIdentifier green cannot be created as a non-weighted set exists with the \
         same name and type."
    );
    ensure!(refused.refusal().is_some_and(|refusal| refusal.contains(&text)), "{refused}");
    scene.publish(scene.world.target(), "other", &point, &weighted("other", "7")).await?;
    zone.wait_served(&scene.host_of("other"), Kind::A, &[("other", 7)], LIMIT).await?;
    ensure!(scene.pair.target.is_running().await && scene.pair.target.log()?.contains(&text), "it says why in its log");
    let metrics = scene.pair.target.metrics().await?;
    ensure!(metrics.contains("external_dns_controller_consecutive_soft_errors"), "{metrics}");

    scene.annotate(scene.world.source(), "blue", "100").await?;
    zone.wait_served(&host, Kind::A, &[("blue", 100), ("green", 0)], LIMIT).await?;
    ensure!(zone.weights(&host, Kind::A).iter().all(|served| !served.weights.is_empty()), "never without a record");
    scene.pair.kill().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_dns_goes_on_after_it_was_stopped_paused_refused_or_told_something_else() -> Result<()> {
    let scene = Scene::start("resumed").await?;
    let (zone, host, source) = (&scene.zone, scene.host(), scene.world.source());
    let serves = async |weight| zone.wait_served(&host, Kind::A, &[("blue", weight)], LIMIT).await;
    scene.publish(source, "shop", &json!({"ip": SOURCE_ADDRESS}), &weighted("blue", "10")).await?;
    serves(10).await?;

    scene.pair.source.stop().await?;
    scene.annotate(source, "blue", "20").await?;
    ensure!(!scene.pair.source.is_running().await, "it runs");
    let deployments: Api<Deployment> = Api::namespaced(source.admin_client()?, "external-dns");
    let scaled = deployments.get("resumed-source").await?.spec.and_then(|spec| spec.replicas);
    ensure!(scaled == Some(0), "its Deployment has {scaled:?} replicas");
    scene.pair.source.start_again().await?;
    serves(20).await?;

    scene.pair.source.pause().await?;
    scene.annotate(source, "blue", "30").await?;
    scene.pair.source.resume().await?;
    serves(30).await?;

    let mark = zone.mark();
    let refusing = scene.world.route53().faults().refuse_batches(Scope::everything().zone(zone.name()), "not today");
    scene.annotate(source, "blue", "40").await?;
    let refused = scene.batch("a refusal on demand", mark, "source").await?;
    ensure!(refused.refusal() == Some("[not today]"), "{refused}");
    drop(refusing);
    serves(40).await?;

    let blind = Options { annotation_prefix: "other.example.com/".to_owned(), ..scene.pair.source.options().await };
    scene.pair.source.restart(blind).await?;
    let simple = |zone: &Zone| zone.get(&host, Kind::A, None);
    zone.wait("the record becoming simple, as the annotations are not read", LIMIT, simple).await?;
    scene.pair.kill().await
}

#[tokio::test(flavor = "multi_thread")]
async fn from_an_ingress_to_the_address_that_users_get() -> Result<()> {
    let world = World::shared().await?;
    let options = setup::Options { own_dns: Dns::own(), named_balancers: true, ..setup::Options::new("way") };
    let setup = Setup::start(world, options).await?;
    let own = setup.own_dns().context("a zone of its own")?;
    let sample = setup.sample("way-shop").without_deployment();
    sample.create_on_source(&world.source().admin_client()?).await?;
    let host = "way-shop.way.example.org";
    for kind in [Kind::A, Kind::Aaaa] {
        let served = |zone: &Zone| zone.served().group(host, kind).next().cloned();
        let set = own.zone().wait("an alias being served", LIMIT, served).await?;
        ensure!(set.routing == Routing::Simple && matches!(set.target, Target::Alias { .. }), "{set:?}");
    }
    let address = setup.source_balancer().https().ip();
    for (family, address) in [(Family::V4, address), (Family::Both, in_ipv6(address))] {
        let found = resolve(world.name_server().address(), host, family).await;
        let found = found.map_err(|missing| anyhow!("{host} is not answered: {missing:?}"))?;
        ensure!(found.addresses == [address], "expected {address}; found {found:?}");
    }
    own.external_dns().kill().await
}
