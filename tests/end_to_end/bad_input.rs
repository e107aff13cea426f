//! Orders that make no sense: each gets a clear answer, and nothing is changed. Every table is printed: what was asked, what a
//! person is told.

use anyhow::{Context as _, Result, ensure};
use futures::future::{BoxFuture, FutureExt as _, try_join_all};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use namespace_migration::api::{NamespaceMigration, Stage};
use rig::progress::say;
use rig::sample_namespace::SampleNamespace;
use rig::setup::{Home, LABEL, Options};
use serde_json::{Value, json};

use crate::scene::{Draft, Migration, Scene, quick, remember_object};

/// A table that a person reads: what was asked, and what they are told.
fn tell(title: &str, rows: &[(String, String)]) {
    let lines = rows.iter().map(|(asked, told)| format!("| {asked:<52} | {told} |"));
    say(format!("{title}\n{}", lines.collect::<Vec<_>>().join("\n")));
}

fn row(asked: &str, told: &str) -> (String, String) {
    (asked.to_owned(), told.to_owned())
}

fn object(spec: &Value) -> Value {
    json!({
        "apiVersion": "namespacemigration.io/v1alpha1", "kind": "NamespaceMigration",
        "metadata": {"name": "refused", "namespace": "default"}, "spec": spec,
    })
}

/// What is wrong with a spec, its fields besides the pair, and what the API server must say about it.
fn refused_specs() -> Vec<(&'static str, Value, &'static str)> {
    let steps = |steps: Value| json!({"traffic": {"steps": steps}});
    let rise = "the weights of the steps must rise from one step to the next";
    let duration = "write a duration like 90s, 10m or 1h30m";
    vec![
        ("steps that fall", steps(json!([{"weight": 50}, {"weight": 10}, {"weight": 100}])), rise),
        ("steps that stay", steps(json!([{"weight": 50}, {"weight": 50}, {"weight": 100}])), rise),
        ("steps that do not end at 100", steps(json!([{"weight": 50}])), "the last step must have weight 100"),
        ("no steps", steps(json!([])), "should have at least 1 items"),
        ("weight 0", steps(json!([{"weight": 0}, {"weight": 100}])), "should be greater than or equal to 1"),
        ("weight 101", steps(json!([{"weight": 101}])), "should be less than or equal to 100"),
        ("weight -1", steps(json!([{"weight": -1}, {"weight": 100}])), "should be greater than or equal to 1"),
        ("weight \"10%\"", steps(json!([{"weight": "10%"}, {"weight": 100}])), "must be of type integer: \"string\""),
        ("upTo -1", json!({"traffic": {"upTo": -1}}), "should be greater than or equal to 0"),
        ("upTo 101", json!({"traffic": {"upTo": 101}}), "should be less than or equal to 100"),
        ("upTo \"10%\"", json!({"traffic": {"upTo": "10%"}}), "must be of type integer: \"string\""),
        ("hold 10", steps(json!([{"weight": 100, "hold": "10"}])), duration),
        ("bake -5m", json!({"bake": {"for": "-5m"}}), duration),
        ("interval 1.5h", json!({"probes": {"interval": "1.5h"}}), duration),
        ("interval 0s", json!({"probes": {"interval": "0s"}}), "interval must be 100ms or longer"),
        ("timeout 0s", json!({"probes": {"timeout": "0s"}}), "timeout must be longer than 0s"),
        ("a Secret named *", json!({"secrets": {"include": ["*"]}}), "spec.secrets.include[0] in body should match"),
        ("a pair with spaces", json!({"clusterPair": "Old To New"}), "spec.clusterPair in body should match"),
        ("a number for a duration", json!({"bake": {"for": 10}}), "must be of type string: \"integer\""),
        ("an unknown field", json!({"trafic": {"steps": []}}), "unknown field \"spec.trafic\""),
        ("an unknown field below", json!({"bake": {"during": "1h"}}), "unknown field \"spec.bake.during\""),
        ("no ClusterPair", json!({"clusterPair": null}), "spec.clusterPair: Required value"),
        ("a protected namespace", json!({"namespace": "kube-system"}), "belongs to the cluster and never moves"),
        ("a namespace that is no name", json!({"namespace": "Shop!"}), "spec.namespace in body should match"),
        ("another onFailure", json!({"onFailure": "Pray"}), "supported values: \"Rollback\", \"Hold\""),
        ("attempt 0", json!({"attempt": 0}), "should be greater than or equal to 1"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_schema_can_say_is_said_when_it_is_applied() -> Result<()> {
    let scene = Scene::open(quick("admission")).await?;
    let kubectl = scene.kubectl().await?;
    let cases = refused_specs();
    let answers = cases.iter().map(|(asked, fields, words)| {
        let (kubectl, mut spec) = (&kubectl, json!({"clusterPair": "admission"}));
        async move {
            spec.as_object_mut().context("a spec")?.extend(fields.as_object().context("fields")?.clone());
            let applied = kubectl.run_with_input(&["apply", "-f", "-"], &object(&spec).to_string()).await;
            let said = format!("{:#}", applied.err().with_context(|| format!("{asked}: it was accepted"))?);
            ensure!(said.contains(words), "{asked}: expected {words:?}, found {said}");
            let line = said.lines().find(|line| line.contains(words)).unwrap_or_default();
            Ok(row(asked, line.trim_start_matches("`kubectl apply -f -` on source: ")))
        }
    });
    tell("migrations that the API server refuses", &try_join_all(answers).await?);
    let found = kubectl.run(&["get", "migrations", "-n", "default", "-o", "name"]).await?;
    ensure!(!found.contains("/refused"), "something was created: {found}");
    // Who does not ask for strict validation loses the field, as with every kind.
    let lenient = ["create", "--validate=warn", "--dry-run=server", "-o", "json", "-f", "-"];
    let spec = object(&json!({"clusterPair": "admission", "trafic": {"steps": []}}));
    let created = kubectl.run_with_input(&lenient, &spec.to_string()).await?;
    ensure!(!created.contains("trafic") && created.contains("\"weight\": 100"), "{created}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_makes_no_sense_is_refused_when_it_is_applied() -> Result<()> {
    let scene = Scene::open(quick("bad-pair")).await?;
    let pairs = scene.pairs().await?;
    let source = pairs.get("bad-pair").await?.spec.source.identity;
    let cases = [
        (
            "source and target of one identity",
            json!({"target": {"identity": source}}),
            "source and target are the same cluster",
        ),
        ("both colours blue", json!({"target": {"colour": "blue"}}), "source and target must have different colours"),
        (
            "no way to the target",
            json!({"target": {"connection": {"kubeconfig": null}}}),
            "set exactly one of inCluster and kubeconfig",
        ),
        (
            "two ways to the target",
            json!({"target": {"connection": {"inCluster": {}}}}),
            "set exactly one of inCluster and kubeconfig",
        ),
        ("an identity that is none", json!({"target": {"identity": "live"}}), "spec.target.identity"),
        (
            "a propagation without a unit",
            json!({"dns": {"propagation": "60"}}),
            "write a duration like 90s, 10m or 1h30m",
        ),
        (
            "a delegate that moves nothing",
            json!({"delegates": [{"namespace": "a", "moves": []}]}),
            "should have at least 1 items",
        ),
        ("a host glob with a space", json!({"allowedHosts": ["a b"]}), "spec.allowedHosts[0] in body should match"),
    ];
    let mut rows = vec![];
    for (asked, spec, words) in cases {
        let changed = pairs.patch("bad-pair", &PatchParams::default(), &Patch::Merge(json!({ "spec": spec }))).await;
        let said = match changed {
            Err(kube::Error::Api(refusal)) => refusal.message,
            other => anyhow::bail!("{asked}: expected a refusal, found {other:?}"),
        };
        ensure!(said.contains(words), "{asked}: expected {words:?}, found {said}");
        rows.push(row(asked, &said));
    }
    tell("pairs that the API server refuses", &rows);
    Ok(())
}

/// What is wrong in the clusters or the pair, who makes it so, and the word and sentence that tell it.
struct Case<'a> {
    asked: &'static str,
    draft: Draft<'a>,
    spoil: fn(Migration<'a>) -> BoxFuture<'a, Result<Migration<'a>>>,
    reason: &'static str,
    words: &'static str,
}

fn as_it_is(shop: Migration<'_>) -> BoxFuture<'_, Result<Migration<'_>>> {
    async move { Ok(shop) }.boxed()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_in_the_clusters_is_told_with_what_to_do_and_nothing_is_written() -> Result<()> {
    let scene = Scene::open(quick("bad")).await?;
    let wildcard = SampleNamespace::new("bad-wildcard", "*.bad.example.com", "bad").without_tls();
    let cases = vec![
        Case {
            asked: "no ClusterPair of that name",
            draft: scene.migration("bad-nobody").spec("/clusterPair", json!("nobody")),
            spoil: as_it_is,
            reason: "NoClusterPair",
            words: "There is no ClusterPair named nobody.",
        },
        Case {
            asked: "an Ingress without a host",
            draft: scene.migration("bad-hostless"),
            spoil: |shop| without_host(shop).boxed(),
            reason: "PreflightBlocked",
            words: "NoIngressWithHost: The Ingress of namespace bad-hostless on the source has no host, or takes no part.",
        },
        Case {
            asked: "a wildcard host",
            draft: scene.migration("bad-wildcard").service(|_| wildcard),
            spoil: as_it_is,
            reason: "PreflightBlocked",
            words: "WildcardHost: Ingress bad-wildcard has the wildcard host *.bad.example.com, which cannot be probed",
        },
        Case {
            asked: "a shared host, one of its Ingresses excluded",
            draft: scene.migration("bad-shared").spec("/ingresses", json!({"exclude": ["admin"]})),
            spoil: |shop| with_second_ingress(shop).boxed(),
            reason: "PreflightBlocked",
            words: "SharedHost: Ingress admin is excluded but shares the host bad-shared.example.com with Ingress bad-shared, which moves.",
        },
        Case {
            asked: "an exclusion of an Ingress that is not there",
            draft: scene.migration("bad-exclusion").spec("/ingresses", json!({"exclude": ["bad-exclusoin"]})),
            spoil: as_it_is,
            reason: "PreflightBlocked",
            words: "UnknownExclusion: spec.ingresses.exclude names Ingresses that are not on the source: bad-exclusoin.",
        },
    ];
    let told = cases.into_iter().map(|case| async move {
        let shop = (case.spoil)(case.draft.deploy().await?).await?;
        shop.begin().await?;
        let found = shop.is_told(case.reason, case.words).await.with_context(|| case.asked)?;
        let status = found.status.context("a status")?;
        Ok::<_, anyhow::Error>(row(case.asked, &format!("{}: {} {}", status.reason, status.message, status.unblock)))
    });
    tell("what makes no sense in the clusters", &try_join_all(told).await?);
    Ok(())
}

async fn without_host(shop: Migration<'_>) -> Result<Migration<'_>> {
    let ingresses: Api<Ingress> = Api::namespaced(shop.scene.source(), shop.name());
    let mut ingress = ingresses.get(shop.name()).await?;
    let rules = ingress.spec.as_mut().and_then(|spec| spec.rules.as_mut()).context("rules")?;
    for rule in rules.iter_mut() {
        rule.host = None;
    }
    ingresses.replace(shop.name(), &PostParams::default(), &ingress).await?;
    Ok(shop)
}

async fn with_second_ingress(shop: Migration<'_>) -> Result<Migration<'_>> {
    let ingresses: Api<Ingress> = Api::namespaced(shop.scene.source(), shop.name());
    let mut second = ingresses.get(shop.name()).await?;
    second.metadata = serde_json::from_value(json!({"name": "admin"}))?;
    ingresses.create(&PostParams::default(), &second).await?;
    Ok(shop)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_connections_to_one_cluster_are_found_although_the_pair_says_otherwise() -> Result<()> {
    let scene = Scene::open(quick("same")).await?;
    let source = scene.world.source();
    let access = source.service_account(rig::deploy::OPERATOR_NAMESPACE, rig::deploy::OPERATOR_ACCOUNT).await?;
    rig::deploy::put_kubeconfig(source, "same-target", &access).await?;
    let shop = scene.migration("same-shop").begin().await?;
    let words = "That is the source: both connections lead to the same cluster.";
    let found = shop.is_told("WrongCluster", words).await?;
    let told = row("source and target are one cluster", &found.status.context("a status")?.message);
    tell("two connections to one cluster", &[told]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_being_deleted_is_not_moved_and_not_moved_to() -> Result<()> {
    let scene = Scene::open(Options { home: Home::Third, ..quick("ending") }).await?;
    let leaving = scene.migration("ending-source").deploy().await?;
    let arriving = scene.migration("ending-target").deploy().await?;
    let held = [
        hold_deletion(&scene.source(), "ending-source").await?,
        hold_deletion(&scene.target(), "ending-target").await?,
    ];
    futures::try_join!(leaving.begin(), arriving.begin())?;
    let words = "SourceNamespace: The namespace ending-source on the source is being deleted.";
    let status = leaving.is_told("PreflightBlocked", words).await?.status.context("a status")?;
    let fix = "Delete this migration; or create it again once the namespace is on the source again.";
    ensure!(status.unblock == fix, "{}", status.unblock);
    let here = row("a Terminating namespace on the source", &format!("{} {}", status.message, status.unblock));

    let words = "TargetNamespace: The namespace ending-target on the target is being deleted.";
    let status = arriving.is_told("PreflightBlocked", words).await?.status.context("a status")?;
    ensure!(status.unblock == "Wait until it is gone, then create it again.", "{}", status.unblock);
    let there = row("a Terminating namespace on the target", &format!("{} {}", status.message, status.unblock));
    tell("namespaces that are being deleted", &[here, there]);
    arriving.nothing_is_written().await?;
    for (maps, name) in &held {
        let freed = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        maps.patch(name, &PatchParams::default(), &freed).await?;
    }
    arriving.waits("WaitingForNamespace").await?;
    arriving.sample.create_on_target(&scene.target()).await?;
    arriving.ends(Stage::Completed).await?;
    arriving.keeps_its_promises().await
}

/// Deletes a namespace whose end a finalizer holds up. Returns the object that has it.
async fn hold_deletion(client: &kube::Client, namespace: &str) -> Result<(Api<ConfigMap>, String)> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = json!({"metadata": {"name": "held", "finalizers": ["example.com/held"]}});
    maps.create(&PostParams::default(), &serde_json::from_value(map)?).await?;
    Api::<Namespace>::all(client.clone()).delete(namespace, &DeleteParams::background()).await?;
    Ok((maps, "held".to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_namespace_is_refused_by_the_operator_as_well() -> Result<()> {
    let scene = Scene::open(quick("protected")).await?;
    let client = scene.home().await?.admin_client()?;
    let mut rows = vec![];
    for namespace in ["default", rig::deploy::OPERATOR_NAMESPACE] {
        let migrations: Api<NamespaceMigration> = Api::namespaced(client.clone(), namespace);
        let migration = json!({
            "apiVersion": "namespacemigration.io/v1alpha1", "kind": "NamespaceMigration",
            "metadata": {"name": "protected", "labels": {LABEL: "protected"}}, "spec": {"clusterPair": "protected"},
        });
        let migration = serde_json::from_value(migration)?;
        remember_object(namespace);
        migrations.create(&PostParams::default(), &migration).await?;
        let message = async || {
            let status = migrations.get("protected").await?.status.unwrap_or_default();
            Ok((status.reason == "PreflightBlocked").then_some(status.message))
        };
        let message = scene.eventually("the protected namespace being refused", message).await?;
        let words = format!("ProtectedNamespace: The namespace {namespace} belongs to the cluster or to this operator");
        ensure!(message.starts_with(&words), "{message}");
        rows.push(row(&format!("the namespace {namespace}"), &message));
    }
    tell("namespaces that never move", &rows);
    Ok(())
}
