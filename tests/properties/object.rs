//! The migration object and the pair's leftovers in the fake world: held, deleted, released, paid, made anew.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use namespace_migration::api::LeftoverObject;
use namespace_migration::api::status::NamespaceMigrationStatus;
use namespace_migration::machine::debt::removal::{self, When};
use namespace_migration::machine::debt::{Other, Settlement, look, misdirected, waits_for_source};
use namespace_migration::machine::permit::Live;
use namespace_migration::machine::{Effect, Side};
use serde_json::json;

use crate::executor::{Allowed, Bug, Faults, InFlight};
use crate::recording::Change;
use crate::world::{SETTLE, World};

impl World {
    /// Somebody deletes the object. Without our finalizer it is gone.
    pub fn delete(&mut self) {
        self.order.deletion.asked_at.get_or_insert(self.now);
        self.gone |= !self.order.deletion.held;
    }

    /// Somebody takes our finalizer away.
    pub fn strip_finalizer(&mut self) {
        self.order.deletion.held = false;
        self.gone |= self.order.deletion.is_asked();
    }

    /// Somebody creates an object of the same name.
    pub fn create_anew(&mut self) {
        if self.gone {
            (self.order.deletion.asked_at, self.order.deletion.held, self.gone) = (None, false, false);
            self.lose_status();
            self.edit(&json!({"deletionPolicy": "Rollback"}));
            self.restart();
        }
    }

    /// The status is lost.
    pub fn lose_status(&mut self) {
        self.status = NamespaceMigrationStatus::default();
        self.forget_fences();
    }

    /// While the status is lost, a fence that somebody else took away is known to nobody.
    pub fn forget_fences(&mut self) {
        if self.status.attempt > 0 {
            return;
        }
        let unfenced = self.target.ingresses.iter().filter(|(_, facts)| facts.stamp.is_none());
        let unfenced: Vec<_> = unfenced.map(|(name, _)| name.clone()).collect();
        for name in unfenced {
            self.record(&name, Change::Recreated, false, Allowed::default());
        }
    }

    /// An effect on the home cluster.
    pub fn change_object(&mut self, effect: &Effect, faults: &Faults) -> bool {
        match effect {
            Effect::Hold if self.order.deletion.is_asked() => return false,
            Effect::Hold => self.order.deletion.held = true,
            Effect::Owe(_) if self.pair_refuses => return false,
            Effect::Owe(_) if faults.bug == Some(Bug::ForgetsTheDebt) => {}
            Effect::Owe(new) => {
                self.debts = self.debts.with(new);
                self.reorder();
            }
            _ => self.strip_finalizer(),
        }
        true
    }

    /// A pass over the pair: sources first.
    pub fn pay(&mut self) {
        for side in [Side::Source, Side::Target] {
            for due in self.debts.weights.clone() {
                let waits = due.cluster() != side || waits_for_source(&due, &self.debts.weights);
                let waits = waits || misdirected(&due, "old-to-new", self.order.rules(side)).is_some();
                if !waits && self.settle_debt(&due.write()) {
                    self.debts.weights.retain(|left| *left != due);
                }
            }
        }
        for due in self.debts.objects.clone() {
            match removal::when(&due, &self.debts.weights, self.now) {
                When::Now if self.settle_removal(&due) => self.debts.objects.retain(|left| *left != due),
                When::Settles(at) => self.settles(&due, at),
                _ => {}
            }
        }
        self.reorder();
    }

    /// Passes over the pair and time, until nothing can be paid any more.
    pub fn pay_all(&mut self) {
        for _ in 0..5 {
            self.pay();
            self.advance(SETTLE);
        }
    }

    fn settles(&mut self, due: &LeftoverObject, at: Timestamp) {
        for known in self.debts.objects.iter_mut().filter(|known| *known == due) {
            known.removable_from = Some(Time(at));
        }
    }

    /// Whether nothing is owed any more.
    fn settle_removal(&mut self, debt: &LeftoverObject) -> bool {
        if !self.target.answers() || misdirected(debt, "old-to-new", &self.order.target).is_some() {
            return false;
        }
        let world = &*self;
        let sides = [Side::Target, Side::Source].into_iter().filter(|side| world.side(*side).answers());
        let live = sides.flat_map(|side| {
            let seen = move |name: &String| world.side(side).ingresses.get_key_value(name);
            debt.ingresses.iter().filter_map(seen).map(move |(name, facts)| (side, name.as_str(), facts))
        });
        if removal::cancelled(debt, live).is_none() {
            // What is not the very object that was made is left alone, and not owed any more.
            self.remove(&debt.removal().unwrap());
        }
        true
    }

    /// Whether nothing is owed any more.
    fn settle_debt(&mut self, write: &namespace_migration::machine::effect::WeightWrite) -> bool {
        let (cluster, there) = (self.side(write.side), self.side(write.side.other()));
        if !cluster.answers() {
            return false;
        }
        let live = Live {
            identity: cluster.identity.clone(),
            namespace: cluster.namespace.clone(),
            ingress: cluster.ingresses.get(&write.ingress).cloned(),
            other: None,
        };
        let other = there.answers().then(|| there.ingresses.get(&write.ingress).cloned().map(Box::new));
        let identity = self.order.rules(write.side).identity.clone();
        match look(write, &identity, &live, &other.map_or(Other::Unknown, Other::Seen)) {
            Ok((uid, resource_version)) => {
                let sent = InFlight { write: write.clone(), uid, resource_version, allowed: Allowed::default() };
                self.land(&sent, false)
            }
            Err(settlement) => !matches!(settlement, Settlement::Waits { .. }),
        }
    }
}
