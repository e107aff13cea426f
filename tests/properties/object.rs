//! The migration object and the pair's leftovers in the fake world: held, deleted, released, paid, made anew.

use namespace_migration::api::status::NamespaceMigrationStatus;
use namespace_migration::machine::debt::{self, Other, Settlement, look, waits_for_source};
use namespace_migration::machine::permit::Live;
use namespace_migration::machine::{Effect, Side};
use serde_json::json;

use crate::executor::{Allowed, Bug, Faults, InFlight};
use crate::recording::Change;
use crate::world::World;

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

    /// The status is lost. A fence that somebody else took away as well is then known to nobody.
    pub fn lose_status(&mut self) {
        self.status = NamespaceMigrationStatus::default();
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
            Effect::Owe(_) if faults.bug == Some(Bug::ForgetsTheDebt) => {}
            Effect::Owe(new) => self.leftovers = debt::with(&self.leftovers, new),
            _ => self.strip_finalizer(),
        }
        true
    }

    /// A pass over the pair: sources first.
    pub fn pay(&mut self) {
        for side in [Side::Source, Side::Target] {
            for due in self.leftovers.clone() {
                if due.cluster() == side && !waits_for_source(&due, &self.leftovers) && self.settle_debt(&due.write()) {
                    self.leftovers.retain(|left| *left != due);
                }
            }
        }
    }

    /// Whether nothing is owed any more.
    fn settle_debt(&mut self, write: &namespace_migration::machine::effect::WeightWrite) -> bool {
        let (cluster, there) = (self.side(write.side), self.side(write.side.other()));
        if !cluster.reach.is_reachable() {
            return false;
        }
        let live = Live {
            identity: cluster.identity.clone(),
            namespace: cluster.namespace.clone(),
            ingress: cluster.ingresses.get(&write.ingress).cloned(),
            other: None,
        };
        let other = there.reach.is_reachable().then(|| there.ingresses.get(&write.ingress).cloned().map(Box::new));
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
