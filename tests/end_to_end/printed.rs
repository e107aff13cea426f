//! Commands that README and status print for a person to copy: each does what it says, and can be run again as it is.

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::status::{RequestKind, RequestOutcome};
use namespace_migration::api::{NamespaceMigration, STAMP_ANNOTATION, Stage};
use rig::kubectl::Kubectl;
use rig::progress::say;
use rig::weight_history::never_both_zero;
use serde_json::json;

use crate::deletion::{delete, gone};
use crate::scene::{Migration, Scene, cause_of, holds_step, quick, reason_of};

const README: &str = include_str!("../../README.md");

#[tokio::test(flavor = "multi_thread")]
async fn every_printed_command_can_be_run_and_run_again() -> Result<()> {
    let scene = Scene::open(quick("printed")).await?;
    let told = futures::try_join!(
        Box::pin(in_a_hurry(&scene)),
        Box::pin(at_a_ceiling_and_back_from_the_end(&scene)),
        Box::pin(a_mark_that_nobody_needs(&scene)),
        Box::pin(a_weight_that_came_back(&scene)),
        Box::pin(without_an_operator()),
    )?;
    let (one, two, three, four, five) = told;
    let lines: Vec<_> = [one, two, three, four, five].into_iter().flatten().collect();
    say(format!("printed commands, each run twice\n{}", lines.join("\n")));
    Ok(())
}

/// The commands in a text: each ends where a semicolon, a code span or the text does.
fn commands(text: &str) -> Vec<String> {
    let found = text.match_indices("kubectl ").map(|(at, _)| &text[at..]);
    found.map(|rest| rest.split(['`', ';', '\n']).next().unwrap_or(rest).trim().to_owned()).collect()
}

/// Runs a command twice, with the contexts that its placeholders stand for.
async fn twice(scene: &Scene, command: &str) -> Result<String> {
    let line = command.replace("--context=SOURCE", "--context=source").replace("--context=TARGET", "--context=target");
    let kubectl: Kubectl = scene.kubectl().await?;
    for _ in 0..2 {
        kubectl.paste(&line, scene.world.target()).await?;
    }
    Ok(command.to_owned())
}

/// The token of the last word that was answered.
fn last_token(found: &NamespaceMigration) -> Option<&str> {
    Some(found.status.as_ref()?.requests.last()?.token.as_str())
}

/// What README says about `shop`, for this migration.
fn of_the_readme(shop: &Migration<'_>, part: &str) -> Result<String> {
    let found = commands(README).into_iter().find(|command| command.contains(part));
    let found = found.with_context(|| format!("README has no command with {part}"))?;
    ensure!(found.contains(" migration shop "), "{found}");
    Ok(found.replace(" migration shop ", &format!(" migration {0} -n {0} ", shop.name())))
}

/// Everything of the table "In a hurry", and the way out of a deletion.
async fn in_a_hurry(scene: &Scene) -> Result<Vec<String>> {
    let shop = scene.migration("printed-hurry").steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    // One that was taken off by its value is put on all the same.
    shop.annotate("namespacemigration.io/paused", Some("false")).await?;
    let mut lines = vec![twice(scene, &of_the_readme(&shop, "paused=")?).await?];
    let paused = shop.waits("Paused").await?;
    lines.push(twice(scene, &of_the_readme(&shop, "paused-")?).await?);
    shop.until("the hold again", |found| holds_step(found, 1)).await?;
    lines.push(twice(scene, commands(unblock(&paused)).first().context("how to go on")?).await?);
    for (part, kind) in [("retry-requested=", RequestKind::Retry), ("rollback-requested=", RequestKind::Rollback)] {
        let command = of_the_readme(&shop, part)?;
        lines.push(twice(scene, &command).await?);
        let first = answered(&shop, kind, None).await?;
        // The token is the time: a second later it is another one.
        shop.scene.eventually("another second", async || Ok((seconds_now() > first.1).then_some(()))).await?;
        twice(scene, &command).await?;
        answered(&shop, kind, Some(&first.0)).await?;
    }
    lines.push(twice(scene, &of_the_readme(&shop, "Orphan")?).await?);
    ensure!(shop.now().await?.spec.deletion_policy == namespace_migration::api::DeletionPolicy::Orphan);
    shop.keeps_its_promises().await?;
    Ok(lines)
}

/// Nobody is there to do what a deletion asks for: the object goes by hand, and the weights stay.
async fn without_an_operator() -> Result<Vec<String>> {
    let scene = Scene::open(quick("printed-alone")).await?;
    let shop = scene.migration("printed-alone").steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    scene.operator.lock().await.sigkill().await?;
    let uid = delete(&shop).await?;
    ensure!(shop.now().await?.metadata.deletion_timestamp.is_some(), "it is gone without an operator");
    let command = of_the_readme(&shop, "finalizers")?;
    scene.kubectl().await?.paste(&command, scene.world.target()).await?;
    gone(&shop, uid).await?;
    ensure!(shop.weights().await? == [Some(90), Some(10)], "{:?}", shop.weights().await?);
    Ok(vec![command])
}

fn seconds_now() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The token that was answered last and the second in which it was asked for; another one than `before`.
async fn answered(shop: &Migration<'_>, kind: RequestKind, before: Option<&str>) -> Result<(String, i64)> {
    let is_answer = |found: &NamespaceMigration| {
        let requests = found.status.iter().flat_map(|status| &status.requests);
        let mut answers = requests.filter(|asked| asked.kind == kind && asked.outcome != RequestOutcome::Accepted);
        answers.find(|asked| before != Some(&asked.token)).map(|asked| asked.token.clone())
    };
    let found = shop.until("an answer", |found| is_answer(found).is_some()).await?;
    let token = is_answer(&found).context("an answer")?;
    let second = token.parse().with_context(|| format!("the token {token} is no time"))?;
    Ok((token, second))
}

fn unblock(found: &NamespaceMigration) -> &str {
    found.status.as_ref().map(|status| status.unblock.as_str()).unwrap_or_default()
}

async fn at_a_ceiling_and_back_from_the_end(scene: &Scene) -> Result<Vec<String>> {
    let shop = scene.migration("printed-ceiling").spec("/traffic/upTo", json!(10)).begin().await?;
    let waiting = shop.waits("AtCeiling").await?;
    // Each command raises it to the next step.
    let mut lines = vec![twice(scene, commands(unblock(&waiting)).first().context("a command")?).await?];
    let next = |found: &NamespaceMigration| {
        reason_of(found) == "AtCeiling" && found.status.as_ref().is_some_and(|status| status.weight == 50)
    };
    let waiting = shop.until("50 percent", next).await?;
    lines.push(twice(scene, commands(unblock(&waiting)).first().context("a command")?).await?);
    shop.ends(Stage::Completed).await?;
    shop.change(json!({"attempt": 2})).await?;
    let told = shop.until("how to go back", |found| unblock(found).contains("To go back: ")).await?;
    lines.push(twice(scene, commands(unblock(&told)).first().context("a command")?).await?);
    // Until it is heard, what has ended stays ended.
    shop.until("the way back", |found| cause_of(found).0 == "RollbackRequested").await?;
    shop.ends(Stage::RolledBack).await?;
    ensure!(shop.weights().await? == [Some(100), Some(0)], "{:?}", shop.weights().await?);
    shop.keeps_its_promises().await?;
    Ok(lines)
}

async fn a_mark_that_nobody_needs(scene: &Scene) -> Result<Vec<String>> {
    let stamp = json!({"owner": "home/other/other", "attempt": 1, "epoch": 1, "direction": "Forward"}).to_string();
    let draft = scene.migration("printed-mark").service(|sample| sample.with_annotation(STAMP_ANNOTATION, &stamp));
    let shop = draft.begin().await?;
    let waiting = shop.waits("OwnedByAnother").await?;
    let line = twice(scene, commands(unblock(&waiting)).first().context("a command")?).await?;
    shop.ends(Stage::Completed).await?;
    shop.keeps_its_promises().await?;
    Ok(vec![line])
}

/// Both ways out of a weight that somebody writes again and again: to have it replaced once more, and to give it back.
async fn a_weight_that_came_back(scene: &Scene) -> Result<Vec<String>> {
    let shop = scene.migration("printed-contest").steps(&[(10, "10m"), (100, "1s")]).begin().await?;
    shop.until("the hold at 10 percent", |found| holds_step(found, 1)).await?;
    let (name, target) = (shop.name(), scene.world.target());
    let foreign = format!(
        "kubectl --context=target annotate ingress {name} -n {name} --overwrite {}aws-weight=5",
        rig::setup::ANNOTATION_PREFIX
    );
    let came_back = |found: &NamespaceMigration| {
        reason_of(found) == "WeightContested" && crate::scene::condition(found, "Stalled") == "True"
    };
    let kubectl = scene.kubectl().await?;
    kubectl.paste(&foreign, target).await?;
    shop.event("ReplacingWeight").await?;
    shop.until("the hold after it was replaced", |found| holds_step(found, 1)).await?;
    kubectl.paste(&foreign, target).await?;
    let contested = shop.until("a weight that came back", came_back).await?;
    let [again, back] = <[String; 2]>::try_from(commands(unblock(&contested)))
        .map_err(|found| anyhow::anyhow!("expected two commands, found {found:?}"))?;
    kubectl.paste(&again, target).await?;
    let held = shop.until("the hold after it was replaced again", |found| holds_step(found, 1)).await?;
    ensure!(shop.weights().await? == [Some(90), Some(10)], "{:?}", shop.weights().await?);
    // Said once more there is nothing to replace, and what came back is forgotten: the next weight is a first one again.
    kubectl.paste(&again, target).await?;
    shop.until("an answer to the second word", |found| last_token(found) != last_token(&held)).await?;
    kubectl.paste(&foreign, target).await?;
    let epoch = |found: &NamespaceMigration| found.status.as_ref().map(|status| status.epoch);
    shop.until("the hold after a first one", |found| epoch(found) > epoch(&held) && holds_step(found, 1)).await?;
    kubectl.paste(&foreign, target).await?;
    shop.until("a weight that came back again", came_back).await?;
    let lines = vec![again];
    let lines = [lines, vec![twice(scene, &back).await?]].concat();
    shop.until("the hold after it was given back", |found| holds_step(found, 1)).await?;
    never_both_zero(&shop.history().await?).map_err(anyhow::Error::msg)?;
    Ok(lines)
}
