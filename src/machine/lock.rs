//! The lock on namespaces and hosts: of two migrations that claim the same one, the second waits until the first has ended.
//!
//! The ledger knows the claims of one operator's migrations. Whoever has begun keeps what it holds; among the others the
//! oldest comes first. So nobody who holds waits, whoever waits does so for a holder or for somebody older, and no two wait
//! for each other. Across operators the stamps on the Ingresses are the lock (`stages::pending`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Namespace and name of a migration.
pub type Object = (String, String);

/// What only one migration at a time may move.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    /// A namespace of one cluster.
    Namespace {
        /// UID of the cluster's `kube-system` namespace.
        cluster: String,
        /// The namespace.
        namespace: String,
    },
    /// A host: DNS has it once, whatever the clusters.
    Host(String),
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace { namespace, .. } => write!(f, "The namespace {namespace}"),
            Self::Host(host) => write!(f, "The host {host}"),
        }
    }
}

/// What one migration claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Namespace and name of the migration.
    pub object: Object,
    /// When it was created, in seconds, and its UID: the lower comes first.
    pub age: (i64, String),
    /// The namespace in both clusters, and every host that is known so far.
    pub things: BTreeSet<Thing>,
    /// Whether it may have changed something already: then it holds what it claims.
    pub begun: bool,
}

/// Who stands in front of a migration, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The other migration, as namespace/name.
    pub migration: String,
    /// What both claim.
    pub thing: Thing,
}

/// What a claim leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Who stands in front. None: everything that is claimed is held.
    pub in_front: Option<Holder>,
    /// Migrations that may go on now.
    pub look_again: BTreeSet<Object>,
}

/// The claims of all migrations that have not ended.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<Object, Entry>,
    /// Who claims a thing.
    claimants: BTreeMap<Thing, BTreeSet<Object>>,
}

#[derive(Clone, Debug)]
struct Entry {
    claim: Claim,
    holds: bool,
}

impl Ledger {
    /// Enters a claim, or renews it. It holds all that it claims until it is released, or nothing.
    pub fn claim(&mut self, claim: Claim) -> Answer {
        let held = self.entries.get(&claim.object).is_some_and(|old| old.holds && old.claim.age == claim.age);
        let (object, begun) = (claim.object.clone(), claim.begun);
        let mut look_again = self.enter(Entry { claim, holds: false });
        let in_front = if begun { None } else { self.in_front(&object, held) };
        let holds = in_front.is_none();
        if let Some(entry) = self.entries.get_mut(&object) {
            entry.holds = holds;
        }
        if held && !holds {
            look_again.extend(self.rivals(&object).map(|(_, other)| other.claim.object.clone()));
        }
        Answer { in_front, look_again }
    }

    /// Takes a claim out. Returns the migrations that claim one of its things, for a new look.
    pub fn release(&mut self, object: &Object) -> BTreeSet<Object> {
        let Some(entry) = self.entries.remove(object) else { return BTreeSet::new() };
        entry.claim.things.iter().flat_map(|thing| self.leave(thing, object)).collect()
    }

    /// Puts the entry in place of the old one. Returns who claims what it does not claim any more.
    fn enter(&mut self, entry: Entry) -> BTreeSet<Object> {
        let (object, things) = (entry.claim.object.clone(), entry.claim.things.clone());
        let old = self.entries.insert(object.clone(), entry).map(|old| old.claim.things).unwrap_or_default();
        for new in things.difference(&old) {
            self.claimants.entry(new.clone()).or_default().insert(object.clone());
        }
        old.difference(&things).flat_map(|gone| self.leave(gone, &object)).collect()
    }

    /// Takes a claimant off a thing and returns the others.
    fn leave(&mut self, thing: &Thing, object: &Object) -> BTreeSet<Object> {
        let Some(claimants) = self.claimants.get_mut(thing) else { return BTreeSet::new() };
        claimants.remove(object);
        if !claimants.is_empty() {
            return claimants.clone();
        }
        self.claimants.remove(thing);
        BTreeSet::new()
    }

    /// Who holds what this one claims, or has waited longer for it. One that holds gives way to holders alone.
    fn in_front(&self, object: &Object, held: bool) -> Option<Holder> {
        let mine = &self.entries.get(object)?.claim.age;
        let first = self.rivals(object).filter(|(_, other)| other.holds || (!held && other.claim.age < *mine));
        let (thing, other) = first.min_by_key(|(_, other)| (!other.holds, other.claim.age.clone()))?;
        let (namespace, name) = &other.claim.object;
        Some(Holder { migration: format!("{namespace}/{name}"), thing: thing.clone() })
    }

    /// Everybody else who claims one of its things.
    fn rivals(&self, object: &Object) -> impl Iterator<Item = (&Thing, &Entry)> {
        let things = self.entries.get(object).into_iter().flat_map(|entry| &entry.claim.things);
        things.flat_map(move |thing| {
            let others = self.claimants.get(thing).into_iter().flatten().filter(move |other| *other != object);
            others.filter_map(move |other| Some((thing, self.entries.get(other)?)))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(number: usize, things: impl IntoIterator<Item = usize>) -> Claim {
        let host = |thing| Thing::Host(format!("{thing}.example"));
        Claim {
            object: ("team".into(), number.to_string()),
            age: (i64::try_from(number).unwrap(), String::new()),
            things: things.into_iter().map(host).collect(),
            begun: false,
        }
    }

    #[test]
    fn the_second_waits_for_the_first_by_name_and_goes_on_when_it_is_released() {
        let mut ledger = Ledger::default();
        let (first, second) = (claim(2, [1, 2]), claim(1, [2, 3]));
        assert_eq!(in_front(&mut ledger, &first), None);
        let holder = in_front(&mut ledger, &second).unwrap();
        assert_eq!((holder.migration.as_str(), holder.thing.to_string().as_str()), ("team/2", "The host 2.example"));
        assert_eq!(in_front(&mut ledger, &first), None, "a holder waits");
        assert_eq!(ledger.release(&first.object), [second.object.clone()].into());
        assert_eq!(in_front(&mut ledger, &second), None);
    }

    #[test]
    fn among_those_that_wait_the_oldest_comes_first() {
        let mut ledger = Ledger::default();
        let (holder, older, younger) = (claim(9, [1]), claim(1, [1, 2]), claim(2, [2]));
        assert_eq!(in_front(&mut ledger, &holder), None);
        assert!(in_front(&mut ledger, &older).is_some());
        assert_eq!(in_front(&mut ledger, &younger).unwrap().migration, "team/1");
        ledger.release(&holder.object);
        assert!(in_front(&mut ledger, &younger).is_some());
        assert_eq!(in_front(&mut ledger, &older), None);
    }

    #[test]
    fn one_that_is_created_anew_stands_at_the_end_of_the_line() {
        let mut ledger = Ledger::default();
        assert_eq!(in_front(&mut ledger, &claim(1, [1])), None);
        assert!(in_front(&mut ledger, &claim(2, [1])).is_some());
        let again = Claim { age: (3, String::new()), ..claim(1, [1]) };
        assert_eq!(in_front(&mut ledger, &again).unwrap().migration, "team/2");
    }

    fn in_front(ledger: &mut Ledger, claim: &Claim) -> Option<Holder> {
        ledger.claim(claim.clone()).in_front
    }

    #[test]
    fn a_holder_whose_new_host_is_held_by_another_gives_all_up_and_wakes_who_waits() {
        let mut ledger = Ledger::default();
        assert_eq!(in_front(&mut ledger, &claim(1, [1])), None);
        assert_eq!(in_front(&mut ledger, &claim(2, [2])), None);
        assert!(in_front(&mut ledger, &claim(3, [2])).is_some());
        let answer = ledger.claim(claim(2, [1, 2]));
        assert_eq!(answer.in_front.unwrap().migration, "team/1");
        assert_eq!(answer.look_again, [claim(1, []).object, claim(3, []).object].into());
    }

    fn conflicts(ledger: &Ledger) -> bool {
        let holders = ledger.entries.values().filter(|entry| entry.holds);
        let things: Vec<_> = holders.flat_map(|entry| &entry.claim.things).collect();
        things.iter().collect::<BTreeSet<_>>().len() != things.len()
    }

    proptest! {
        /// Whatever comes and goes in whatever order: nothing is held twice, and somebody can always go on.
        #[test]
        fn nothing_is_held_twice_and_nobody_waits_for_ever(
            steps in prop::collection::vec((0_usize..6, prop::collection::btree_set(0_usize..5, 1..4), any::<bool>()), 1..60)
        ) {
            let mut ledger = Ledger::default();
            let mut claims = BTreeMap::new();
            for (number, things, ends) in steps {
                if ends {
                    claims.remove(&number);
                    ledger.release(&claim(number, []).object);
                } else {
                    let claim = claim(number, things);
                    ledger.claim(claim.clone());
                    claims.insert(number, claim);
                }
                prop_assert!(!conflicts(&ledger));
            }
            while !claims.is_empty() {
                let free = claims.iter().find(|(_, claim)| ledger.claim((*claim).clone()).in_front.is_none());
                let number = free.map(|(number, _)| *number);
                prop_assert!(number.is_some(), "all wait: {:?}", ledger.entries);
                ledger.release(&claim(number.unwrap(), []).object);
                claims.remove(&number.unwrap());
            }
            prop_assert!(ledger.entries.is_empty() && ledger.claimants.is_empty());
        }
    }
}
