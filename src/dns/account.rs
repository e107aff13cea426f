//! One reader for everybody who asks the same backend with the same credentials: a task that asks what is due, keeps what it
//! read in memory, and wakes those whom it concerns.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::SignedDuration;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::asks::Asks;
use super::book::{Book, News, Reading};
use super::interest::Interest;
use super::schedule::{Answer, Next, Place, Schedule, Wanted, Within};
use super::trouble::ReadError;
use crate::machine::records::DnsView;
use crate::machine::urgency::Urgency;
use crate::metrics::{DnsBackend, DnsQueueLabels, Metrics, PairLabels};
use crate::mutex::locked;
use crate::site::Wake;
use crate::task::Tasks;

/// Owners of record sets hardly ever change; other sets at the host are a reason to look at once.
const OWNERS: Wanted = Wanted { urgency: Urgency::Monitoring, interval: Duration::from_secs(1800) };

/// The addresses behind the name of an AWS load balancer change with its size; its TTL is 60 seconds.
const BALANCERS: Wanted = Wanted { urgency: Urgency::Monitoring, interval: Duration::from_secs(30) };

/// Who waits for something is told of each reading, also of one that shows nothing new, but not more often than this.
const TELL_AGAIN: Duration = Duration::from_secs(5);

/// A running reader. Dropped, it ends.
pub(super) struct Account {
    shared: Arc<Shared>,
    tasks: Tasks,
}

struct Shared {
    state: Mutex<State>,
    /// Somebody asks for something else.
    asked: Notify,
    metrics: Metrics,
    backend: DnsBackend,
}

#[derive(Default)]
struct State {
    schedule: Schedule,
    book: Book,
    askers: BTreeMap<u64, Asker>,
    last_asker: u64,
    /// What this reader has added to the metric of waiting questions.
    waiting: i64,
}

struct Asker {
    interest: Interest,
    wake: Wake,
    told: Option<Instant>,
}

impl Account {
    /// Starts to read for whoever asks.
    pub(super) fn start(asks: Asks, metrics: Metrics) -> Self {
        let state = Mutex::default();
        let shared =
            Arc::new(Shared { state, asked: Notify::new(), metrics: metrics.clone(), backend: asks.backend() });
        let tasks = Tasks::default();
        tasks.spawn("reader of DNS", metrics, run(Arc::clone(&shared), asks));
        Self { shared, tasks }
    }

    /// Whether it has panicked: another one is needed.
    pub(super) fn is_broken(&self) -> bool {
        self.tasks.are_broken()
    }

    /// One more asker. `wake` is called when there is news for it. Returns its number.
    pub(super) fn add(&self, interest: Interest, wake: Wake) -> u64 {
        self.change_askers(|state| {
            state.last_asker += 1;
            state.askers.insert(state.last_asker, Asker { interest, wake, told: None });
            (state.last_asker, true)
        })
    }

    /// An asker wants to know something else, or more or less urgently.
    pub(super) fn change(&self, asker: u64, interest: Interest) {
        self.change_askers(|state| {
            let known = state.askers.get_mut(&asker).filter(|known| known.interest != interest);
            ((), known.map(|known| known.interest = interest).is_some())
        });
    }

    /// An asker wants to know nothing any more.
    pub(super) fn remove(&self, asker: u64) {
        self.change_askers(|state| ((), state.askers.remove(&asker).is_some()));
    }

    /// What is known of what an asker wants to know.
    pub(super) fn view(&self, asker: u64) -> DnsView {
        let state = locked(&self.shared.state);
        let Some(Asker { interest, .. }) = state.askers.get(&asker) else { return DnsView::default() };
        state.book.view(interest)
    }

    fn change_askers<T>(&self, change: impl FnOnce(&mut State) -> (T, bool)) -> T {
        let mut state = locked(&self.shared.state);
        let (result, changed) = change(&mut state);
        if changed {
            state.plan(Instant::now());
            self.shared.asked.notify_one();
        }
        result
    }
}

async fn run(shared: Arc<Shared>, asks: Asks) {
    let mut running = FuturesUnordered::new();
    loop {
        match shared.step(&asks, running.len()) {
            Next::Ask(place) => running.push(one(&shared, &asks, place)),
            Next::At(time) => tokio::select! {
                () = shared.asked.notified() => {}
                Some(()) = running.next() => {}
                () = tokio::time::sleep_until(time) => {}
            },
            Next::Nothing => tokio::select! {
                () = shared.asked.notified() => {}
                Some(()) = running.next() => {}
            },
        }
    }
}

async fn one(shared: &Shared, asks: &Asks, place: Place) {
    let began = crate::cluster::now();
    let reading = asks.read(&place).await;
    shared.note(&place, reading, began, asks.pace());
}

fn answer(reading: &Result<Reading, ReadError>) -> Answer {
    match reading {
        Ok(_) => Answer::Read,
        Err(error) if error.is_throttling() => Answer::Throttled,
        Err(_) => Answer::Failed,
    }
}

impl Shared {
    /// What to do now, given how many readings are in progress.
    fn step(&self, asks: &Asks, running: usize) -> Next {
        let now = Instant::now();
        let mut state = locked(&self.state);
        self.measure(&mut state, now);
        if running >= asks.at_a_time() {
            return Next::Nothing;
        }
        // The most urgent question is chosen at the moment when it may be asked, not before.
        if let Some(ready) = asks.busy_until(now).filter(|_| state.schedule.waiting(now) > 0) {
            return Next::At(ready);
        }
        state.schedule.next(now)
    }

    fn note(&self, place: &Place, reading: Result<Reading, ReadError>, began: jiff::Timestamp, pace: Duration) {
        let (now, answer) = (Instant::now(), answer(&reading));
        let reading = reading.map_err(|error| crate::causes::one_line(&error.to_string()));
        let mut state = locked(&self.state);
        let jitter = crate::random::bytes::<1>()[0];
        let blind = SignedDuration::try_from(state.schedule.blind_after(place, pace)).unwrap_or(SignedDuration::MAX);
        state.schedule.answered(place, answer, now, jitter);
        let times = (began, crate::cluster::now());
        let wakes = if answer == Answer::Throttled {
            // Of a few nobody needs to hear, and nothing stands still for them: they are asked again at their next turns.
            let hidden = state.schedule.hidden(now).into_iter();
            hidden.flat_map(|place| state.take_in(&place, reading.clone(), times, blind, now)).collect()
        } else {
            state.take_in(place, reading, times, blind, now)
        };
        if answer == Answer::Read {
            self.measure_age(&state, place, began);
        }
        drop(state);
        for wake in wakes {
            wake();
        }
    }

    fn measure(&self, state: &mut State, now: Instant) {
        let waiting = i64::try_from(state.schedule.waiting(now)).unwrap_or(i64::MAX);
        let labels = DnsQueueLabels { backend: self.backend };
        self.metrics.dns.queue.get_or_create(&labels).inc_by(waiting - state.waiting);
        state.waiting = waiting;
    }

    fn measure_age(&self, state: &State, place: &Place, began: jiff::Timestamp) {
        for asker in state.askers.values().filter(|asker| asker.interest.has_host_at(place)) {
            let labels = PairLabels { pair: asker.interest.pair.clone() };
            self.metrics.dns.last_reading.get_or_create(&labels).set(began.as_second());
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let labels = DnsQueueLabels { backend: self.backend };
        let waiting = locked(&self.state).waiting;
        self.metrics.dns.queue.get_or_create(&labels).dec_by(waiting);
    }
}

impl State {
    /// Takes in what became of a reading. Returns whom to wake.
    fn take_in(
        &mut self,
        place: &Place,
        reading: Result<Reading, String>,
        times: (jiff::Timestamp, jiff::Timestamp),
        blind: SignedDuration,
        now: Instant,
    ) -> Vec<Wake> {
        let news = self.book.note(place, reading, times, blind);
        if news.other_sets {
            self.look_for_owners(place, now);
        }
        self.concerned(place, news, now)
    }

    /// Brings the questions in line with who asks. What nobody asks any more is forgotten.
    fn plan(&mut self, now: Instant) {
        let mut all = BTreeMap::<Place, Wanted>::new();
        let mut want = |place: Place, wanted: Wanted| {
            all.entry(place).and_modify(|known| *known = known.and(wanted)).or_insert(wanted);
        };
        for Asker { interest, .. } in self.askers.values() {
            for place in interest.places() {
                let owners = self.book.ownership_places(&place, &interest.affixes);
                for owner in owners {
                    want(owner, OWNERS);
                }
                want(place, interest.wanted());
            }
            for place in interest.balancers.iter().map(|name| Interest::balancer(name)) {
                want(place, BALANCERS);
            }
        }
        self.schedule.want(&all, now);
        self.book.keep_only(&all);
    }

    /// Other sets are listed at a host than before: who owns them?
    fn look_for_owners(&mut self, place: &Place, now: Instant) {
        self.plan(now);
        for asker in self.askers.values() {
            for owners in self.book.ownership_places(place, &asker.interest.affixes) {
                self.schedule.hurry(&owners, now);
            }
        }
    }

    /// Whom to wake after a reading of this place.
    fn concerned(&mut self, place: &Place, news: News, now: Instant) -> Vec<Wake> {
        let book = &self.book;
        let concerned = self.askers.values_mut().filter(|asker| {
            let is_told = asker.told.is_some_and(|told| now < told + TELL_AGAIN);
            let waits = asker.interest.urgency != Urgency::Monitoring && !is_told;
            asker.interest.has_host_at(place) && (news.changed || waits)
                || news.changed && is_beside(book, &asker.interest, place)
        });
        concerned
            .map(|asker| {
                asker.told = Some(now);
                Arc::clone(&asker.wake)
            })
            .collect()
    }
}

/// Whether one of the asker's load balancers is at this place, or the owner of one of its records is noted there.
fn is_beside(book: &Book, interest: &Interest, place: &Place) -> bool {
    if place.within == Within::Resolvers {
        return interest.balancers.contains(&place.name);
    }
    interest.places().any(|host| book.ownership_places(&host, &interest.affixes).contains(place))
}
