//! One pass over one migration: what is known, and the status as it grows. Stages read it and answer with a [`Move`].

use std::cell::OnceCell;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};

use super::effect::{Effect, WeightWrite};
use super::gate::OpenGate;
use super::health::Verdict;
use super::observed::{ClusterView, IngressFacts, Observed, Reach, Side};
use super::order::Order;
use super::permit;
use super::pins;
use super::reason::Reason;
use super::replace;
use super::stamp::{Direction, Stamp};
use super::traffic::Weight;
use crate::api::Stage;
use crate::api::foreign::PutBack;
use crate::api::status::{
    Finding, NamespaceMigrationStatus, Pause, Plan, PlannedIngress, Rehearsal, RequestKind, StepProgress,
};
use crate::preflight;

/// One pass over one migration.
#[derive(Debug)]
pub struct Run<'a> {
    /// What is asked for.
    pub order: &'a Order,
    /// What has been seen.
    pub observed: &'a Observed,
    /// The time of this pass.
    pub now: Timestamp,
    /// The status as it grows: what was remembered, and what this pass adds.
    pub status: NamespaceMigrationStatus,
    /// What happened in this pass, for people.
    pub events: Vec<Event>,
    /// What the checks before the move find, once somebody has asked.
    found: OnceCell<Vec<Finding>>,
}

/// Something that happened, for `kubectl describe` and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// One word of the catalogue.
    pub reason: Reason,
    /// What happened, in a sentence.
    pub note: String,
    /// Whether a person should look.
    pub warning: bool,
}

/// A stage's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// Carry these out, if any, and come back when something changes.
    Act {
        /// In this order.
        effects: Vec<Effect>,
        /// What is waited for.
        wait: Wait,
    },
    /// Remember this and ask the stage again in the same pass.
    Remember(Memo),
    /// The stage has observed what it was there for.
    Advance {
        /// What it observed, in a sentence.
        message: String,
    },
    /// Everything goes back.
    RollBack {
        /// Why, in one word.
        reason: Reason,
        /// What was found and what was expected.
        message: String,
    },
    /// The step of this index is above the ceiling: it is left for the one below, under a new epoch, so that no older write
    /// in flight raises the target again.
    StepDown {
        /// Index of the step, from 0.
        index: i32,
    },
    /// It ends before anything was changed.
    Fail {
        /// Why, in one word.
        reason: Reason,
        /// What was found, what was expected and what to do.
        message: String,
    },
}

/// What a stage remembers in status.
#[derive(Clone, Debug, PartialEq)]
pub enum Memo {
    /// What was agreed when the checks had passed.
    Plan(Plan),
    /// All weights of the stage have been seen as wanted, from now on.
    WrittenNow,
    /// Where the rehearsal is.
    Rehearsal(Rehearsal),
    /// The step is written again from its beginning: foreign weights have stood long enough to be replaced, if there are any.
    StepAnew,
    /// What is put back first while they are.
    PutBack(Option<PutBack>),
    /// Somebody undid what a rollback had written.
    Undone,
    /// What kept it from going on is over: its deadline starts anew.
    DeadlineAnew,
    /// Where the shift is.
    Step(StepProgress),
    /// A deletion freezes the weights under a new epoch.
    Frozen,
    /// The shift is back before its first step.
    BeforeFirstStep,
    /// A pause is in force, or is asked for by others than before.
    Pause(Pause),
    /// The pause is over.
    Resume,
    /// A person's request makes no sense here, for this reason.
    Refuse(RequestKind, String),
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// In one word.
    pub reason: Reason,
    /// In a sentence.
    pub message: String,
    /// What a person can do. Empty when nothing is needed.
    pub unblock: String,
    /// When it goes on by itself.
    pub wake_at: Option<Timestamp>,
    /// When a look is taken, because nothing else will tell of a change. It is no news, and status does not say it.
    pub look_again: Option<Timestamp>,
    /// Whether it will not go on without a person.
    pub stalled: bool,
    /// The gate that it waits at, if it waits for DNS. Boxed: a wait is handed on as an error.
    pub gate: Option<Box<OpenGate>>,
}

impl Wait {
    /// Waits for something that will happen by itself, or that has happened to others.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            unblock: String::new(),
            wake_at: None,
            look_again: None,
            stalled: false,
            gate: None,
        }
    }

    /// Goes on by itself at this time.
    #[must_use]
    pub fn until(self, wake_at: Timestamp) -> Self {
        Self { wake_at: Some(wake_at), ..self }
    }

    /// A look is taken after this time, again and again.
    #[must_use]
    pub fn looking_again_at(self, look_again: Timestamp) -> Self {
        Self { look_again: Some(look_again), ..self }
    }

    /// A person can do this about it.
    #[must_use]
    pub fn unblocked_by(self, what: impl Into<String>) -> Self {
        Self { unblock: what.into(), ..self }
    }

    /// It will not go on without a person.
    #[must_use]
    pub fn stalled(self) -> Self {
        Self { stalled: true, ..self }
    }
}

impl From<Wait> for Move {
    fn from(wait: Wait) -> Self {
        Self::Act { effects: vec![], wait }
    }
}

impl<'a> Run<'a> {
    /// A pass that begins.
    pub fn new(order: &'a Order, observed: &'a Observed, status: NamespaceMigrationStatus, now: Timestamp) -> Self {
        Self { order, observed, now, status, events: vec![], found: OnceCell::new() }
    }

    /// What the checks before the move find in what was observed.
    pub fn findings(&self) -> &[Finding] {
        self.found.get_or_init(|| preflight::findings(self.order, self.observed))
    }

    /// The Ingresses that move together. Empty before the plan is agreed.
    pub fn ingresses(&self) -> &[PlannedIngress] {
        self.status.plan.as_ref().map(|plan| plan.ingresses.as_slice()).unwrap_or_default()
    }

    /// One of the two clusters as it was seen.
    pub fn view(&self, side: Side) -> &ClusterView {
        self.observed.side(side)
    }

    /// One Ingress of the plan on one side as it was seen.
    pub fn ingress(&self, side: Side, planned: &PlannedIngress) -> Option<&IngressFacts> {
        self.view(side).ingresses.get(&planned.name)
    }

    /// The other migration whose stamp is on an Ingress of the plan, if there is one: it is not this migration's to write.
    pub fn taken_by(&self, side: Side, planned: &PlannedIngress) -> Option<&Stamp> {
        self.ingress(side, planned)?.stamp.as_ref().filter(|stamp| stamp.owner != self.order.owner)
    }

    /// The stamp of this attempt and epoch.
    pub fn stamp(&self, direction: Direction) -> Stamp {
        self.order.stamp(self.status.attempt, self.status.epoch, direction)
    }

    /// The write that gives an Ingress this weight under this stamp.
    pub fn write(&self, side: Side, planned: &PlannedIngress, weight: Weight, stamp: Stamp) -> WeightWrite {
        WeightWrite {
            side,
            ingress: planned.name.clone(),
            uid: self.ingress(side, planned).map(|facts| facts.uid.clone()),
            identifier: planned.identifier(side).clone(),
            weight,
            stamp,
            after_source: false,
            keeps_weight: false,
            withheld: false,
            before_end: self.is_under_way(side, planned),
            replaces: replace::permitted(self, planned),
        }
    }

    /// Whether an Ingress carries our stamp, and not the last one.
    pub(super) fn is_under_way(&self, side: Side, planned: &PlannedIngress) -> bool {
        let stamp = self.ingress(side, planned).and_then(|facts| facts.stamp_of(&self.order.owner));
        stamp.is_some_and(|stamp| !stamp.direction.is_final())
    }

    /// Whether an Ingress of the plan carries our last stamp of a move.
    pub(super) fn is_marked_as_completed(&self) -> bool {
        let mut stamps = [Side::Source, Side::Target].into_iter().flat_map(|side| {
            self.ingresses().iter().filter_map(move |planned| self.ingress(side, planned)?.stamp_of(&self.order.owner))
        });
        stamps.any(|stamp| stamp.direction == Direction::Completed)
    }

    /// The writes that are still missing until every Ingress of a side has this weight, going forward.
    pub fn missing_writes(&self, side: Side, weight: Weight, direction: Direction) -> Vec<Effect> {
        self.ingresses()
            .iter()
            .map(|planned| self.write(side, planned, weight, self.stamp(direction)))
            .filter(|write| !self.is_seen(write))
            .map(Effect::WriteWeight)
            .collect()
    }

    /// The writes that take over Ingresses that are on the target already, at 0.
    pub fn present_targets_at_zero(&self) -> Vec<Effect> {
        let present = self.ingresses().iter().filter(|planned| self.ingress(Side::Target, planned).is_some());
        present
            .map(|planned| self.write(Side::Target, planned, Weight::ZERO, self.stamp(Direction::Forward)))
            .filter(|write| !self.is_seen(write))
            .map(Effect::WriteWeight)
            .collect()
    }

    /// Whether a write has been seen to be done.
    pub fn is_seen(&self, write: &WeightWrite) -> bool {
        self.view(write.side).ingresses.get(&write.ingress).is_some_and(|facts| permit::is_done(write, facts))
    }

    /// The weights of a side as last seen. An Ingress without a weight counts as none.
    pub fn weights(&self, side: Side) -> Vec<Weight> {
        self.ingresses().iter().filter_map(|planned| self.ingress(side, planned)?.weight()).collect()
    }

    /// The verdict on the target.
    pub fn target_verdict(&self) -> Verdict {
        self.observed.health.verdict(Side::Target)
    }

    /// Since when the current stage has run.
    pub fn stage_since(&self) -> Timestamp {
        self.status.stage_started_at.as_ref().map_or(self.now, |time| time.0)
    }

    /// A wait because one of the clusters cannot be used, if one cannot.
    pub fn cluster_trouble(&self) -> Option<Wait> {
        [Side::Source, Side::Target].into_iter().find_map(|side| self.side_trouble(side))
    }

    /// A wait because this cluster cannot be used, if it cannot.
    pub fn side_trouble(&self, side: Side) -> Option<Wait> {
        if let Some(wait) = pins::waits(self, side) {
            return Some(wait);
        }
        let view = self.view(side);
        let Some(reason) = view.reach.reason(side) else {
            return match &view.unwatchable {
                Some(why) if view.reach.is_reachable() => Some(unwatchable(side, why)),
                _ if view.reach.is_reachable() && view.synced => None,
                _ => {
                    let message = format!("The namespace {} on the {side} is being listed.", self.order.namespace);
                    Some(Wait::new(Reason::ConnectingToClusters, message))
                }
            };
        };
        let (pair, trouble) = (&self.order.pair, view.reach.trouble());
        let message = format!("The {side} cluster of ClusterPair {pair} {trouble}.{}", self.mistaken(side));
        let fix = if reason == Reason::WrongCluster { self.right_cluster(side) } else { self.connection_fix(side) };
        let wait = Wait::new(reason, message).unblocked_by(format!("{fix}{}", self.meanwhile()));
        let needs_a_person = [Reason::WrongCluster, Reason::ClusterRefused].contains(&reason);
        Some(if needs_a_person { wait.stalled() } else { wait })
    }

    /// What becomes of users meanwhile. Empty before anybody is moved.
    fn meanwhile(&self) -> &'static str {
        let is_moving = (Stage::WeightSource..=Stage::Bake).contains(&self.status.stage);
        if is_moving { " Weights stay meanwhile; what goes back is still written where a cluster answers." } else { "" }
    }

    fn connection_fix(&self, side: Side) -> String {
        if let Some(fix) = self.view(side).reach.fix() {
            return fix.to_owned();
        }
        let pair = &self.order.pair;
        format!("Mend the {side} cluster, or its connection in ClusterPair {pair}; it is tried again by itself.")
    }

    fn right_cluster(&self, side: Side) -> String {
        let (pair, expected) = (&self.order.pair, &self.order.rules(side).identity);
        if !self.mistaken(side).is_empty() {
            return format!(
                "Let the connection of the {side} in ClusterPair {pair} lead to the cluster with the identity {expected}."
            );
        }
        format!(
            "ClusterPair {pair} expects the identity {expected}: let its connection lead to that cluster, or mend spec.{side}.identity."
        )
    }

    /// What else is known about a cluster that is another one than the pair names. Empty when it is the right one.
    fn mistaken(&self, side: Side) -> String {
        let Reach::WrongCluster { found } = &self.view(side).reach else { return String::new() };
        if *found == self.order.rules(side.other()).identity {
            return format!(" That is the {}: both connections lead to the same cluster.", side.other());
        }
        String::new()
    }
}

/// What may not be watched cannot be known: nothing is decided on it.
fn unwatchable(side: Side, why: &str) -> Wait {
    let message = format!("The operator may not watch the namespace on the {side}: {why}.");
    let fix = format!(
        "Bind the ClusterRole namespace-migration-{side} of deploy/{side} to the operator's identity on the {side}."
    );
    Wait::new(Reason::ClusterRefused, message).unblocked_by(fix).stalled()
}

/// A time of status in microseconds.
pub fn micro(now: Timestamp) -> MicroTime {
    MicroTime(Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now))
}

/// A time of status in whole seconds.
pub fn seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// A text that begins a sentence.
pub fn sentence_case(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

/// The same to the next second, for people.
pub fn whole_seconds(span: SignedDuration) -> SignedDuration {
    let more = i64::from(span.subsec_nanos() > 0);
    SignedDuration::from_secs(span.as_secs().saturating_add(more))
}

/// A duration as people write it, exactly: `1h5m`, `90s` as `1m30s`, `250ms`.
pub fn words(span: SignedDuration) -> String {
    let millis = span.as_millis().max(0);
    let parts =
        [(millis / 3_600_000, "h"), (millis / 60_000 % 60, "m"), (millis / 1000 % 60, "s"), (millis % 1000, "ms")];
    let text: String = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::DurationText;

    #[test]
    fn a_duration_in_words_is_read_back_exactly() {
        for millis in [0, 1, 250, 1000, 61_000, 3_600_000, 3_630_250, 86_400_000] {
            let span = SignedDuration::from_millis(millis);
            assert_eq!(DurationText::from(words(span).as_str()).span(), Ok(span));
        }
    }
}
