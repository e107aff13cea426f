//! The shipped decision and the shipped permit, each asked once per question: whatever was answered before is known.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use namespace_migration::api::Stage;
use namespace_migration::api::foreign::{ForeignWeight, PutBack};
use namespace_migration::api::status::{NamespaceMigrationStatus, RecordTraffic, RequestStatus, StepProgress, Undone};
use namespace_migration::machine::permit::{Live, Permit, permit, permit_creation};
use namespace_migration::machine::stages::is_terminal;
use namespace_migration::machine::{Decision, Effect, Order, Side, decide, needs};

use crate::facts::{View, ago, ingress, namespace};
use crate::planted;
use crate::setup::{SOURCE, Setup, TARGET, TICK, now};
use crate::state::{Ingress, NAMES, OLD};

/// Answers of writers against a rollback pause for longer and longer; from here on they do not grow here.
const UNDONE_AT_MOST: i32 = 3;

/// An effect on one Ingress, with what the executor must know of it.
#[derive(Clone, Debug)]
pub struct Write {
    pub effect: Effect,
    pub side: Side,
    pub host: usize,
    /// The share of the target, in percent, that was approved when it was decided.
    pub approved: u8,
}

impl Write {
    /// Whether it belongs to a rollback.
    pub fn is_back(&self) -> bool {
        self.effect.is_rollback()
    }

    /// Whether the other side must be read for it.
    pub fn needs_other(&self) -> bool {
        !matches!(&self.effect, Effect::WriteWeight(write) if write.stamp.direction.is_back() || write.keeps_weight)
    }

    /// Whether both are carried out beside each other.
    pub fn is_beside(&self, next: &Self) -> bool {
        let kind = std::mem::discriminant::<Effect>;
        self.side == next.side && kind(&self.effect) == kind(&next.effect)
    }

    /// Whether it keeps the target's weight until the source has 100.
    pub fn waits_for_source(&self) -> bool {
        matches!(&self.effect, Effect::WriteWeight(write) if write.after_source)
    }
}

/// What was decided.
#[derive(Clone, Debug)]
pub struct Decided {
    pub writes: Vec<u32>,
    pub status: u32,
}

/// The answer of a live read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Send,
    Done,
    Refused,
}

/// What has been asked and answered.
#[derive(Debug)]
pub struct Known {
    pub setup: Setup,
    orders: Vec<Order>,
    statuses: Vec<NamespaceMigrationStatus>,
    numbers: HashMap<String, u32>,
    aged: HashMap<u32, u32>,
    asked: HashMap<(u32, View), u32>,
    decisions: Vec<Decided>,
    writes: Vec<Write>,
    write_numbers: HashMap<String, u32>,
    permits: HashMap<(u32, Ingress, Ingress), Answer>,
    /// The last status as it was decided, with all that people read of it, by the number of what is left without that.
    whole: HashMap<u32, NamespaceMigrationStatus>,
}

impl Known {
    pub fn new(setup: Setup) -> Self {
        let mut known = Self {
            setup,
            orders: (0..4).map(|token| setup.order(token)).collect(),
            statuses: vec![],
            numbers: HashMap::new(),
            aged: HashMap::new(),
            asked: HashMap::new(),
            decisions: vec![],
            writes: vec![],
            write_numbers: HashMap::new(),
            permits: HashMap::new(),
            whole: HashMap::new(),
        };
        known.number(&NamespaceMigrationStatus::default());
        known
    }

    pub fn status(&self, number: u32) -> &NamespaceMigrationStatus {
        &self.statuses[number as usize]
    }

    pub fn stage(&self, status: u32) -> Stage {
        self.status(status).stage
    }

    pub fn decided(&self, number: u32) -> &Decided {
        &self.decisions[number as usize]
    }

    pub fn write(&self, number: u32) -> &Write {
        &self.writes[number as usize]
    }

    /// How many different questions were decided.
    pub fn questions(&self) -> usize {
        self.asked.len()
    }

    /// The shipped decision about what a process knows and sees.
    pub fn decide(&mut self, status: u32, view: &View) -> u32 {
        let order = &self.orders[usize::from(view.token)];
        let needs = needs(order, self.status(status));
        let mut view = *view;
        if needs.dns.is_none() {
            view.listed = <_>::default();
        }
        view.sick &= needs.probes;
        if !needs.clusters {
            (view.seen, view.addressed) = ([None; 2], [true; 2]);
        }
        if let Some(known) = self.asked.get(&(status, view)) {
            return *known;
        }
        let observed = view.observed(order, &needs, &self.setup);
        let decision = decide(order, self.status(status), &observed, now());
        if self.asked.len().is_multiple_of(16)
            && let Some(whole) = self.whole.get(&status)
        {
            let same = decide(order, whole, &observed, now());
            let reduced = |status| reduced(&self.setup, status);
            assert_eq!((&same.effects, reduced(&same.status)), (&decision.effects, reduced(&decision.status)));
        }
        let number = self.remember(decision);
        self.asked.insert((status, view), number);
        number
    }

    fn remember(&mut self, mut decision: Decision) -> u32 {
        planted::change(&self.setup, &mut decision);
        let status = self.number(&decision.status);
        self.whole.insert(status, decision.status.clone());
        let approved = approved(&decision.status);
        let writes = decision.effects.into_iter().filter_map(|effect| self.number_of_write(effect, approved)).collect();
        self.decisions.push(Decided { writes, status });
        u32::try_from(self.decisions.len() - 1).unwrap()
    }

    /// None for what does not touch an Ingress of the two clusters.
    fn number_of_write(&mut self, effect: Effect, approved: u8) -> Option<u32> {
        let (side, name) = match &effect {
            Effect::WriteWeight(write) => (write.side, &write.ingress),
            Effect::CreateIngress(creation) => (Side::Target, &creation.name),
            _ => return None,
        };
        let host = NAMES.iter().position(|known| known == name).unwrap();
        let text = format!("{effect:?} {approved}");
        let next = u32::try_from(self.writes.len()).unwrap();
        let number = *self.write_numbers.entry(text).or_insert(next);
        if number == next {
            self.writes.push(Write { effect, side, host, approved });
        }
        Some(number)
    }

    /// The shipped last look before a write: `own` is live where it is written, `other` on the other side.
    pub fn permit(&mut self, number: u32, own: Ingress, other: Ingress) -> Answer {
        let key = (number, own, other);
        if let Some(known) = self.permits.get(&key) {
            return *known;
        }
        let answer = self.look(&self.writes[number as usize], own, other);
        self.permits.insert(key, answer);
        answer
    }

    fn look(&self, write: &Write, own: Ingress, other: Ingress) -> Answer {
        let order = &self.orders[0];
        let facts = |side, it: Ingress| it.there.then(|| ingress(order, &self.setup, side, write.host, it));
        match &write.effect {
            Effect::CreateIngress(_) if own.there => Answer::Refused,
            Effect::CreateIngress(creation) => {
                let allowed = facts(Side::Source, other).is_some_and(|it| permit_creation(creation, &it).is_ok());
                if allowed { Answer::Send } else { Answer::Refused }
            }
            Effect::WriteWeight(it) => {
                let identity = if it.side == Side::Source { SOURCE } else { TARGET };
                let live = Live {
                    identity: identity.into(),
                    namespace: Some(namespace()),
                    ingress: facts(it.side, own),
                    other: if write.needs_other() { facts(it.side.other(), other) } else { None },
                };
                match permit(it, identity, &live) {
                    Permit::Write { .. } => Answer::Send,
                    Permit::AlreadyDone => Answer::Done,
                    Permit::Refused(refusal) if planted::ignores(&self.setup, &refusal) => Answer::Send,
                    Permit::Refused(_) => Answer::Refused,
                }
            }
            _ => Answer::Refused,
        }
    }

    /// The number of what is left of a status without what people read.
    fn number(&mut self, status: &NamespaceMigrationStatus) -> u32 {
        let reduced = reduced(&self.setup, status);
        let text = serde_json::to_string(&reduced).unwrap();
        let next = u32::try_from(self.statuses.len()).unwrap();
        let number = *self.numbers.entry(text).or_insert(next);
        if number == next {
            self.statuses.push(reduced);
        }
        number
    }

    /// The status when a tick has passed.
    pub fn aged(&mut self, number: u32) -> u32 {
        if let Some(known) = self.aged.get(&number) {
            return *known;
        }
        let old = self.setup.old();
        let old = with_times(self.status(number).clone(), |at| capped(at - TICK).max(ago(old)));
        let aged = self.number(&old);
        self.aged.insert(number, aged);
        aged
    }

    /// Whether an attempt has ended in this status.
    pub fn has_ended(&self, status: u32) -> bool {
        is_terminal(self.stage(status))
    }
}

/// The share of the target that a status approves, in percent.
pub fn approved(status: &NamespaceMigrationStatus) -> u8 {
    let share = match (status.stage, &status.step, &status.plan) {
        (Stage::Bake | Stage::Completed, ..) => 100,
        (Stage::ShiftTraffic, Some(step), Some(plan)) => {
            plan.steps.get(usize::try_from(step.index).unwrap()).map_or(0, |step| step.weight)
        }
        _ => 0,
    };
    u8::try_from(share).unwrap()
}

/// What decisions rest on. The rest is written for people; `decide` checks that it makes no difference.
fn reduced(setup: &Setup, status: &NamespaceMigrationStatus) -> NamespaceMigrationStatus {
    let requests =
        status.requests.iter().map(|it| RequestStatus { message: String::new(), by: String::new(), ..it.clone() });
    let reduced = NamespaceMigrationStatus {
        attempt: status.attempt,
        stage: status.stage,
        stage_started_at: status.stage_started_at.clone(),
        epoch: status.epoch,
        pause: status.pause.clone(),
        requests: requests.map(|it| RequestStatus { at: Time(now()), ..it }).collect(),
        plan: status.plan.clone(),
        step: status.step.clone(),
        rehearsal: status.rehearsal.clone(),
        written_since: status.written_since.clone(),
        foreign_weights: status.foreign_weights.clone(),
        put_back: status.put_back.clone(),
        undone: status.undone.clone(),
        frozen_epoch: status.frozen_epoch,
        traffic: status.traffic.clone(),
        created: status.created.clone(),
        dns: status.dns.iter().map(|row| known_kind(setup, row)).collect(),
        served: status.served.filter(|_| setup.tells),
        exposed_percent: status.exposed_percent.filter(|_| setup.tells),
        ..NamespaceMigrationStatus::default()
    };
    with_times(reduced, capped)
}

/// That there was a record of this kind, and, where that is looked at, what it was told to serve.
fn known_kind(setup: &Setup, row: &RecordTraffic) -> RecordTraffic {
    let text = String::new;
    RecordTraffic {
        host: row.host.clone(),
        kind: row.kind.clone(),
        desired: 0,
        written: 0,
        served: row.served.filter(|_| setup.tells),
        proof: None,
        ttl: text(),
        since: None,
        found: text(),
        gate: text(),
        waits_for: text(),
        written_since: None,
        only_target: row.only_target,
    }
}

/// The last whole tick at or before a time, unless it is old.
fn capped(at: Timestamp) -> Timestamp {
    (0..OLD).map(ago).find(|tick| *tick <= at).unwrap_or(ago(OLD))
}

/// The status with each of its times that gates rest on seen through `time`, and without what only grows.
fn with_times(mut status: NamespaceMigrationStatus, time: impl Fn(Timestamp) -> Timestamp) -> NamespaceMigrationStatus {
    let micro = |at: &MicroTime| MicroTime(time(at.0));
    status.written_since = status.written_since.as_ref().map(micro);
    // Elsewhere only deadlines look at it, and none passes here.
    let probed = status.stage == Stage::SmokeTest;
    status.stage_started_at = status.stage_started_at.map(|at| Time(if probed { time(at.0) } else { now() }));
    // Every hold is over at once; what counts is whether its clock runs.
    status.step = status.step.map(|step| StepProgress {
        since: micro(&step.since),
        held_millis: 0,
        running_since: step.running_since.map(|_| MicroTime(now())),
        ..step
    });
    status.undone = status.undone.map(|it| Undone { times: it.times.min(UNDONE_AT_MOST), last: micro(&it.last) });
    status.foreign_weights =
        status.foreign_weights.into_iter().map(|it| ForeignWeight { since: micro(&it.since), ..it }).collect();
    status.put_back = status.put_back.map(|it| PutBack { since: micro(&it.since), ..it });
    if let Some(rehearsal) = &mut status.rehearsal {
        (rehearsal.since, rehearsal.lag_millis) = (micro(&rehearsal.since), 0);
    }
    status
}
