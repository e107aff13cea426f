//! The real external-dns publishes Ingresses in the rig's Route 53, step by step as a migration makes it do.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use rig::control_plane::ControlPlane;
use rig::external_dns::{Options, Pair};
use rig::route53::journal::{Action, Entry};
use rig::route53::record::{Kind, Target};
use rig::route53::zone::Zone;
use rig::setup::ANNOTATION_PREFIX;
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
        let zone = world.route53().create_zone(&format!("{name}.example.org"));
        let options = ["source", "target"].map(|side| Options {
            ingress_class: Some(name.to_owned()),
            ..Options::new(format!("{name}-{side}"), &zone)
        });
        let pair = world.start_external_dns(options).await?;
        Ok(Self { world, zone, pair, class: name })
    }

    fn host(&self) -> String {
        format!("shop.{}", self.zone.name().trim_end_matches('.'))
    }

    /// Waits for a batch of this side about the host, from number `mark` of the journal on.
    async fn batch(&self, what: &str, mark: usize, side: &str) -> Result<Entry> {
        let (caller, host) = (format!("{}-{side}", self.class), self.host());
        let fits = |entry: &Entry| entry.caller == caller && entry.is_about(&host);
        self.zone.wait_for(what, mark, LIMIT, fits).await
    }

    async fn publish(&self, cluster: &ControlPlane, point: Value) -> Result<()> {
        let client = cluster.admin_client()?;
        create_namespace(&client, self.class).await?;
        let api: Api<Ingress> = Api::namespaced(client, self.class);
        let ingress = ingress(self.class, &self.host())?;
        api.create(&PostParams::default(), &ingress).await.context("creating an Ingress")?;
        let status = json!({"status": {"loadBalancer": {"ingress": [point]}}});
        let patched = api.patch_status("shop", &PatchParams::default(), &Patch::Merge(&status)).await;
        patched.context("writing the status of an Ingress").map(|_| ())
    }

    async fn annotate(&self, cluster: &ControlPlane, identifier: &str, weight: &str) -> Result<()> {
        let annotations = json!({
            format!("{ANNOTATION_PREFIX}set-identifier"): identifier,
            format!("{ANNOTATION_PREFIX}aws-weight"): weight,
        });
        let api: Api<Ingress> = Api::namespaced(cluster.admin_client()?, self.class);
        let change = json!({"metadata": {"annotations": annotations}});
        let patched = api.patch("shop", &PatchParams::default(), &Patch::Merge(&change)).await;
        patched.context("annotating an Ingress").map(|_| ())
    }
}

async fn create_namespace(client: &Client, name: &str) -> Result<()> {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
    api.patch(name, &PatchParams::apply("test"), &Patch::Apply(&object)).await.map(|_| ()).context("a namespace")
}

fn ingress(class: &str, host: &str) -> Result<Ingress> {
    let backend = json!({"service": {"name": "shop", "port": {"number": 80}}});
    Ok(serde_json::from_value(json!({
        "metadata": {"name": "shop"},
        "spec": {"ingressClassName": class, "rules": [{"host": host, "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": backend},
        ]}}]},
    }))?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simple_record_becomes_weighted_in_one_batch_and_follows_its_weight() -> Result<()> {
    let scene = Scene::start("converted").await?;
    let (zone, host) = (&scene.zone, scene.host());
    scene.publish(scene.world.source(), json!({"ip": SOURCE_ADDRESS})).await?;
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
    scene.pair.stop().await
}
