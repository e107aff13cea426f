//! A Route 53 account with its real quota, which the operator and both external-dns use up together.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::Stage;
use rig::population::Side;
use rig::progress::say;
use rig::route53::REQUESTS_PER_SECOND;
use rig::route53::requests::Request;
use rig::setup::Options;

use crate::scene::{Scene, Visited, with_own_dns};

#[tokio::test(flavor = "multi_thread")]
async fn an_account_whose_quota_is_used_up_delays_a_migration_and_a_way_back_and_loses_nobody() -> Result<()> {
    let requests_per_second = Some(REQUESTS_PER_SECOND);
    let scene = Scene::open(Options { requests_per_second, ..with_own_dns("quota") }).await?;
    let on = Visited::begin(scene.migration("quota-on").steps(&[(100, "1s")]));
    let back = Visited::begin(scene.migration("quota-back").steps(&[(50, "10m"), (100, "1s")]));
    let (on, back) = futures::try_join!(on, back)?;
    back.shop.until("the hold", |found| crate::scene::holds_step(found, 1)).await?;
    back.breaks();
    futures::try_join!(on.shop.ends(Stage::Completed), back.shop.ends(Stage::RolledBack))?;
    for (visited, home) in [(&on, Side::Target), (&back, Side::Source)] {
        visited.keeps_its_promises(home).await?;
    }
    let own = scene.setup.own_dns().context("external-dns of its own")?;
    competed(&own.account().context("an account of its own")?.requests())?;
    own.external_dns().kill().await
}

/// Everybody asked, and there were more requests than the account may send.
fn competed(requests: &[Request]) -> Result<()> {
    for caller in ["operator", "quota-source", "quota-target"] {
        let of = || requests.iter().filter(|request| request.caller == caller);
        let throttled = of().filter(|request| request.error.as_deref() == Some("Throttling")).count();
        say(format!("quota: {caller} asked {} times, {throttled} of them too many", of().count()));
        ensure!(of().count() > throttled, "{caller} was never answered");
    }
    let throttled = requests.iter().filter(|request| request.error.as_deref() == Some("Throttling")).count();
    ensure!(throttled > 0, "the quota was never used up by {} requests", requests.len());
    leaves_room(requests)
}

/// The operator sends no more than two requests a second, so that most of the quota is left to those who write. On a busy machine some
/// arrive late and close together: it is counted over longer times.
fn leaves_room(requests: &[Request]) -> Result<()> {
    let asked: Vec<_> =
        requests.iter().filter(|request| request.caller == "operator").map(|request| request.at).collect();
    let within = |from: SystemTime, span| asked.iter().filter(|at| (from..from + span).contains(*at)).count();
    for (seconds, allowed) in [(3, 10), (20, 40)] {
        let most = asked.iter().map(|from| within(*from, Duration::from_secs(seconds))).max().unwrap_or(0);
        say(format!("quota: the operator asked at most {most} times in {seconds} seconds"));
        ensure!(most <= allowed, "the operator asked {most} times in {seconds} seconds");
    }
    Ok(())
}
