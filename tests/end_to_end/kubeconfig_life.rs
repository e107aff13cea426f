//! The life of a connection while a migration runs through it: credentials are replaced, expire, are swapped and taken away,
//! rights and whole pairs go. Each time the weights stay as they are, status says what to do, and once that is done it goes on.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Api;
use kube::api::DeleteParams;
use namespace_migration::api::{NamespaceMigration, NamespaceMigrationStatus, Stage};
use rig::deploy::{OPERATOR_NAMESPACE, put_kubeconfig};
use rig::identity::{Credential, Identity};
use rig::kubeconfig::Access;
use rig::proxy::ApiRequest;
use rig::recorder::Recorder;
use rig::sample_app::Fault;
use rig::setup::Options;

use crate::scene::{Migration, Scene, condition, create_again, holds_step, proxied, quick, rollback_write, take_away};

const TARGET_ROLE: &str = "namespace-migration-target";
/// A hold during which something is taken away.
const BRIEF: &str = "6s";
/// Longer than an API server believes in a token that was revoked, which is 10 s.
const LONG: &str = "20s";

/// A scene whose operator reaches the target by a credential of its own.
struct Connected {
    scene: Scene,
    identity: Identity,
    credential: Credential,
}

impl Connected {
    async fn open(name: &str) -> Result<Self> {
        Self::open_with(quick(name)).await
    }

    async fn open_with(options: Options) -> Result<Self> {
        let name = &options.name.clone();
        let scene = Scene::open(options).await?;
        let identity = Identity::create(scene.world.target(), &format!("{name}-operator"), TARGET_ROLE).await?;
        let credential = identity.credential(&format!("{name}-first")).await?;
        put(&scene, &credential.access).await?;
        Ok(Self { scene, identity, credential })
    }

    /// A migration that holds 10 percent for so long.
    async fn in_mid_shift(&self, hold: &str) -> Result<Migration<'_>> {
        let steps = [(10, hold), (50, "1s"), (100, "1s")];
        let shop = self.scene.migration(&format!("{}-shop", self.scene.setup.name())).steps(&steps).begin().await?;
        shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
        Ok(shop)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_is_rotated_in_mid_run_without_a_call_that_fails() -> Result<()> {
    let connected = Connected::open("rotation").await?;
    let (scene, shop) = (&connected.scene, connected.in_mid_shift(LONG).await?);
    let before = kubeconfigs_in_use(scene).await?;
    put(scene, &connected.identity.credential("rotation-second").await?.access).await?;
    let rotated = async || Ok((kubeconfigs_in_use(scene).await? > before).then_some(()));
    scene.eventually("the new kubeconfig in use", rotated).await?;
    connected.identity.revoke(&connected.credential).await?;
    shop.ends(Stage::Completed).await?;

    let log = scene.log().await?;
    ensure!(!log.contains("cannot be used") && !log.contains("was not carried out"), "{log}");
    let metrics = scene.metrics().await?;
    let denied: Vec<_> = metrics.lines().filter(|line| line.contains(r#"outcome="denied""#)).collect();
    ensure!(denied.is_empty(), "{denied:?}");
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_not_accepted_any_more_freezes_the_shift_until_a_new_one_comes() -> Result<()> {
    let connected = Connected::open("expiry").await?;
    let (scene, shop) = (&connected.scene, connected.in_mid_shift(LONG).await?);
    connected.identity.revoke(&connected.credential).await?;
    let frozen = freezes(&shop, "ClusterRefused", [Some(90), Some(10)]).await?;
    for words in ["target cluster", "401 Unauthorized", "credential in Secret expiry-target"] {
        ensure!(frozen.message.contains(words), "{:?} does not say {words:?}", frozen.message);
    }
    let fix = "Put a kubeconfig with a new credential into Secret expiry-target; it is used at once.";
    ensure!(frozen.unblock.contains(fix), "{}", frozen.unblock);
    put(scene, &connected.identity.credential("expiry-second").await?.access).await?;
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_that_suddenly_leads_to_another_cluster_freezes_the_shift_and_nothing_is_written_there()
-> Result<()> {
    let connected = Connected::open("swap").await?;
    let (scene, shop) = (&connected.scene, connected.in_mid_shift(BRIEF).await?);
    let source = scene.world.source();
    let stranger = Identity::create(source, "swap-stranger", "cluster-admin").await?;
    let recorder = Recorder::open(source.name(), source.audit_log());
    let mark = recorder.mark().await?;
    put(scene, &stranger.credential("swap-stranger").await?.access).await?;

    let frozen = freezes(&shop, "WrongCluster", [Some(90), Some(10)]).await?;
    let (found, expected) = (rig::deploy::identity(source).await?, rig::deploy::identity(scene.world.target()).await?);
    ensure!(frozen.message.contains(&format!("its identity is {found}")), "{}", frozen.message);
    ensure!(
        frozen.unblock.contains(&format!("lead to the cluster with the identity {expected}")),
        "{}",
        frozen.unblock
    );
    let astray = recorder.since(mark).await?.into_iter().find(|write| write.user == stranger.user());
    ensure!(astray.is_none(), "written to the other cluster: {:?}", astray.map(|write| write.summary()));

    put(scene, &connected.credential.access).await?;
    shop.ends(Stage::Completed).await?;
    let astray = recorder.since(mark).await?.into_iter().any(|write| write.user == stranger.user());
    ensure!(!astray, "written to the other cluster");
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_that_is_taken_away_freezes_the_shift_until_it_is_back() -> Result<()> {
    let connected = Connected::open("removal").await?;
    let (scene, shop) = (&connected.scene, connected.in_mid_shift(BRIEF).await?);
    remove(scene).await?;
    let frozen = freezes(&shop, "ClusterRefused", [Some(90), Some(10)]).await?;
    let told = "there is no Secret removal-target in the operator's namespace namespace-migration";
    ensure!(frozen.message.contains(told), "{}", frozen.message);
    let fix =
        "Create Secret removal-target in namespace namespace-migration with the kubeconfig under the key kubeconfig";
    ensure!(frozen.unblock.contains(fix), "{}", frozen.unblock);
    put(scene, &connected.credential.access).await?;
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_targets_kubeconfig_the_users_still_go_back_to_the_source_at_once() -> Result<()> {
    let connected = Connected::open("removal-sick").await?;
    let (scene, shop) = (&connected.scene, connected.in_mid_shift(BRIEF).await?);
    remove(scene).await?;
    shop.waits("ClusterRefused").await?;
    scene.setup.application().set("target", shop.host(), Fault::Status(503));
    shop.waits("RollbackWaitsForTarget").await?;
    ensure!(rollback_write(&shop.weight_writes().await?, "source").is_some(), "the source was not taken back");
    ensure!(shop.weights().await? == [Some(100), Some(10)], "{:?}", shop.weights().await?);
    put(scene, &connected.credential.access).await?;
    shop.ends(Stage::RolledBack).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_cannot_show_the_kubeconfig_takes_no_connection_away() -> Result<()> {
    let connected = Connected::open_with(proxied("unshown")).await?;
    let (scene, shop) = (&connected.scene, connected.in_mid_shift(LONG).await?);
    let home = scene.setup.home_faults().context("a proxy before the home")?;
    let kubeconfigs = |request: &ApiRequest| {
        let read = request.resource == "secrets" && request.verb == "get";
        read && request.namespace == OPERATOR_NAMESPACE
    };
    home.answer(kubeconfigs, StatusCode::SERVICE_UNAVAILABLE, u64::MAX);
    let before = kubeconfigs_in_use(scene).await?;
    put(scene, &connected.identity.credential("unshown-second").await?.access).await?;
    let asked = async || {
        let failed = r#"nsmig_remote_calls_total{side="home",verb="get",outcome="server_error"}"#;
        Ok(scene.metrics().await?.contains(failed).then_some(()))
    };
    scene.eventually("a failed read of the kubeconfig", asked).await?;
    scene.probe_rounds(10).await?;
    ensure!(!scene.log().await?.contains("cannot be used"), "{}", scene.log().await?);
    ensure!(kubeconfigs_in_use(scene).await? == before, "it used what it was not shown");

    home.clear();
    let rotated = async || Ok((kubeconfigs_in_use(scene).await? > before).then_some(()));
    scene.eventually("the new kubeconfig in use", rotated).await?;
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_taken_away_is_named_and_the_shift_goes_on_when_it_is_back() -> Result<()> {
    let connected = Connected::open("rights").await?;
    let (scene, shop) = (&connected.scene, connected.in_mid_shift(BRIEF).await?);
    let rules = connected.identity.rules().await?;

    connected.identity.set_rules(&without(&rules, "patch")).await?;
    let refused = freezes(&shop, "WriteRefused", [Some(90), Some(10)]).await?;
    let told = [
        "Cannot write the weight of Ingress rights-shop on the target",
        "403 Forbidden",
        &format!("User \"{}\" cannot patch resource \"ingresses\"", connected.identity.user()),
        "in API group \"networking.k8s.io\" in the namespace \"rights-shop\"",
    ];
    for words in told {
        ensure!(refused.message.contains(words), "{:?} does not say {words:?}", refused.message);
    }
    ensure!(refused.unblock.contains("role of the operator's identity"), "{}", refused.unblock);

    // Not even who the cluster is may be asked now: the operator comes back to it with a new process.
    connected.identity.set_rules(&[]).await?;
    scene.crash_and_restart().await?;
    let refused = freezes(&shop, "ClusterRefused", [Some(90), Some(10)]).await?;
    for words in ["target cluster", "cannot get resource \"namespaces\""] {
        ensure!(refused.message.contains(words), "{:?} does not say {words:?}", refused.message);
    }
    ensure!(refused.unblock.contains("Give that identity the role of deploy/target"), "{}", refused.unblock);
    connected.identity.set_rules(&without(&rules, "list")).await?;
    let cannot_be_watched = |found: &NamespaceMigration| {
        found.status.as_ref().is_some_and(|status| status.message.contains("may not watch"))
    };
    shop.until("a namespace that cannot be watched", cannot_be_watched).await?;
    let blind = freezes(&shop, "ClusterRefused", [Some(90), Some(10)]).await?;
    for words in ["The operator may not watch the namespace on the target", "cannot list resource", "rights-shop"] {
        ensure!(blind.message.contains(words), "{:?} does not say {words:?}", blind.message);
    }
    connected.identity.set_rules(&rules).await?;
    let ended = shop.ends(Stage::Completed).await?;
    ensure!(condition(&ended, "Stalled") == "False");
    shop.keeps_its_promises().await
}

fn without(rules: &[PolicyRule], verb: &str) -> Vec<PolicyRule> {
    let mut rules = rules.to_vec();
    for rule in &mut rules {
        rule.verbs.retain(|granted| granted != verb);
    }
    rules
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_is_deleted_in_mid_run_freezes_the_shift_until_it_is_back() -> Result<()> {
    let connected = Connected::open("pairless").await?;
    let (scene, shop) = (&connected.scene, connected.in_mid_shift(BRIEF).await?);
    let pairs = scene.pairs().await?;
    let pair = pairs.get("pairless").await?;
    take_away(&pairs, "pairless").await?;
    let frozen = shop.waits("NoClusterPair").await?.status.context("a status")?;
    let told = "There is no ClusterPair named pairless. Until it is mended the weights stay";
    ensure!(frozen.message.contains(told), "{}", frozen.message);
    ensure!(frozen.unblock.contains("Create ClusterPair pairless"), "{}", frozen.unblock);
    ensure!(frozen.weight == 10 && frozen.stage == Stage::ShiftTraffic, "{frozen:?}");
    // Without its pair nothing is watched or probed: what it does not do is read from its silence.
    let written = shop.weight_writes().await?.len();
    let reachable = async || Ok((!scene.metrics().await?.contains("pair=\"pairless\"")).then_some(()));
    scene.eventually("the connections gone", reachable).await?;
    ensure!(shop.weight_writes().await?.len() == written && shop.weights().await? == [Some(90), Some(10)]);

    create_again(&pairs, pair).await?;
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

/// Waits until it says that it cannot go on, and fails if a weight is written while it cannot.
async fn freezes(shop: &Migration<'_>, reason: &str, weights: [Option<i32>; 2]) -> Result<NamespaceMigrationStatus> {
    let frozen = shop.waits(reason).await?;
    shop.stays_as_it_is(5).await?;
    ensure!(shop.weights().await? == weights, "{:?}", shop.sequence().await?);
    let status = frozen.status.context("a status")?;
    ensure!(!status.unblock.is_empty(), "status does not say what to do: {}", status.message);
    Ok(status)
}

/// The operator's kubeconfig for the target is this one from now on.
async fn put(scene: &Scene, access: &Access) -> Result<()> {
    put_kubeconfig(scene.home().await?, &scene.setup.kubeconfig_secret("target"), access).await
}

async fn remove(scene: &Scene) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(scene.home().await?.admin_client()?, OPERATOR_NAMESPACE);
    secrets.delete(&scene.setup.kubeconfig_secret("target"), &DeleteParams::default()).await?;
    Ok(())
}

/// How often the operator has put a kubeconfig to use so far.
async fn kubeconfigs_in_use(scene: &Scene) -> Result<usize> {
    Ok(scene.log().await?.lines().filter(|line| line.contains("a kubeconfig is in use")).count())
}
