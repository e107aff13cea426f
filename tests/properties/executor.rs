//! Carries out effects exactly as the operator's executor does, and in every wrong way that a network or a crash can think of.

use namespace_migration::api::FIELD_MANAGER;
use namespace_migration::machine::effect::{IngressCreation, RemovableKind, Removal, WeightWrite};
use namespace_migration::machine::observed::{IngressFacts, SecretFacts};
use namespace_migration::machine::permit::{Live, Permit, permit, permit_creation};
use namespace_migration::machine::traffic::Weight;
use namespace_migration::machine::{Decision, Effect, Side};

use crate::recording::{Change, Write, allowed_share};
use crate::world::World;

/// What goes wrong in one pass.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The observation is this many changes old.
    pub stale: usize,
    /// The process dies before this effect.
    pub crash_before: Option<usize>,
    /// The process dies after this effect.
    pub crash_after: Option<usize>,
    /// The process dies after its effects, before it has saved the status.
    pub crash_before_save: bool,
    /// The answer to this effect's request does not come; the request arrives later, or never.
    pub delay: Option<usize>,
    /// A mistake of the executor, planted to show that the checker sees it.
    pub bug: Option<Bug>,
}

/// Mistakes that the checker must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Nothing is read before a write.
    NoPermit,
    /// The target gets everything at once.
    RaisesTooFar,
    /// Rollback writes to the target are forgotten, but reported as done.
    ForgetsTheTarget,
    /// What is left over of a deleted migration is not noted.
    ForgetsTheDebt,
    /// A fence raises the target.
    IgnoresThePause,
    /// The target is lowered while the source, which is at 0, could not be raised.
    IgnoresTheOrder,
    /// Of DNS only the A records are looked at.
    LooksAtOneKind,
}

/// What a write may do, as of when it was decided.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed {
    /// The target's share in percent.
    share: i32,
    paused: bool,
}

/// A request that was sent and has not arrived.
#[derive(Clone, Debug)]
pub struct InFlight {
    pub write: WeightWrite,
    pub uid: String,
    pub resource_version: String,
    pub allowed: Allowed,
}

impl World {
    /// Carries out the effects of a decision. True when the process died.
    pub fn execute(&mut self, decision: &Decision, faults: &Faults) -> bool {
        let allowed = Allowed {
            share: allowed_share(&decision.status, self.order.up_to.get()),
            paused: !self.order.controls.pauses.is_empty(),
        };
        let (mut failed, mut source_failed, mut source_raised) = (false, false, false);
        for (index, effect) in decision.effects.iter().enumerate() {
            if faults.crash_before == Some(index) {
                return true;
            }
            let skipped = match effect {
                Effect::WriteWeight(write) if effect.is_rollback() => {
                    write.after_source && source_failed && faults.bug != Some(Bug::IgnoresTheOrder)
                }
                // What could not be noted must not be let go, unless it was tried for long enough.
                Effect::Release => failed,
                Effect::ReleaseAnyway => failed && !self.failed_before,
                _ => !effect.stands_alone() && failed,
            };
            let effect = &after_source(effect, source_raised && !source_failed);
            let is_of_source = effect.side() == Some(Side::Source);
            let done = !skipped && self.carry_out(effect, faults, faults.delay == Some(index), allowed);
            source_raised |= done && is_of_source && effect.is_rollback();
            failed |= !done && !skipped;
            source_failed |= !done && !skipped && is_of_source;
            if faults.crash_after == Some(index) {
                return true;
            }
        }
        self.failed_before = failed;
        false
    }

    /// Whether the effect is done. A request without an answer has failed, whatever becomes of it.
    fn carry_out(&mut self, effect: &Effect, faults: &Faults, delayed: bool, allowed: Allowed) -> bool {
        if effect.side().is_some_and(|side| !self.side(side).answers()) {
            return false;
        }
        match effect {
            Effect::Hold | Effect::Owe(_) | Effect::Release | Effect::ReleaseAnyway => {
                self.change_object(effect, faults)
            }
            Effect::WriteWeight(write) => self.write_weight(write, faults, delayed, allowed),
            Effect::CreateIngress(creation) => self.create_ingress(creation, allowed),
            Effect::CreateSecret { name } => self.create_secret(name, allowed),
            Effect::Remove(removal) => self.remove(removal),
        }
    }

    fn write_weight(&mut self, write: &WeightWrite, faults: &Faults, delayed: bool, allowed: Allowed) -> bool {
        let back = write.stamp.direction.is_back();
        if !back && !write.keeps_weight && !self.side(write.side.other()).reach.is_reachable() {
            return false;
        }
        let mut write = write.clone();
        match faults.bug {
            Some(Bug::ForgetsTheTarget) if back && write.side == Side::Target => return true,
            // Decided before it was paused, and never looked at again.
            Some(Bug::IgnoresThePause) if write.keeps_weight && write.side == Side::Target => {
                write.weight = Weight::FULL;
                write.keeps_weight = false;
            }
            Some(Bug::RaisesTooFar) if !back && write.side == Side::Target && !write.is_claim() => {
                write.weight = Weight::FULL;
            }
            _ => {}
        }
        let live = self.live(&write);
        let permitted = match permit(&write, &self.order.rules(write.side).identity, &live) {
            Permit::AlreadyDone => return true,
            Permit::Refused(_) if faults.bug != Some(Bug::NoPermit) => return false,
            Permit::Write { uid, resource_version } => (uid, resource_version),
            Permit::Refused(_) => match live.ingress {
                Some(facts) => (facts.uid, facts.resource_version),
                None => return false,
            },
        };
        let write = write.beside(self.side(write.side).ingresses.get(&write.ingress));
        let sent = InFlight { write, uid: permitted.0, resource_version: permitted.1, allowed };
        if delayed {
            self.in_flight.push(sent);
            return false;
        }
        self.land(&sent, false)
    }

    fn live(&self, write: &WeightWrite) -> Live {
        let cluster = self.side(write.side);
        let other = (!write.stamp.direction.is_back() && !write.keeps_weight)
            .then(|| self.side(write.side.other()).ingresses.get(&write.ingress).cloned())
            .flatten();
        Live {
            identity: cluster.identity.clone(),
            namespace: cluster.namespace.clone(),
            ingress: cluster.ingresses.get(&write.ingress).cloned(),
            other,
        }
    }

    /// The request arrives. The API server has the last word: uid and resourceVersion must still be what they were.
    pub fn land(&mut self, sent: &InFlight, without_precondition: bool) -> bool {
        let write = &sent.write;
        let Some(facts) = self.side(write.side).ingresses.get(&write.ingress) else { return false };
        let unchanged = facts.uid == sent.uid && facts.resource_version == sent.resource_version;
        if !unchanged && !without_precondition {
            return false;
        }
        let before = facts.weight().map(Weight::get);
        self.snapshot();
        let (version, now) = (self.next(""), self.now);
        let facts = self.ingress_mut(write.side, &write.ingress);
        (facts.resource_version, facts.weight_written) = (version, Some(now));
        facts.weight_text = Some(write.weight.to_string());
        facts.identifier = Some(write.identifier.clone());
        facts.stamp = Some(write.stamp.clone());
        facts.withheld = write.withheld;
        facts.weight_managers = [FIELD_MANAGER.to_owned()].into();
        let change = Change::Weight { side: write.side, before, after: write.weight.get(), stamp: write.stamp.clone() };
        self.record(&write.ingress, change, true, sent.allowed);
        true
    }

    fn create_ingress(&mut self, creation: &IngressCreation, allowed: Allowed) -> bool {
        let usable = self.target.namespace.as_ref().is_some_and(|namespace| !namespace.terminating);
        let Some(source) = self.source.ingresses.get(&creation.name).cloned() else { return false };
        let readable = self.source.reach.is_reachable();
        let permitted = permit_creation(creation, &source).is_ok();
        if !usable || !readable || !permitted || self.target.ingresses.contains_key(&creation.name) {
            return false;
        }
        self.snapshot();
        let made = IngressFacts {
            uid: self.next("uid"),
            resource_version: self.next(""),
            identifier: Some(creation.identifier.clone()),
            weight_text: Some("0".into()),
            stamp: Some(creation.stamp.clone()),
            weight_managers: [FIELD_MANAGER.to_owned()].into(),
            created_by: Some(self.order.owner_label()),
            annotated_hosts: [].into(),
            addresses: [].into(),
            deployed_by: None,
            ..source
        };
        self.target.ingresses.insert(creation.name.clone(), made);
        self.record(&creation.name, Change::Created { kind: "Ingress" }, true, allowed);
        true
    }

    fn create_secret(&mut self, name: &str, allowed: Allowed) -> bool {
        let Some(source) = self.source.secrets.get(name).cloned() else { return false };
        if self.target.secrets.contains_key(name) || !self.source.reach.is_reachable() {
            return false;
        }
        let uid = self.next("uid");
        let made = SecretFacts { uid, created_by: Some(self.order.owner_label()), ..source };
        self.target.secrets.insert(name.to_owned(), made);
        self.record(name, Change::Created { kind: "Secret" }, true, allowed);
        true
    }

    /// Whether it is gone, or was never there.
    pub fn remove(&mut self, removal: &Removal) -> bool {
        let (name, target) = (&removal.name, &self.target);
        let found = match removal.kind {
            RemovableKind::Ingress => target.ingresses.get(name).map(|facts| (&facts.uid, &facts.created_by)),
            RemovableKind::Secret => target.secrets.get(name).map(|facts| (&facts.uid, &facts.created_by)),
        };
        if found != Some((&removal.uid, &Some(self.order.owner_label()))) {
            return found.is_none();
        }
        self.snapshot();
        match removal.kind {
            RemovableKind::Ingress => drop(self.target.ingresses.remove(name)),
            RemovableKind::Secret => drop(self.target.secrets.remove(name)),
        }
        self.record(name, Change::Removed { kind: removal.kind.as_str() }, true, Allowed::default());
        true
    }

    /// Somebody else writes a weight; with `strip`, all annotations are replaced, as a pipeline does.
    pub fn foreign_weight(&mut self, side: Side, name: &str, weight: i32, strip: bool) {
        self.foreign_weight_by("helm", side, name, weight, strip);
    }

    /// The same by this field manager.
    pub fn foreign_weight_by(&mut self, writer: &str, side: Side, name: &str, weight: i32, strip: bool) {
        if !self.side(side).ingresses.contains_key(name) {
            return;
        }
        self.snapshot();
        let (version, now) = (self.next(""), self.now);
        let facts = self.ingress_mut(side, name);
        (facts.resource_version, facts.weight_written) = (version, Some(now));
        facts.weight_managers = [writer.to_owned()].into();
        if strip {
            (facts.stamp, facts.identifier, facts.weight_text) = (None, None, None);
            facts.weight_managers.clear();
        } else {
            facts.weight_text = Some(weight.to_string());
        }
        self.record(name, Change::Foreign { side }, false, Allowed::default());
    }

    /// A pipeline deletes an Ingress and makes it anew, without any annotation of ours.
    pub fn recreate(&mut self, side: Side, name: &str) {
        let Some(facts) = self.side(side).ingresses.get(name) else { return };
        let host = facts.hosts.first().unwrap().clone();
        let addresses = side.pick(&self.source_addresses, &self.target_addresses).clone();
        self.snapshot();
        self.add_ingress(side, name, &host);
        self.ingress_mut(side, name).addresses = addresses;
        self.record(name, Change::Recreated, false, Allowed::default());
    }

    /// A person does what status tells to do about a contest: gives identifier and weight back.
    pub fn obey(&mut self) {
        let words: Vec<String> = self.status.unblock.split_whitespace().map(str::to_owned).collect();
        let Some(name) = words.iter().position(|word| word == "ingress").and_then(|at| words.get(at + 1)) else {
            return;
        };
        let side = if self.status.unblock.contains("alpha") { Side::Source } else { Side::Target };
        let value = |key: &str| words.iter().find_map(|word| Some(word.split_once(key)?.1.to_owned()));
        let (identifier, weight) = (value("set-identifier="), value("aws-weight="));
        self.snapshot();
        let (version, now) = (self.next(""), self.now);
        let Some(facts) = self.side_mut(side).ingresses.get_mut(name) else { return };
        (facts.resource_version, facts.weight_written) = (version, Some(now));
        facts.weight_managers = ["kubectl-annotate".to_owned()].into();
        (facts.identifier, facts.weight_text) = (identifier, weight);
        self.record(name, Change::Foreign { side }, false, Allowed::default());
    }

    /// To be called after the change, which was preceded by a snapshot.
    pub fn record(&mut self, name: &str, change: Change, ours: bool, allowed: Allowed) {
        let weights = (self.source.weighted(name), self.target.weighted(name));
        let before = self.weights_before(name);
        let receiver_served = match &change {
            Change::Weight { side, .. } => self.receiver_is_served(*side, name),
            _ => true,
        };
        self.writes.push(Write {
            at: self.now,
            name: name.to_owned(),
            change,
            ours,
            allowed: allowed.share,
            paused: allowed.paused,
            before,
            weights,
            receiver_served,
        });
    }
}

/// The source has its 100 by now: the target's write need not wait for it.
fn after_source(effect: &Effect, source_raised: bool) -> Effect {
    match effect {
        Effect::WriteWeight(write) if source_raised && write.side == Side::Target => {
            Effect::WriteWeight(WeightWrite { after_source: true, ..write.clone() })
        }
        other => other.clone(),
    }
}
