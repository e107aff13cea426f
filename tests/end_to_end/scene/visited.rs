//! A migration whose service people use all the time, through DNS: what they got, and what DNS served them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Error, Result, ensure};
use rig::dns_server::Outcome;
use rig::population::{Cause, Habit, Options, Population, Report, Sickness, Side};
use rig::progress::say;
use rig::route53::journal::Served;
use rig::route53::record::Kind;
use rig::sample_app::Fault;
use rig::weights::{Approval, share_never_above_approved, share_rose_then_fell, somebody_always_answered};
use serde_json::json;

use super::{Draft, LIMIT, Migration};

/// Longer than a busy machine lets anybody wait: who gives up has met somebody who does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// One of ten remembers answers for so long, whatever their TTL.
const LONG_MEMORY: Duration = Duration::from_secs(3);

/// A migration, and the users of its service.
pub struct Visited<'a> {
    pub shop: Migration<'a>,
    pub people: Population,
    sick: Mutex<Vec<Sickness>>,
}

/// Ten users with five requests a second each; nine of them honour the TTL.
pub fn users(host: &str) -> Options {
    let habits = vec![(Habit::RemembersFor(LONG_MEMORY), 10)];
    Options { clients: 10, pace: Duration::from_millis(200), patience: PATIENCE, habits, ..Options::new(host) }
}

impl<'a> Visited<'a> {
    /// Deploys the draft and lets ten users in; the migration itself is not there yet.
    pub async fn open(draft: Draft<'a>) -> Result<Self> {
        // Users ask often enough; a busy machine has better things to do than five rounds of probes a second.
        let shop =
            draft.spec("/probes/interval", json!("500ms")).spec("/probes/timeout", json!("10s")).deploy().await?;
        let people = Population::settle(shop.scene.world, &shop.scene.setup, &users(shop.host())).await?;
        Ok(Self { shop, people, sick: Mutex::default() })
    }

    /// [`Self::open`] and [`Migration::begin`].
    pub async fn begin(draft: Draft<'a>) -> Result<Self> {
        let visited = Self::open(draft).await?;
        visited.shop.begin().await?;
        Ok(visited)
    }

    /// From now on the target answers 503, and what it answers badly is not lost.
    pub fn breaks(&self) {
        let Migration { scene, .. } = &self.shop;
        scene.setup.application().set("target", self.shop.host(), Fault::Status(503));
        self.sick.lock().unwrap_or_else(PoisonError::into_inner).push(Sickness::of(Side::Target));
    }

    /// Waits until everybody is at this side, and fails if anybody was lost before.
    pub async fn all_arrive_at(&self, side: Side) -> Result<()> {
        let name = self.shop.name();
        self.people.wait_until_all_are_at(side, LIMIT).await.with_context(|| format!("{name} has ended"))?;
        say(format!("{name}: {}", self.nobody_is_lost()?));
        Ok(())
    }

    /// Fails if a request got no page although nothing was made sick, or DNS ever had no answer.
    pub fn nobody_is_lost(&self) -> Result<Report> {
        let name = self.shop.name();
        let sick = self.sick.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let report = self.people.report(&sick, Duration::from_secs(1));
        let failed = || self.people.visits().into_iter().find(|visit| visit.failure.is_some());
        ensure!(report.requests > 0 && report.lost() == 0, "{name}: {report}; the first failure: {:?}", failed());
        // What is broken here answers 503; another failure at the sick side is the migration's doing.
        ensure!(report.badly_answered.keys().all(|cause| *cause == Cause::Status(503)), "{name}: {report}");
        let answers = self.shop.scene.world.name_server().journal().counts(self.shop.host());
        ensure!(answers.keys().all(|(_, outcome)| *outcome == Outcome::Answered), "{name}: {answers:?}");
        Ok(report)
    }

    /// The end: everybody is at this side and was served all the time, and every promise was kept, by DNS and by the writes.
    pub async fn keeps_its_promises(&self, home: Side) -> Result<()> {
        self.all_arrive_at(home).await?;
        self.dns_kept_its_promises().await?;
        self.shop.keeps_its_promises().await
    }

    /// What name servers showed of each kind of record that the host ever had.
    pub fn served(&self) -> Vec<(Kind, Vec<Served>)> {
        let zone = self.shop.scene.setup.zone(self.shop.scene.world);
        let kinds = [Kind::A, Kind::Aaaa].map(|kind| (kind, zone.weights(self.shop.host(), kind)));
        kinds.into_iter().filter(|(_, history)| !history.is_empty()).collect()
    }

    /// Fails unless [`Self::share_was_approved`], and the share only rose until it only fell.
    pub async fn dns_kept_its_promises(&self) -> Result<()> {
        self.share_was_approved().await?;
        self.each_served(share_rose_then_fell)
    }

    /// Fails if DNS ever served nothing, two zeros on the way to the target, or the target a share that was not approved by then.
    pub async fn share_was_approved(&self) -> Result<()> {
        let approved = self.shop.approved().await?;
        ensure!(!approved.is_empty(), "{}: no step was ever approved", self.shop.name());
        self.each_served(|history| {
            somebody_always_answered(history).and_then(|()| share_never_above_approved(history, &approved))
        })
    }

    /// Fails if DNS ever served nothing, or the target a larger share than this: somebody else's writes may make one that nobody approved.
    pub fn share_stayed_below(&self, percent: i32) -> Result<()> {
        let allowed = [Approval::from_the_start(percent)];
        self.each_served(|history| {
            somebody_always_answered(history).and_then(|()| share_never_above_approved(history, &allowed))
        })
    }

    /// Checks what was served of each kind of record.
    fn each_served(&self, kept: impl Fn(&[Served]) -> Result<(), String>) -> Result<()> {
        let served = self.served();
        ensure!(!served.is_empty(), "{}: nothing was ever served", self.shop.name());
        for (kind, history) in served {
            kept(&history).map_err(|broken| Error::msg(format!("{}, served {kind}: {broken}", self.shop.name())))?;
        }
        Ok(())
    }
}
