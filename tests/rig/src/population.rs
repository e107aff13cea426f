//! The users of a service: they ask DNS where it is, remember the answer as long as real users do, and ask for its page all
//! the time. Every request is written down.

mod browser;
mod client;
mod memory;
mod report;
mod resolver;
mod visit;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use fastrand::Rng;
use rustls::pki_types::ServerName;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

pub use client::{Door, Streets};
pub use memory::{Found, Habit, Missing};
pub use report::{Bucket, Report, Sickness, Stay, share};
pub use resolver::{Family, resolve};
pub use visit::{BySide, Cause, Side, Visit};

use self::browser::Browser;
use self::client::Client;
use self::memory::Memory;
use crate::certificate_authority::client_config;
use crate::route53::record::Kind;
use crate::route53::zone::Zone;
use crate::setup::Setup;
use crate::world::World;

/// external-dns publishes a new Ingress within seconds.
const PUBLISHED_LIMIT: Duration = Duration::from_secs(60);

/// Who comes, and how often.
#[derive(Clone, Debug)]
pub struct Options {
    /// The host that everybody asks for.
    pub host: String,
    /// The number of users.
    pub clients: usize,
    /// The time from the beginning of a user's request to that of its next one.
    pub pace: Duration,
    /// A user who waits longer for a page goes away.
    pub patience: Duration,
    /// What users do who do not honour the TTL, and how many percent of all do so. Together at most 100.
    pub habits: Vec<(Habit, u8)>,
    /// Which addresses are asked for.
    pub family: Family,
    /// The same seed gives the same users.
    pub seed: u64,
}

impl Options {
    /// Twenty users with a request a second each. Most honour the TTL; of twenty, two remember answers for 5 s at least, and one
    /// keeps its connection.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            clients: 20,
            pace: Duration::from_secs(1),
            patience: Duration::from_secs(2),
            habits: vec![(Habit::RemembersFor(Duration::from_secs(5)), 10), (Habit::KeepsConnection, 5)],
            family: Family::default(),
            seed: 1,
        }
    }

    /// The habit of a user: the first ones are the exceptions.
    fn habit(&self, number: usize) -> Habit {
        let percent = number * 100 / self.clients.max(1);
        let mut end = 0;
        for (habit, share) in &self.habits {
            end += usize::from(*share);
            if percent < end {
                return *habit;
            }
        }
        Habit::HonoursTtl
    }
}

/// How the requests of one side ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// With a page.
    pub well: u64,
    /// With an error, or not at all.
    pub badly: u64,
}

/// How all requests ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that reached a side.
    pub sides: BySide<Served>,
    /// Those that DNS sent nowhere.
    pub nowhere: u64,
}

impl Counts {
    /// All requests.
    pub fn total(&self) -> u64 {
        let sides = [self.sides.source, self.sides.target];
        sides.iter().map(|side| side.well + side.badly).sum::<u64>() + self.nowhere
    }

    /// All that did not end with a page.
    pub fn failed(&self) -> u64 {
        self.sides.source.badly + self.sides.target.badly + self.nowhere
    }

    /// Requests by side, however they ended.
    pub fn by_side(&self) -> BySide<u64> {
        let BySide { source, target } = self.sides;
        BySide { source: source.well + source.badly, target: target.well + target.badly }
    }

    fn add(&mut self, visit: &Visit) {
        match (visit.side, visit.failure) {
            (Some(side), None) => self.sides.of_mut(side).well += 1,
            (Some(side), Some(_)) => self.sides.of_mut(side).badly += 1,
            (None, _) => self.nowhere += 1,
        }
    }
}

/// The users of one service. Dropping it sends them home.
pub struct Population {
    number: usize,
    journal: Journal,
    _clients: JoinSet<()>,
}

/// All requests so far; clones share them.
#[derive(Clone, Debug)]
struct Journal {
    visits: Arc<Mutex<(Vec<Visit>, Counts)>>,
    count: watch::Sender<usize>,
}

impl Population {
    /// They arrive, one after the other within the first pace, and stay. `roots` are the certificate authorities that they
    /// trust, as PEM.
    pub fn arrive(options: &Options, streets: Streets, roots: &str) -> Result<Self> {
        let config = Arc::new(client_config(roots)?);
        let name = ServerName::try_from(options.host.clone()).with_context(|| format!("{:?}", options.host))?;
        let (streets, journal) = (Arc::new(streets), Journal::new());
        let (mut clients, start) = (JoinSet::new(), Instant::now());
        for number in 0..options.clients {
            let habit = options.habit(number);
            let client = Client {
                number,
                host: options.host.clone(),
                family: options.family,
                habit,
                patience: options.patience,
                streets: Arc::clone(&streets),
                memory: Memory::new(habit),
                browser: Browser::new(Arc::clone(&config), &options.host, name.clone()),
                dice: Rng::with_seed(options.seed.wrapping_mul(1_000_003).wrapping_add(u64::try_from(number)?)),
            };
            let first = start + options.pace.mul_f64(ratio(number, options.clients));
            clients.spawn(live(client, first, options.pace, journal.clone()));
        }
        Ok(Self { number: options.clients, journal, _clients: clients })
    }

    /// They arrive at a setup's load balancers once the world's DNS knows their host: a negative answer would be remembered for
    /// a quarter of an hour.
    pub async fn settle(world: &World, setup: &Setup, options: &Options) -> Result<Self> {
        let is_served = |zone: &Zone| zone.served().group(&options.host, Kind::A).next().map(|_| ());
        setup.zone(world).wait(&format!("{} in DNS", options.host), PUBLISHED_LIMIT, is_served).await?;
        Self::arrive(options, Streets::of(setup, world.name_server()), &setup.users_root())
    }

    /// How the requests ended so far.
    pub fn counts(&self) -> Counts {
        self.journal.lock().1
    }

    /// How the requests ended that began at or after this time.
    pub fn counts_since(&self, time: SystemTime) -> Counts {
        let mut counts = Counts::default();
        for visit in self.visits_since(time) {
            counts.add(&visit);
        }
        counts
    }

    /// All requests so far, in the order of their ends.
    pub fn visits(&self) -> Vec<Visit> {
        self.journal.lock().0.clone()
    }

    /// Those that began at or after this time, in the order of their ends.
    pub fn visits_since(&self, time: SystemTime) -> Vec<Visit> {
        let journal = self.journal.lock();
        // From the newest on: one that ended before that time has none behind it that began after.
        let newest = journal.0.iter().rev().take_while(|visit| visit.ended() >= time);
        let mut visits: VecDeque<Visit> = VecDeque::new();
        for visit in newest.filter(|visit| visit.at >= time) {
            visits.push_front(visit.clone());
        }
        visits.into()
    }

    /// What it was like so far. `sick` says what was broken on purpose; `piece` is the length of the pieces of time.
    pub fn report(&self, sick: &[Sickness], piece: Duration) -> Report {
        Report::of(&self.journal.lock().0, sick, piece)
    }

    /// Waits until the last request of each user was at this side. Fails after `limit`.
    pub async fn wait_until_all_are_at(&self, side: Side, limit: Duration) -> Result<()> {
        let all_are_there = |visits: &[Visit]| {
            let last = last_sides(visits);
            last.len() == self.number && last.values().all(|last| *last == Some(side))
        };
        self.wait_until(&format!("all are at the {}", side.name()), limit, all_are_there).await
    }

    /// Waits until this is true of all requests so far; looked at after each request. Fails after `limit`.
    pub async fn wait_until(&self, what: &str, limit: Duration, reached: impl Fn(&[Visit]) -> bool) -> Result<()> {
        let mut count = self.journal.count.subscribe();
        let wait = count.wait_for(|_| reached(&self.journal.lock().0));
        match tokio::time::timeout(limit, wait).await {
            Ok(waited) => waited.map(|_| ()).context("the users' journal is gone"),
            Err(_) => bail!("after {} s not yet true of the users: {what}; {:?}", limit.as_secs(), self.counts()),
        }
    }
}

/// Who was where last.
fn last_sides(visits: &[Visit]) -> BTreeMap<usize, Option<Side>> {
    visits.iter().map(|visit| (visit.client, visit.side)).collect()
}

impl Journal {
    fn new() -> Self {
        Self { visits: Arc::default(), count: watch::Sender::new(0) }
    }

    fn add(&self, visit: Visit) {
        let count = {
            let (visits, counts) = &mut *self.lock();
            counts.add(&visit);
            visits.push(visit);
            visits.len()
        };
        self.count.send_replace(count);
    }

    fn lock(&self) -> MutexGuard<'_, (Vec<Visit>, Counts)> {
        self.visits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn live(mut client: Client, first: Instant, pace: Duration, journal: Journal) {
    let mut ticks = tokio::time::interval_at(first, pace);
    // Who was kept waiting does not make up for it.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        journal.add(client.visit().await);
    }
}

#[allow(clippy::cast_precision_loss, reason = "far fewer users than 2^52")]
fn ratio(number: usize, of: usize) -> f64 {
    number as f64 / of.max(1) as f64
}

#[cfg(test)]
mod tests;
