//! A right that the operator lacks is told before anything is written, and once it is given the migration goes on.
//!
//! The operator has identities of the test's own on both sides, with rights in each namespace apart: those of `deploy/`, or
//! those but one.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleBinding};
use kube::api::PostParams;
use kube::{Api, Client};
use namespace_migration::api::{ClusterPairStatus, NamespaceMigration, Stage};
use rig::control_plane::ControlPlane;
use rig::deploy::{OPERATOR_NAMESPACE, put_kubeconfig};
use rig::identity::Identity;
use rig::kubeconfig::Access;
use rig::operator::Operator;
use rig::progress::say;
use rig::sample_namespace::SECRET;
use rig::setup::{Dns, Home, Options, Verification};
use serde_json::{Value, json};

use crate::deletion::until_pair;
use crate::scene::{Migration, Scene, quick, reason_of};

/// One right that one side does not give.
struct Case {
    name: &'static str,
    side: &'static str,
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
}

impl Case {
    /// What a person reads.
    fn told(&self) -> [String; 2] {
        let Self { name, side, verb, group, resource } = self;
        let group = if group.is_empty() { String::new() } else { format!(".{group}") };
        [
            format!("Permissions: The {side} refuses: {verb} {resource}{group} in namespace {name}."),
            format!(
                "Bind the ClusterRole namespace-migration-{side} of deploy/{side} to \
                 system:serviceaccount:{OPERATOR_NAMESPACE}:limited on the {side}. The clusters are asked again by themselves."
            ),
        ]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_told_before_anything_is_written_and_once_given_it_goes_on() -> Result<()> {
    let case = |name, side, verb, group, resource| Case { name, side, verb, group, resource };
    let cases = [
        case("limited-patch", "source", "patch", "networking.k8s.io", "ingresses"),
        case("limited-read", "source", "get", "", "secrets"),
        case("limited-list", "target", "list", "networking.k8s.io", "ingresses"),
        case("limited-create", "target", "create", "", "secrets"),
    ];
    let scene = scene_with_own_identities(quick("limited")).await?;
    futures::future::try_join_all(cases.iter().map(|case| lacks(&scene, case))).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_may_be_granted_by_their_names_alone() -> Result<()> {
    let scene = scene_with_own_identities(quick("named")).await?;
    let shop = scene.migration("named-shop").deploy().await?;
    bind(&scene.target(), shop.name(), "namespace-migration-target").await?;
    let reading = Case { name: "named-shop", side: "source", verb: "get", group: "", resource: "secrets" };
    grant_all_but(&scene.source(), &reading).await?;
    let by_name = json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET], "verbs": ["get"]});
    put_role(&scene.source(), "limited-named-secret", serde_json::from_value(json!([by_name]))?).await?;
    bind(&scene.source(), shop.name(), "limited-named-secret").await?;
    shop.begin().await?;
    // The pair tells what is refused in general, which stops nobody.
    for (side, verbs) in [("Source", "get secrets"), ("Target", "create, delete, get secrets")] {
        let told = |pair: &ClusterPairStatus| {
            let all = pair.conditions.iter().filter(|condition| condition.type_ == format!("{side}Authorized"));
            all.into_iter().any(|condition| condition.reason == "NotAuthorized" && condition.message.contains(verbs))
        };
        until_pair(&scene, &format!("{side}: {verbs}"), told).await?;
    }
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_of_external_dns_that_may_not_be_read_stops_nobody_and_may_be_granted_by_its_name_alone()
-> Result<()> {
    let options = Options { own_dns: Dns::own(), verification: Verification::Route53, ..quick("unread") };
    let scene = scene_with_own_identities(Options { dns: ["2s", "300ms", "1s"], ..options }).await?;
    let shop = scene.migration("unread-shop").spec("/traffic/upTo", json!(0)).deploy().await?;
    let clusters = [("source", scene.source()), ("target", scene.target())];
    for (side, client) in &clusters {
        bind(client, shop.name(), &shipped(side)).await?;
    }
    shop.begin().await?;
    let told = |found: &NamespaceMigration| {
        let findings = found.status.iter().flat_map(|status| &status.preflight);
        findings.filter(|finding| finding.check == "ExternalDNS").map(|finding| finding.message.clone()).next()
    };
    let said =
        |side: &str| format!("The Deployment external-dns/unread-{side} of the {side}'s external-dns may not be read");
    let is_told = |found: &NamespaceMigration| {
        told(found).is_some_and(|message| clusters.iter().all(|(side, _)| message.contains(&said(side))))
    };
    shop.until("being told that both may not be read", is_told).await?;
    shop.until("the ceiling", |found| reason_of(found) == "AtCeiling").await?;
    for (side, client) in &clusters {
        let deployment = format!("unread-{side}");
        let by_name = json!({"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": [deployment], "verbs": ["list", "watch"]});
        put_role(client, &deployment, serde_json::from_value(json!([by_name]))?).await?;
        bind(client, "external-dns", &deployment).await?;
    }
    shop.until("both being read", |found| told(found).is_none()).await?;
    scene.setup.own_dns().context("a zone of its own")?.external_dns().kill().await
}

/// Rights at home and on both sides: every gap is in the one finding, with the role that closes it, and no order is begun.
#[tokio::test(flavor = "multi_thread")]
async fn several_missing_rights_at_home_and_on_both_sides_are_listed_in_one_finding() -> Result<()> {
    let scene = scene_with_own_identities(quick("gaps")).await?;
    let home = Identity::create(scene.home().await?, "gaps-home", "namespace-migration-home").await?;
    let rules = home.rules().await?;
    let refused = |rule: &PolicyRule| {
        let resources = rule.resources.iter().flatten();
        resources.into_iter().any(|resource| resource == "events" || resource == "clusterpairs/status")
    };
    home.set_rules(&rules.iter().filter(|rule| !refused(rule)).cloned().collect::<Vec<_>>()).await?;
    let at_home = "namespace-migration-home";
    let roles: Api<RoleBinding> = Api::namespaced(scene.home().await?.admin_client()?, OPERATOR_NAMESPACE);
    let binding = json!({
        "metadata": {"name": "gaps-home"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": at_home},
        "subjects": [{"kind": "ServiceAccount", "name": "gaps-home", "namespace": OPERATOR_NAMESPACE}],
    });
    put(&roles, binding).await?;
    scene.replace_operator(home.credential("gaps-home").await?.access).await?;

    let shop = scene.migration("gaps-shop").spec("/rollback", json!({"objects": "Remove"})).deploy().await?;
    let reading = Case { name: "gaps-shop", side: "source", verb: "patch", group: "", resource: "ingresses" };
    grant_all_but(&scene.source(), &reading).await?;
    let rules = Api::<ClusterRole>::all(scene.target()).get(&shipped("target")).await?.rules.unwrap_or_default();
    let rules = rules.into_iter().map(|mut rule| {
        rule.verbs.retain(|verb| !["create", "delete"].contains(&verb.as_str()));
        rule
    });
    put_role(&scene.target(), "gaps-target", rules.filter(|rule| !rule.verbs.is_empty()).collect()).await?;
    bind(&scene.target(), shop.name(), "gaps-target").await?;
    shop.begin().await?;
    let blocked = shop.waits("PreflightBlocked").await?.status.context("a status")?;
    let [account, of_home] =
        ["limited", "gaps-home"].map(|name| format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{name}"));
    let message = "Permissions: The home cluster refuses: patch clusterpairs/status.namespacemigration.io; create events.events.k8s.io in \
                   namespace gaps-shop. The source refuses: patch ingresses.networking.k8s.io in namespace gaps-shop. The target refuses: \
                   create, delete secrets; create, delete ingresses.networking.k8s.io in namespace gaps-shop.";
    ensure!(blocked.message == message, "{}", blocked.message);
    let fix = format!(
        "Bind the ClusterRole {at_home} of deploy/base to {of_home} on the home cluster. Bind the ClusterRole namespace-migration-source of \
         deploy/source to {account} on the source. Bind the ClusterRole namespace-migration-target of deploy/target to {account} on the \
         target. The clusters are asked again by themselves."
    );
    ensure!(blocked.unblock == fix, "{}", blocked.unblock);
    let of_rights = blocked.preflight.iter().filter(|finding| finding.check == "Permissions");
    ensure!(of_rights.count() == 1, "{:?}", blocked.preflight);
    scene.until_logged("The home cluster refuses: patch clusterpairs/status", "create events.events.k8s.io").await?;
    say(format!("rights that are missing, before anything is written\n{message}\n{fix}"));
    writes_nothing(&shop).await?;

    home.set_rules(&rules_at_home(&scene).await?).await?;
    for side in ["source", "target"] {
        let client = if side == "source" { scene.source() } else { scene.target() };
        bind(&client, shop.name(), &shipped(side)).await?;
    }
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

async fn rules_at_home(scene: &Scene) -> Result<Vec<PolicyRule>> {
    let roles = Api::<ClusterRole>::all(scene.home().await?.admin_client()?);
    Ok(roles.get("namespace-migration-home").await?.rules.unwrap_or_default())
}

impl Scene {
    /// From now on the operator works at home as somebody else.
    async fn replace_operator(&self, home: Access) -> Result<()> {
        let mut operator = self.operator.lock().await;
        operator.sigkill().await?;
        let name = format!("{}-again", self.setup.name());
        let usual = self.setup.operator_options(Some(self.setup.selector()));
        let options = rig::operator::Options { name, home, lease: None, ..usual };
        *operator = Operator::start(self.world.folder(), &options).await?;
        Ok(())
    }
}

async fn lacks(scene: &Scene, case: &Case) -> Result<()> {
    let shop = scene.migration(case.name).deploy().await?;
    for (side, client) in [("source", scene.source()), ("target", scene.target())] {
        if side == case.side {
            grant_all_but(&client, case).await?;
        } else {
            bind(&client, case.name, &shipped(side)).await?;
        }
    }
    shop.begin().await?;
    let [message, unblock] = case.told();
    let is_told = |found: &NamespaceMigration| {
        let status = found.status.as_ref();
        reason_of(found) == "PreflightBlocked" && status.is_some_and(|status| status.message == message)
    };
    let blocked = shop.until(&format!("being told {message:?}"), is_told).await?.status.context("a status")?;
    ensure!(blocked.unblock == unblock, "{}", blocked.unblock);
    writes_nothing(&shop).await?;
    let client = if case.side == "source" { scene.source() } else { scene.target() };
    bind(&client, case.name, &shipped(case.side)).await?;
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await
}

/// An operator on a third cluster whose kubeconfigs are of accounts that may look at namespaces and no more.
async fn scene_with_own_identities(options: Options) -> Result<Scene> {
    let scene = Scene::open(Options { home: Home::Third, ..options }).await?;
    for cluster in [scene.world.source(), scene.world.target()] {
        let account = account(cluster).await?;
        put_kubeconfig(scene.home().await?, &format!("{}-{}", scene.setup.name(), cluster.name()), &account).await?;
    }
    Ok(scene)
}

async fn account(cluster: &ControlPlane) -> Result<rig::kubeconfig::Access> {
    let client = cluster.admin_client()?;
    let namespaces = json!([{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]}]);
    put_role(&client, "limited-namespaces", serde_json::from_value(namespaces)?).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    put(&accounts, json!({"metadata": {"name": "limited"}})).await?;
    put(&Api::<ClusterRoleBinding>::all(client), binding("limited-namespaces")).await?;
    cluster.service_account(OPERATOR_NAMESPACE, "limited").await
}

fn shipped(side: &str) -> String {
    format!("namespace-migration-{side}")
}

/// The role that is installed for the side of a case, without what the case is about, in its namespace.
async fn grant_all_but(client: &Client, case: &Case) -> Result<()> {
    let shipped = Api::<ClusterRole>::all(client.clone()).get(&shipped(case.side)).await?;
    let mut rules = shipped.rules.unwrap_or_default();
    for rule in &mut rules {
        let is_it = rule.resources.iter().flatten().any(|resource| resource == case.resource);
        rule.verbs.retain(|verb| !is_it || verb != case.verb);
    }
    rules.retain(|rule| !rule.verbs.is_empty());
    put_role(client, case.name, rules).await?;
    bind(client, case.name, case.name).await
}

async fn bind(client: &Client, namespace: &str, role: &str) -> Result<()> {
    put(&Api::<RoleBinding>::namespaced(client.clone(), namespace), binding(role)).await
}

fn binding(role: &str) -> Value {
    json!({
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "limited", "namespace": OPERATOR_NAMESPACE}],
    })
}

async fn put_role(client: &Client, name: &str, rules: Vec<PolicyRule>) -> Result<()> {
    put(&Api::<ClusterRole>::all(client.clone()), json!({"metadata": {"name": name}, "rules": rules})).await
}

/// Creates it; the other test of this file may have been quicker.
async fn put<K>(api: &Api<K>, object: Value) -> Result<()>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    match api.create(&PostParams::default(), &serde_json::from_value(object)?).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        created => created.map(drop).context("granting rights"),
    }
}

async fn writes_nothing(shop: &Migration<'_>) -> Result<()> {
    let mut writes = shop.writes().await?;
    writes.retain(|write| write.user.ends_with(":limited") && write.namespace == shop.name());
    ensure!(writes.is_empty(), "written although a right is missing: {}", writes[0].summary());
    Ok(())
}
