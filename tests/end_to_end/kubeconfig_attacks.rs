//! Kubeconfigs that were written to harm: what they name is not run, not read and not asked, and a person is told which field
//! it is. Traps prove it: a file that a command would make, a pipe that notices a reader, a listener that counts visitors.

mod traps;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use namespace_migration::api::{ClusterPair, NamespaceMigration, Stage};
use namespace_migration::machine::Side;
use rig::deploy::{KUBECONFIG_KEY, OPERATOR_NAMESPACE, SOURCE_ACCOUNT, TARGET_ACCOUNT};
use rig::kubeconfig::Access;
use rig::progress::say;
use rig::setup::{Home, LABEL, Options};
use serde_json::json;

use crate::scene::{Scene, holds_step, quick, remember_object};
use traps::{Pipe, Visitors, resident_kibibytes};

/// What the operator may need more at its peak, whatever it is given to read.
const MORE_KIBIBYTES: u64 = 96 * 1024;
/// How long all attacks together may keep it busy.
const LONG_ENOUGH: Duration = Duration::from_secs(60);

/// One kubeconfig, and what a person must be told of it. Without a text there is no Secret.
struct Attack {
    name: &'static str,
    text: Option<String>,
    words: &'static str,
}

/// The good kubeconfig that is spoiled.
struct Spoiler {
    good: String,
    access: Access,
    command: String,
    pipe: String,
    listener: String,
}

impl Spoiler {
    fn user(&self, name: &'static str, user: &str, words: &'static str) -> Attack {
        let text = self.good.replace(&format!("token: {}", self.access.token), user);
        Attack { name, text: Some(text), words }
    }

    fn cluster(&self, name: &'static str, fields: &str, words: &'static str) -> Attack {
        let server = format!("server: {}", self.access.server);
        let text = self.good.replace(&server, &format!("{server}\n    {fields}"));
        Attack { name, text: Some(text), words }
    }

    fn changed(&self, name: &'static str, from: &str, to: &str, words: &'static str) -> Attack {
        Attack { name, text: Some(self.good.replace(from, to)), words }
    }

    fn without_authority(&self) -> Attack {
        let lines = self.good.lines().filter(|line| !line.contains("certificate-authority-data"));
        let text = lines.map(|line| format!("{line}\n")).collect();
        let words = "has no clusters[0].cluster.certificate-authority-data; add it inline";
        Attack { name: "no-authority", text: Some(text), words }
    }

    fn exec(&self) -> Attack {
        let exec = format!(
            "exec: {{apiVersion: client.authentication.k8s.io/v1, command: touch, args: ['{}'], interactiveMode: Never}}",
            self.command
        );
        self.user("exec", &exec, "users[0].user.exec; commands are not run")
    }

    fn running(&self) -> Vec<Attack> {
        let Self { command, pipe, listener, .. } = self;
        // What each of them would run or ask.
        let provider = |name: &str| {
            format!(
                "auth-provider: {{name: {name}, config: {{cmd-path: touch, cmd-args: '{command}', access-token: '', \
                 idp-issuer-url: 'https://{listener}', client-id: shop, refresh-token: shop, id-token: '', \
                 environment: AzurePublicCloud, apiserver-id: shop, tenant-id: shop}}}}"
            )
        };
        vec![
            self.exec(),
            self.user("gcp", &provider("gcp"), "users[0].user.auth-provider; authentication plug-ins are not run"),
            self.user("oidc", &provider("oidc"), "users[0].user.auth-provider; authentication plug-ins are not run"),
            self.user("azure", &provider("azure"), "users[0].user.auth-provider; authentication plug-ins are not run"),
            self.user(
                "token-file",
                &format!("tokenFile: {pipe}"),
                "users[0].user.tokenFile, a path; files are not read",
            ),
            self.user(
                "client-key",
                &format!("client-certificate: {pipe}\n    client-key: {pipe}"),
                "users[0].user.client-certificate, a path; files are not read",
            ),
            self.user(
                "environ",
                "client-key: /proc/self/environ",
                "users[0].user.client-key, a path; files are not read",
            ),
            self.cluster(
                "authority-file",
                &format!("certificate-authority: {pipe}"),
                "clusters[0].cluster.certificate-authority, a path; files are not read",
            ),
        ]
    }

    fn misleading(&self) -> Vec<Attack> {
        let token = &self.access.token;
        vec![
            self.cluster(
                "insecure",
                "insecure-skip-tls-verify: true",
                "insecure-skip-tls-verify; certificates are always verified",
            ),
            self.changed("plain-http", "server: https://", "server: http://", "does not begin with https://"),
            self.cluster(
                "proxy",
                &format!("proxy-url: http://{}", self.listener),
                "proxy-url; API servers are reached directly",
            ),
            self.cluster("server-name", "tls-server-name: localhost", "tls-server-name; the certificate must be valid"),
            self.without_authority(),
            self.user("as", &format!("token: {token}\n    as: admin"), "users[0].user.as; impersonation is refused"),
            self.user(
                "as-groups",
                &format!("token: {token}\n    as-groups: ['system:masters']"),
                "users[0].user.as-groups; impersonation is refused",
            ),
            self.user(
                "password",
                "username: admin\n    password: admin",
                "users[0].user.username; basic authentication is refused",
            ),
        ]
    }

    fn malformed(&self) -> Vec<Attack> {
        let whole = |name, text: String, words| Attack { name, text: Some(text), words };
        vec![
            Attack {
                name: "missing",
                text: None,
                words: "there is no Secret attack-missing in the operator's namespace",
            },
            whole("huge", "#".repeat(1_000_000), "has 1000000 bytes, more than the 65536 that are read"),
            whole("no-yaml", "]".to_owned(), "the kubeconfig cannot be read at line 1"),
            whole("bomb", bomb(), "the kubeconfig uses YAML anchors"),
            self.changed(
                "anchor",
                "name: remote\n  cluster",
                "name: &a remote\n  cluster",
                "the kubeconfig uses YAML anchors",
            ),
            self.changed(
                "twice",
                "kind: Config",
                "kind: Config\nkind: Config",
                "the kubeconfig has a field twice at line 3",
            ),
            whole("documents", format!("{}---\n{}", self.good, self.good), "the kubeconfig has several YAML documents"),
            self.changed(
                "two-contexts",
                "contexts:\n",
                "contexts:\n- name: other\n  context: {cluster: remote, user: remote}\n",
                "has 2 entries in contexts, expected exactly one",
            ),
        ]
    }
}

/// A thousand million laughs in a few lines.
fn bomb() -> String {
    let level = |name: char, below: &str| format!("{name}: &{name} [{}]\n", [below; 10].join(", "));
    let levels = ('b'..='j').map(|name| level(name, &format!("*{}", char::from(name as u8 - 1))));
    format!("clusters:\n- name: &a lol\n{}{}", level('a', "lol"), levels.collect::<String>())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_kubeconfig_names_is_run_read_or_asked() -> Result<()> {
    let scene = Scene::open(quick("attack")).await?;
    let attacks = |spoiler: &Spoiler| {
        [spoiler.running(), spoiler.misleading(), spoiler.malformed()].into_iter().flatten().collect()
    };
    attacked(&scene, Side::Target, "attacks", attacks).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_is_anything_that_the_sources_kubeconfig_names() -> Result<()> {
    let scene = Scene::open(Options { home: Home::Third, ..quick("harm") }).await?;
    let attacks = |spoiler: &Spoiler| [spoiler.running(), spoiler.misleading()].into_iter().flatten().collect();
    attacked(&scene, Side::Source, "harms", attacks).await
}

/// Makes every attack on one side's kubeconfig, by migrations in this namespace, and looks at the traps.
async fn attacked(
    scene: &Scene,
    side: Side,
    namespace: &str,
    attacks: impl FnOnce(&Spoiler) -> Vec<Attack>,
) -> Result<()> {
    let shop = scene.migration(namespace).deploy().await?;
    remember_object(namespace);
    let folder = scene.world.folder();
    let (visitors, pipe) = (Visitors::wait_for().await?, Pipe::lay(&folder.join(format!("{namespace}-pipe")))?);
    let command = folder.join(format!("{namespace}-command"));
    let (cluster, account) = side.pick((scene.world.source(), SOURCE_ACCOUNT), (scene.world.target(), TARGET_ACCOUNT));
    let token = cluster.service_account(OPERATOR_NAMESPACE, account).await?;
    let access = Access { server: format!("https://{}", visitors.address()), ..token };
    let spoiler = Spoiler {
        good: access.kubeconfig("remote")?,
        access,
        command: command.display().to_string(),
        pipe: pipe.path().display().to_string(),
        listener: visitors.address().to_string(),
    };
    let attacks = attacks(&spoiler);
    let before = resident_kibibytes(scene.operator.lock().await.pid())?;
    let began = Instant::now();
    let told = try_join_all(attacks.iter().map(|attack| told(scene, side, namespace, attack))).await?;
    let (spent, peak) = (began.elapsed(), resident_kibibytes(scene.operator.lock().await.pid())?);
    let lines = attacks.iter().zip(&told).map(|(attack, told)| format!("| {:<16} | {told} |", attack.name));
    say(format!(
        "{} kubeconfigs of the {side} that were written to harm, told in {spent:?}; peak memory {before} KiB before, {peak} KiB after\n{}",
        attacks.len(),
        lines.collect::<Vec<_>>().join("\n")
    ));
    for (attack, told) in attacks.iter().zip(&told) {
        ensure!(!told.contains(&spoiler.access.token), "{}: the token is told", attack.name);
    }
    ensure!(peak < before + MORE_KIBIBYTES && spent < LONG_ENOUGH, "{before} KiB, {peak} KiB, {spent:?}");
    ensure!(!command.exists(), "a command was run");
    ensure!(!pipe.was_opened(), "a file was read");
    ensure!(visitors.count() == 0, "{} connections to an address of a refused kubeconfig", visitors.count());
    ensure!(!scene.log().await?.contains(&spoiler.access.token), "the token is in the log");
    shop.nothing_is_written().await?;
    traps::run(&command)?;
    traps::snap(&visitors, &pipe).await
}

/// Declares a pair that uses the kubeconfig and a migration that uses the pair. Returns what its status says.
async fn told(scene: &Scene, side: Side, namespace: &str, attack: &Attack) -> Result<String> {
    let (client, name) = (scene.home().await?.admin_client()?, format!("{}-{}", scene.setup.name(), attack.name));
    if let Some(text) = &attack.text {
        let secret = json!({"metadata": {"name": name}, "stringData": {KUBECONFIG_KEY: text}});
        let secrets: Api<Secret> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
        secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
    }
    let pairs: Api<ClusterPair> = Api::all(client.clone());
    let mut pair = pairs.get(scene.setup.name()).await?;
    pair.metadata = serde_json::from_value(json!({"name": name, "labels": {LABEL: scene.setup.name()}}))?;
    let attacked = side.pick(&mut pair.spec.source, &mut pair.spec.target);
    attacked.connection.kubeconfig.as_mut().context("a kubeconfig")?.secret_name.clone_from(&name);
    pairs.create(&PostParams::default(), &pair).await?;
    let migrations: Api<NamespaceMigration> = Api::namespaced(client, namespace);
    let migration = json!({
        "apiVersion": "namespacemigration.io/v1alpha1", "kind": "NamespaceMigration",
        "metadata": {"name": name, "labels": {LABEL: scene.setup.name()}}, "spec": {"clusterPair": name},
    });
    migrations.create(&PostParams::default(), &serde_json::from_value(migration)?).await?;
    let look = async || {
        let status = migrations.get(&name).await?.status.unwrap_or_default();
        let said = status.stage == Stage::Pending && status.reason == "ClusterRefused";
        Ok((said && status.message.contains(attack.words)).then(|| format!("{} {}", status.message, status.unblock)))
    };
    let found = scene.eventually(&format!("{name} being told {:?}", attack.words), look).await;
    let status = migrations.get(&name).await?.status.unwrap_or_default();
    found.with_context(|| format!("{name}: its status says {}", status.message))
}

/// A connection in use is not safe from what is written into its Secret later: users stay where they are, nothing is run, and it goes on
/// when a good kubeconfig is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_that_turns_harmful_in_the_shift_is_not_run_and_moves_nobody() -> Result<()> {
    let scene = Scene::open(quick("turned")).await?;
    let shop = scene.migration("turned-shop").steps(&[(10, "4s"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    let access = scene.world.target().service_account(OPERATOR_NAMESPACE, TARGET_ACCOUNT).await?;
    let (good, command) = (access.kubeconfig("remote")?, scene.world.folder().join("turned-command"));
    let spoiler = Spoiler {
        good: good.clone(),
        access: access.clone(),
        command: command.display().to_string(),
        pipe: String::new(),
        listener: String::new(),
    };
    let exec = spoiler.exec();
    let secrets: Api<Secret> = Api::namespaced(scene.home().await?.admin_client()?, OPERATOR_NAMESPACE);
    let put = async |text: &str| {
        let secret = Patch::Merge(json!({"stringData": {KUBECONFIG_KEY: text}}));
        secrets.patch(&scene.setup.kubeconfig_secret("target"), &PatchParams::default(), &secret).await
    };
    put(&exec.text.unwrap_or_default()).await?;
    let told = shop.waits("ClusterRefused").await?.status.context("a status")?.message;
    ensure!(told.contains(exec.words) && !told.contains(&access.token), "{told:?} does not say {:?}", exec.words);
    shop.stays_as_it_is(5).await?;
    ensure!(shop.weights().await? == [Some(90), Some(10)], "{:?}", shop.sequence().await?);
    put(&good).await?;
    shop.ends(Stage::Completed).await?;
    ensure!(!command.exists(), "a command was run");
    traps::run(&command)?;
    shop.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_ten_megabytes_does_not_come_into_the_cluster() -> Result<()> {
    let scene = Scene::open(quick("heavy")).await?;
    let secrets: Api<Secret> = Api::namespaced(scene.home().await?.admin_client()?, OPERATOR_NAMESPACE);
    let secret = json!({"metadata": {"name": "heavy"}, "stringData": {KUBECONFIG_KEY: "#".repeat(10_000_000)}});
    let refused = secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await;
    match refused {
        Err(kube::Error::Api(refusal)) => {
            ensure!(refusal.message.starts_with("Request entity too large"), "{refusal:?}");
            say(format!("a Secret of 10 MB: {}", refusal.message));
        }
        other => anyhow::bail!("expected a refusal, found {other:?}"),
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_in_the_operators_environment_sees_no_connection() -> Result<()> {
    let visitors = Visitors::wait_for().await?;
    let proxy = format!("http://{}", visitors.address());
    let names = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"];
    let mut environment: Vec<_> = names.iter().map(|name| ((*name).to_owned(), proxy.clone())).collect();
    environment.extend(["NO_PROXY", "no_proxy"].map(|name| (name.to_owned(), String::new())));
    let scene = Scene::open_with_environment(quick("env-proxy"), environment).await?;
    let shop = scene.migration("env-proxy-shop").begin().await?;
    shop.ends(Stage::Completed).await?;
    ensure!(visitors.count() == 0, "{} connections to the proxy of the environment", visitors.count());
    let pid = scene.operator.lock().await.pid();
    let environment = std::fs::read_to_string(format!("/proc/{pid}/environ")).context("the operator's environment")?;
    for name in names {
        ensure!(environment.contains(&format!("{name}={proxy}")), "{name} is not in the operator's environment");
    }
    traps::visit(&visitors).await?;
    shop.keeps_its_promises().await
}
