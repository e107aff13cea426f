//! Annotations of external-dns on an Ingress that mean something else than the move needs.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::networking::v1::Ingress;
use namespace_migration::api::Stage;
use rig::route53::record::{Kind, Target};
use rig::setup::ANNOTATION_PREFIX;
use rig::weights::{Approval, share_never_above_approved};
use serde_json::json;

use super::{Held, Trap, annotate, goes_on, is_published, is_taken_back};
use crate::scene::{Migration, Scene, annotation, holds_step, quick, written};

fn key(name: &str) -> String {
    format!("{ANNOTATION_PREFIX}{name}")
}

async fn on_target(shop: &Migration<'_>) -> Result<Ingress> {
    shop.ingress(shop.scene.target()).await?.context("an Ingress on the target")
}

/// A migration that holds 10 percent.
async fn holding<'a>(scene: &'a Scene, name: &str, hold: &str) -> Result<Migration<'a>> {
    let shop = scene.migration(name).steps(&[(10, hold), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    Ok(shop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_annotation_that_leads_back_to_the_source_moves_nobody() -> Result<()> {
    let scene = Scene::open(quick("copied")).await?;
    futures::try_join!(is_not_copied(&scene), is_deployed_by_ci(&scene), copies_the_identifier(&scene))?;
    Ok(())
}

/// What we make ourselves leads to the target's load balancer.
async fn is_not_copied(scene: &Scene) -> Result<()> {
    let source = scene.setup.source_balancer().http().ip().to_string();
    let shop = scene.migration("copied-ours").service(|sample| sample.with_annotation(&key("target"), &source));
    let shop = shop.begin().await?;
    let ended = shop.ends(Stage::Completed).await?.status.context("a status")?;
    let made = ended.created.iter().find(|made| made.kind == "Ingress").context("the Ingress in status.created")?;
    ensure!(made.left_out.contains(&key("target")), "{:?}", made.left_out);
    ensure!(annotation(&on_target(&shop).await?, "target").is_none(), "the annotation was copied");
    let target = scene.setup.target_balancer().http().ip().to_string();
    let set = scene.world.zone().get(shop.host(), Kind::A, Some("copied-ours-copied-ours-green"));
    let leads_to = set.map(|set| set.target);
    ensure!(leads_to == Some(Target::Values(vec![target])), "the target's record leads to {leads_to:?}");
    shop.keeps_its_promises().await
}

/// What a pipeline brings may have it.
async fn is_deployed_by_ci(scene: &Scene) -> Result<()> {
    let trap = Trap::new(
        "a target annotation that was copied: the target's record leads to the source",
        "CI deploys the target's Ingress with the source's load balancer in it",
    );
    let source = scene.setup.source_balancer().http().ip().to_string();
    let shop = scene.migration("copied-theirs").on_target(|sample| sample.with_annotation(&key("target"), &source));
    let shop = shop.with_ingress_on_target().begin().await?;
    let words = [
        "leads to 127.0.1.1, as the source's does: nobody would be moved",
        "Take external-dns's target annotation off Ingress copied-theirs on the target",
    ];
    trap.holds(&shop, Held::BeforeTheShift, &["DNSBlocked", "PreflightBlocked"], &words).await?;
    annotate(&shop, scene.world.target(), &["target-"]).await?;
    goes_on(&shop).await
}

async fn copies_the_identifier(scene: &Scene) -> Result<()> {
    let trap = Trap::new(
        "an Ingress that was copied with its identifier: one record would replace the other",
        "CI deploys the target's Ingress with the source's identifier and weight 0",
    );
    let alike = |sample: rig::sample_namespace::SampleNamespace, weight: &str| {
        sample.with_annotation(&key("set-identifier"), "alike-blue").with_annotation(&key("aws-weight"), weight)
    };
    let shop = scene.migration("copied-name").service(|sample| alike(sample, "100"));
    let shop = shop.on_target(|sample| alike(sample, "0")).with_ingress_on_target().begin().await?;
    let words = ["SameIdentifier", "the DNS set identifier alike-blue on both sides"];
    trap.holds(&shop, Held::Untouched, &["PreflightBlocked"], &words).await?;
    annotate(&shop, scene.world.target(), &["set-identifier=alike-green"]).await?;
    goes_on(&shop).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weight_that_is_no_number_is_never_written_and_never_shifted_on() -> Result<()> {
    let scene = Scene::open(quick("percent")).await?;
    futures::try_join!(begins_with_percent(&scene), gets_percent(&scene), loses_its_number(&scene))?;
    Ok(())
}

/// external-dns takes it for 0; alone in its set the record is answered all the same.
async fn begins_with_percent(scene: &Scene) -> Result<()> {
    let draft = scene.migration("percent-before").service(|sample| {
        sample.with_annotation(&key("set-identifier"), "percent-blue").with_annotation(&key("aws-weight"), "10%")
    });
    let shop = draft.deploy().await?;
    is_published(scene.world.zone(), &shop, Kind::A).await?;
    shop.begin().await?;
    shop.ends(Stage::Completed).await?;
    let writes = shop.weight_writes().await?;
    let odd = writes.iter().map(|write| written(write).0).find(|weight| weight.parse::<u8>().is_err());
    ensure!(odd.is_none() && !writes.is_empty(), "a weight that is no number was written: {odd:?}");
    shop.keeps_its_promises().await
}

/// On the target it is 0 for DNS: users are at the source.
async fn gets_percent(scene: &Scene) -> Result<()> {
    let trap = Trap::new(
        "a weight that is no whole number, which external-dns takes for 0",
        "somebody writes 10% on the target's Ingress while 10 percent of the users are there",
    );
    let shop = holding(scene, "percent-target", "15s").await?;
    annotate(&shop, scene.world.target(), &["aws-weight=10%"]).await?;
    let words = ["changed to 10% by kubectl-annotate", "10 is expected", "aws-weight=10"];
    trap.holds(&shop, Held::InTheShift, &["WeightContested"], &words).await?;
    annotate(&shop, scene.world.target(), &["aws-weight=10"]).await?;
    goes_on(&shop).await
}

/// On the source it would send everybody to the target: that is answered at once.
async fn loses_its_number(scene: &Scene) -> Result<()> {
    let trap = Trap::new(
        "a weight that is no whole number, which external-dns takes for 0",
        "somebody writes 90% on the source's Ingress: DNS would send everybody to the target",
    );
    let shop = holding(scene, "percent-source", "10m").await?;
    annotate(&shop, scene.world.source(), &["aws-weight=90%"]).await?;
    let ended = shop.ends(Stage::RolledBack).await?;
    is_taken_back(
        &trap,
        &shop,
        &ended,
        "ForeignWeight",
        &["changed to 90% by kubectl-annotate", "every user would go to the target"],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn annotations_that_are_cleaned_up_in_the_shift_give_nobody_away_and_at_an_end_they_stay() -> Result<()> {
    let scene = Scene::open(quick("cleaned")).await?;
    futures::try_join!(source_is_cleaned(&scene), target_is_cleaned(&scene), stay_at_the_end(&scene))?;
    Ok(())
}

/// Route 53 refuses the simple record beside the target's, so that the old one stays until it is written again.
async fn source_is_cleaned(scene: &Scene) -> Result<()> {
    let trap = Trap::new(
        "annotations that are removed while the other side has a weighted record",
        "somebody removes identifier and weight from the source's Ingress at 10 percent",
    );
    let shop = holding(scene, "cleaned-source", "10m").await?;
    annotate(&shop, scene.world.source(), &["set-identifier-", "aws-weight-"]).await?;
    let ended = shop.ends(Stage::RolledBack).await?;
    is_taken_back(&trap, &shop, &ended, "ForeignWeight", &["every user would go to the target"]).await?;
    let history = scene.world.zone().weights(shop.host(), Kind::A);
    share_never_above_approved(&history, &[Approval::from_the_start(10)])
        .map_err(|broken| anyhow::anyhow!("served: {broken}"))
}

/// The target's record goes; its users are at the source until somebody gives it back.
async fn target_is_cleaned(scene: &Scene) -> Result<()> {
    let trap = Trap::new(
        "annotations that are removed while the other side has a weighted record",
        "somebody removes identifier and weight from the target's Ingress at 10 percent",
    );
    let shop = holding(scene, "cleaned-target", "15s").await?;
    annotate(&shop, scene.world.target(), &["set-identifier-", "aws-weight-"]).await?;
    let words = ["set identifier of Ingress cleaned-target on the target was changed to none", "set-identifier="];
    let status = trap.holds(&shop, Held::InTheShift, &["WeightContested"], &words).await?;
    let (_, command) = status.unblock.split_once("kubectl --context=TARGET ").context("a command")?;
    let words: Vec<_> = command.split_whitespace().collect();
    rig::kubectl::Kubectl::of(scene.world.target(), scene.world.tools())?.run(&words).await?;
    goes_on(&shop).await
}

/// The winner is left weighted, alone or with the other at 0.
async fn stay_at_the_end(scene: &Scene) -> Result<()> {
    let moved = scene.migration("cleaned-moved").begin().await?;
    moved.ends(Stage::Completed).await?;
    let ingress = on_target(&moved).await?;
    let kept = ["set-identifier", "aws-weight"].map(|name| annotation(&ingress, name));
    ensure!(kept == [Some("cleaned-moved-cleaned-moved-green"), Some("100")], "{kept:?}");

    let draft = scene.migration("cleaned-back").spec("/rollback", json!({"objects": "Remove"}));
    let back = draft.steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    back.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    back.annotate(namespace_migration::api::ROLLBACK_ANNOTATION, Some("cleaned")).await?;
    back.ends(Stage::RolledBack).await?;
    let ingress = back.ingress(scene.source()).await?.context("an Ingress on the source")?;
    let kept = ["set-identifier", "aws-weight"].map(|name| annotation(&ingress, name));
    ensure!(kept == [Some("cleaned-back-cleaned-back-blue"), Some("100")], "{kept:?}");
    let alone = [("cleaned-back-cleaned-back-blue", 100)];
    scene.world.zone().wait_served(back.host(), Kind::A, &alone, crate::scene::LIMIT).await?;
    back.keeps_its_promises().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identifier_that_is_edited_in_the_shift_stops_it_until_it_is_as_it_was() -> Result<()> {
    let scene = Scene::open(quick("renamed")).await?;
    futures::try_join!(
        is_renamed(&scene, "renamed-source", "source", "blue"),
        is_renamed(&scene, "renamed-target", "target", "green"),
    )?;
    Ok(())
}

async fn is_renamed(scene: &Scene, name: &str, side: &str, colour: &str) -> Result<()> {
    let trap = Trap::new(
        "an identifier that is edited once its record is live",
        "somebody renames the identifier of an Ingress at 10 percent",
    );
    let cluster = if side == "source" { scene.world.source() } else { scene.world.target() };
    let shop = holding(scene, name, "15s").await?;
    annotate(&shop, cluster, &["set-identifier=renamed"]).await?;
    let expected = format!("{name}-{name}-{colour}");
    let told = format!("identifier of Ingress {name} on the {side} was changed to renamed; {expected} is expected");
    trap.holds(&shop, Held::InTheShift, &["WeightContested"], &[&told]).await?;
    annotate(&shop, cluster, &[&format!("set-identifier={expected}")]).await?;
    let ended = shop.ends(Stage::Completed).await?.status.context("a status")?;
    let plan = ended.plan.context("a plan")?;
    let planned: Vec<_> = plan.ingresses.iter().map(|planned| planned.source_identifier.clone()).collect();
    ensure!(planned == [format!("{name}-{name}-blue")], "the plan was changed: {planned:?}");
    shop.keeps_its_promises().await
}
