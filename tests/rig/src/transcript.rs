//! `rig transcript`: what kubectl shows of migrations that wait for a person, or came back, as it is printed on a terminal.

mod compare;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::operator::Operator;
use crate::past;
use crate::progress::say;
use crate::sample_app::Fault;
use crate::setup::{Options, Setup};
use crate::tools::Tools;
use crate::world::{self, World};

const PAIR: &str = "old-to-new";
/// The pair whose target stops answering.
const DEAF_PAIR: &str = "old-to-deaf";
/// Longer ago than a rollback may take.
const LONG_AGO: SignedDuration = SignedDuration::from_hours(1);
const READY_LIMIT: Duration = Duration::from_secs(60);

/// One migration and how it comes to wait.
struct Case {
    /// Its name, which is also its namespace's.
    name: &'static str,
    title: &'static str,
    /// What is waited for before anything happens to it, and what it must say in the end.
    reasons: [&'static str; 2],
    happens: Happens,
}

#[derive(Clone, Copy)]
enum Happens {
    Nothing,
    Pause,
    TargetBreaks,
    /// Its target breaks, and its API server does not answer; an hour goes by.
    TargetHangs,
}

impl Case {
    fn pair(&self) -> &'static str {
        if matches!(self.happens, Happens::TargetHangs) { DEAF_PAIR } else { PAIR }
    }
}

const CASES: [Case; 5] = [
    Case {
        name: "paused",
        title: "A person has paused it at 10 percent",
        reasons: ["HoldingStep", "Paused"],
        happens: Happens::Pause,
    },
    Case {
        name: "held",
        title: "Its target is unhealthy and `onFailure` is `Hold`",
        reasons: ["HoldingStep", "Held"],
        happens: Happens::TargetBreaks,
    },
    Case {
        name: "blocked",
        title: "A check before the move has found a blocker",
        reasons: ["PreflightBlocked", "PreflightBlocked"],
        happens: Happens::Nothing,
    },
    Case {
        name: "late",
        title: "Its target was unhealthy, and its API server does not answer: the rollback is blocked",
        reasons: ["HoldingStep", "RollbackWaitsForTarget"],
        happens: Happens::TargetHangs,
    },
    Case {
        name: "back",
        title: "Its target was unhealthy, and everything went back",
        reasons: ["HoldingStep", "RolledBack"],
        happens: Happens::TargetBreaks,
    },
];

/// Brings migrations to where they wait, and writes what kubectl shows of them to `file`, as Markdown.
pub async fn write(file: &Path) -> Result<()> {
    std::fs::write(file, text().await?).with_context(|| format!("writing {}", file.display()))?;
    say(format!("written: {}", file.display()));
    Ok(())
}

/// Fails when `file` says something else than kubectl shows now, apart from times, ages and numbers of objects.
pub async fn check(file: &Path) -> Result<()> {
    let written = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    compare::same_words(&written, &text().await?)
        .with_context(|| format!("{} is stale: run `make transcript` and read what has changed", file.display()))
}

async fn text() -> Result<String> {
    Tools::prepare().await?;
    let world = World::start(world::Options::default()).await?;
    let logs = world.folder().display().to_string();
    let text = Box::pin(play(&world)).await.with_context(|| format!("no transcript; the logs are in {logs}"))?;
    world.stop().await?;
    Ok(text)
}

async fn play(world: &World) -> Result<String> {
    let setup = Setup::start(world, Options::new(PAIR)).await?;
    let deaf = Setup::start(world, Options { proxied: true, ..Options::new(DEAF_PAIR) }).await?;
    let operator = Operator::start(world.folder(), &setup.operator_options(None)).await?;
    let kubectl = Kubectl::of(world.source(), world.tools())?;
    let setup_of = |case: &Case| if case.pair() == DEAF_PAIR { &deaf } else { &setup };
    let bring = CASES.iter().map(|case| bring(world, setup_of(case), &kubectl, case));
    futures::future::try_join_all(bring).await?;
    let text = transcript(&kubectl).await?;
    operator.sigterm().await.context("stopping the operator")?;
    Ok(text)
}

async fn bring(world: &World, setup: &Setup, kubectl: &Kubectl, case: &Case) -> Result<()> {
    let (source, target) = (world.source().admin_client()?, world.target().admin_client()?);
    let sample = setup.sample(case.name);
    sample.create_on_source(&source).await?;
    sample.create_on_target(&target).await?;
    sample.wait_until_ready(&source, READY_LIMIT).await?;
    kubectl.run_with_input(&["apply", "-f", "-"], &migration(case).to_string()).await?;
    let [before, after] = case.reasons;
    says(kubectl, case.name, "reason", before).await?;
    let break_target = || setup.application().set("target", &sample.hosts()[0], Fault::Status(503));
    match case.happens {
        Happens::Nothing => {}
        Happens::Pause => {
            let pause = ["annotate", "migration", case.name, "-n", case.name, "namespacemigration.io/paused=true"];
            kubectl.run(&pause).await?;
        }
        Happens::TargetBreaks => break_target(),
        Happens::TargetHangs => {
            setup.target_faults().context("a proxy before the target")?.hang();
            break_target();
            says(kubectl, case.name, "reason", after).await?;
            past::stage_began_earlier(world.source(), case.name, case.name, LONG_AGO).await?;
            says(kubectl, case.name, "stage", "RollbackBlocked").await?;
        }
    }
    says(kubectl, case.name, "reason", after).await
}

fn migration(case: &Case) -> Value {
    json!({
        "apiVersion": "namespacemigration.io/v1alpha1",
        "kind": "NamespaceMigration",
        "metadata": {"name": case.name, "namespace": case.name},
        "spec": {
            "clusterPair": case.pair(),
            "secrets": {"include": [crate::sample_namespace::SECRET]},
            "ingresses": {"exclude": if case.name == "blocked" { json!(["old-admin"]) } else { json!([]) }},
            "probes": {"interval": "500ms"},
            "traffic": {"steps": [{"weight": 10, "hold": "10m"}, {"weight": 100, "hold": "10m"}]},
            "onFailure": if case.name == "held" { "Hold" } else { "Rollback" },
        },
    })
}

async fn says(kubectl: &Kubectl, name: &str, field: &str, value: &str) -> Result<()> {
    let wanted = format!("--for=jsonpath={{.status.{field}}}={value}");
    kubectl.run(&["wait", "migration", name, "-n", name, &wanted, "--timeout=120s"]).await.map(|_| ())
}

async fn transcript(kubectl: &Kubectl) -> Result<String> {
    let mut text = "# Migrations that wait, as kubectl shows them\n\n\
                    `make transcript` writes this page: it brings five namespaces to where they wait, on two real control\n\
                    planes. A test fails when it says something else than kubectl shows.\n"
        .to_owned();
    shown(kubectl, &mut text, &["get", "migration", "-A"]).await?;
    shown(kubectl, &mut text, &["get", "migration", "-A", "-o", "wide"]).await?;
    for case in CASES {
        write!(text, "\n## {}\n", case.title)?;
        shown(kubectl, &mut text, &["describe", "migration", case.name, "-n", case.name]).await?;
    }
    text.push_str("\n## Their ClusterPairs, one of which has a cluster that does not answer\n");
    shown(kubectl, &mut text, &["get", "clusterpair"]).await?;
    let conditions = r#"jsonpath={range .status.conditions[*]}{.type} {.status} {.reason}: {.message}{"\n"}{end}"#;
    shown(kubectl, &mut text, &["get", "clusterpair", DEAF_PAIR, "-o", conditions]).await?;
    Ok(text)
}

async fn shown(kubectl: &Kubectl, text: &mut String, args: &[&str]) -> Result<()> {
    let printed = kubectl.run(args).await?;
    let lines: Vec<_> = printed.lines().map(str::trim_end).collect();
    let quoted = args.iter().map(|arg| if arg.contains(' ') { format!("'{arg}'") } else { (*arg).to_owned() });
    let command = quoted.collect::<Vec<_>>().join(" ");
    write!(text, "\n```console\n$ kubectl {command}\n{}\n```\n", lines.join("\n"))?;
    Ok(())
}
