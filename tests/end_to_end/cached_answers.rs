//! `rollback.objects: Remove` and resolvers: what users may still have cached is there until the last of them has forgotten it.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::Stage;
use rig::dns_server::Answered;
use rig::population::{Options, Population, Side, Visit};
use rig::progress::say;
use rig::route53::journal::Served;
use rig::route53::record::{Kind, absolute};
use rig::setup;
use rig::weights::source_alone_since;
use serde_json::json;

use crate::scene::{LIMIT, Migration, Scene, Visited, cause_of, holds_step, users, with_own_dns};

/// How long resolvers keep an answer.
const TTL: Duration = Duration::from_secs(6);
/// Users who keep every answer for its whole TTL. They come one after the other in the course of one TTL, so that at any time there is
/// one whose answer is new, and one whose answer is old.
const USERS: u32 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rollback_removes_is_there_until_the_last_user_has_forgotten_the_answer_that_led_to_it() -> Result<()> {
    // Addresses, so that the records say their TTL themselves.
    let options = setup::Options { dns: ["2s", "300ms", "6s"], named_balancers: false, ..with_own_dns("cached") };
    let scene = Scene::open(options).await?;
    let draft = scene.migration("cached-shop").spec("/rollback", json!({"objects": "Remove"}));
    let visited = Visited::begin(draft.steps(&[(100, "10m")])).await?;
    let shop = &visited.shop;
    shop.until("the hold at 100 percent", |found| holds_step(found, 1)).await?;
    let patient = patient_users(&visited).await?;
    // A healthy target that everybody is on: whoever comes there too late is lost, and nothing explains it.
    shop.annotate("namespacemigration.io/rollback-requested", Some("now")).await?;
    let ended = shop.ends(Stage::RolledBack).await?;
    ensure!(cause_of(&ended).0 == "RollbackRequested", "{:?}", cause_of(&ended));
    ensure!(shop.ingress(scene.target()).await?.is_none(), "the target's Ingress is still there");

    visited.keeps_its_promises(Side::Source).await?;
    for user in &patient {
        user.wait_until_all_are_at(Side::Source, LIMIT).await?;
        let report = user.report(&[], TTL);
        ensure!(report.lost() == 0, "{report}: {:?}", user.visits().iter().find(|visit| visit.failure.is_some()));
    }
    the_last_one_had_time(&visited, &patient).await?;
    scene.setup.own_dns().context("external-dns of its own")?.external_dns().kill().await
}

async fn patient_users(visited: &Visited<'_>) -> Result<Vec<Population>> {
    let mut patient: Vec<Population> = Vec::new();
    let options =
        Options { clients: 1, pace: Duration::from_millis(100), habits: vec![], ..users(visited.shop.host()) };
    let Migration { scene, .. } = &visited.shop;
    for _ in 0..USERS {
        let user = Population::settle(scene.world, &scene.setup, &options).await?;
        let came = SystemTime::now();
        let next = |visits: &[Visit]| visits.last().is_some_and(|visit| visit.at >= came + TTL / USERS);
        user.wait_until("it is time for the next one", LIMIT, next).await?;
        patient.push(user);
    }
    Ok(patient)
}

/// Somebody came by an old answer until shortly before its end, and the Ingress was removed after the end of the last one.
async fn the_last_one_had_time(visited: &Visited<'_>, patient: &[Population]) -> Result<()> {
    let removed = visited.shop.writes_here().await?.into_iter().find(|write| {
        let of_ingress =
            write.cluster == "target" && write.resource == "ingresses" && write.namespace == visited.shop.name();
        of_ingress && write.verb == "delete" && write.succeeded()
    });
    let removed = SystemTime::from(removed.context("a removal of the Ingress")?.time);
    let host = absolute(visited.shop.host());
    let green =
        |answer: &&Answered| answer.name == host && answer.identifier.as_ref().is_some_and(|id| id.ends_with("-green"));
    let answers = visited.shop.scene.world.name_server().journal().answers();
    let last =
        answers.iter().filter(green).map(|answer| answer.at).max().context("an answer that led to the target")?;
    let spare = removed.duration_since(last + TTL);
    let spare = spare
        .map_err(|early| anyhow::anyhow!("removed {:?} before the last answer was forgotten", early.duration()))?;

    let (_, history) = visited.served().into_iter().find(|(kind, _)| *kind == Kind::A).context("records of kind A")?;
    let full =
        |served: &&Served| served.weights.iter().any(|(id, weight)| id.ends_with("-green") && *weight == Some(100));
    let everything = history.iter().find(full).context("100 on the target")?.at;
    let alone = source_alone_since(&history, everything).context("the source alone")?;
    let visits = patient.iter().flat_map(|user| user.visits_since(alone));
    let stayed = visits.filter(|visit| visit.side == Some(Side::Target));
    let longest =
        stayed.filter_map(|visit| visit.at.duration_since(alone).ok()).max().context("nobody had it cached")?;
    say(format!(
        "cached: the last visit by an old answer {longest:?} after the source was alone; removed {spare:?} after the last answer's end"
    ));
    ensure!(longest > TTL * 3 / 4, "nobody had an answer cached for long: {longest:?}");
    Ok(())
}
