//! Candidates whose looks, writes and answers come in any order and at any time: at most one of them believes that it leads.
//!
//! Writes may arrive late, answers may be lost, processes may be stopped for any time. What the model leaves out is a person who
//! deletes the Lease, and clocks that run at different speeds: the margin for those is a third of the duration.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::Instant;

use super::record::{Action, Seen, Times, created, decide, released, renewed, taken};

const CANDIDATES: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many tenths of a second go by.
    Pass(u64),
    /// A candidate reads the Lease.
    Look(usize),
    /// A candidate decides and sends a write, which is on the wire now.
    Send(usize),
    /// The write arrives, and its answer comes back.
    Arrive(usize),
    /// The write arrives, and its answer is lost.
    Lose(usize),
    /// A candidate works no more, and sends that it gives up.
    Release(usize),
}

#[derive(Default)]
struct Server {
    lease: Option<Lease>,
    version: u64,
}

impl Server {
    /// Whether the write was based on the newest version.
    fn write(&mut self, mut lease: Lease) -> Option<Lease> {
        let known = self.lease.as_ref().and_then(|known| known.metadata.resource_version.clone());
        if lease.metadata.resource_version != known {
            return None;
        }
        self.version += 1;
        lease.metadata.resource_version = Some(self.version.to_string());
        self.lease = Some(lease.clone());
        Some(lease)
    }
}

#[derive(Default)]
struct Candidate {
    seen: Option<Seen>,
    on_the_wire: Option<(Instant, Lease)>,
    proved_until: Option<Instant>,
}

struct World {
    now: Instant,
    wall: Timestamp,
    times: Times,
    server: Server,
    candidates: [Candidate; CANDIDATES],
}

impl World {
    fn new() -> Self {
        let times = Times::of(Duration::from_secs(15));
        let (now, wall) = (Instant::now(), Timestamp::UNIX_EPOCH);
        Self { now, wall, times, server: Server::default(), candidates: Default::default() }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Pass(tenths) => {
                self.now += Duration::from_millis(100 * tenths);
                self.wall += Duration::from_millis(100 * tenths);
            }
            Step::Look(index) => self.look(index),
            Step::Send(index) => self.send(index),
            Step::Arrive(index) => self.arrive(index, true),
            Step::Lose(index) => self.arrive(index, false),
            Step::Release(index) => self.release(index),
        }
    }

    fn look(&mut self, index: usize) {
        let candidate = &mut self.candidates[index];
        let found = self.server.lease.clone();
        candidate.seen = found.map(|lease| Seen::after_look(candidate.seen.as_ref(), lease, self.now));
    }

    fn send(&mut self, index: usize) {
        let (candidate, identity) = (&mut self.candidates[index], name(index));
        let lease = match (decide(&identity, candidate.seen.as_ref(), &self.times, self.now), &candidate.seen) {
            (Action::StandBy { .. }, _) => return,
            (Action::Renew, Some(seen)) => renewed(seen, &self.times, self.wall),
            (Action::Take, Some(seen)) => taken(seen, &identity, &self.times, self.wall),
            _ => created("l", &identity, &self.times, self.wall),
        };
        candidate.on_the_wire = Some((self.now, lease));
    }

    fn arrive(&mut self, index: usize, answered: bool) {
        let candidate = &mut self.candidates[index];
        let Some((began, lease)) = candidate.on_the_wire.take() else { return };
        let Some(written) = self.server.write(lease).filter(|_| answered) else { return };
        let seen = Seen::after_look(candidate.seen.as_ref(), written, self.now);
        candidate.proved_until = (seen.holder() == name(index)).then(|| began + self.times.renew_deadline);
        candidate.seen = Some(seen);
    }

    fn release(&mut self, index: usize) {
        let candidate = &mut self.candidates[index];
        candidate.proved_until = None;
        let ours = candidate.seen.as_ref().filter(|seen| seen.holder() == name(index));
        candidate.on_the_wire = ours.map(|seen| (self.now, released(seen, self.wall)));
    }

    fn leaders(&self) -> usize {
        self.candidates.iter().filter(|candidate| candidate.proved_until.is_some_and(|until| self.now < until)).count()
    }
}

fn name(index: usize) -> String {
    format!("candidate-{index}")
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let of_one = |make: fn(usize) -> Step| (0..CANDIDATES).prop_map(make);
    let step = prop_oneof![
        3 => (0..80_u64).prop_map(Step::Pass),
        3 => of_one(Step::Look),
        3 => of_one(Step::Send),
        3 => of_one(Step::Arrive),
        1 => of_one(Step::Lose),
        1 => of_one(Step::Release),
    ];
    vec(step, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn at_most_one_candidate_believes_that_it_leads(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            prop_assert!(world.leaders() <= 1, "{} candidates lead after {step:?}", world.leaders());
        }
    }

    #[test]
    fn whatever_happened_a_candidate_that_goes_on_trying_leads_in_the_end(steps in steps()) {
        let mut world = World::new();
        // The others are gone; what they sent is still on the wire.
        let the_others_end = [Step::Lose(1), Step::Lose(2), Step::Arrive(0), Step::Look(0), Step::Pass(150)];
        let one_goes_on = [Step::Look(0), Step::Send(0), Step::Arrive(0)];
        for step in steps.into_iter().chain(the_others_end).chain(one_goes_on) {
            world.step(step);
        }
        prop_assert_eq!(world.leaders(), 1);
    }
}
