//! What name servers showed over time, from a journal. Pure.

use super::journal::{Entry, Served};
use super::record::{Kind, Target};
use super::records::Records;

/// The weights of a name and type as they were served, in the order of time; the first is what the zone began with.
pub(super) fn weights(first: &Records, journal: &[Entry], name: &str, kind: Kind) -> Vec<Served> {
    let mut records = first.clone();
    let mut history: Vec<Served> = Vec::new();
    let served = journal.iter().filter_map(|entry| Some((entry.insync()?, entry)));
    for (at, entry) in served {
        entry.changes.iter().for_each(|change| records.apply(change));
        let weights = group(&records, name, kind);
        let known = history.last().map(|last| last.weights.as_slice()).unwrap_or_default();
        if weights != known {
            history.push(Served { at, weights });
        }
    }
    history
}

/// Identifier and weight of each set of a name and type, by identifier.
pub(super) fn group(records: &Records, name: &str, kind: Kind) -> Vec<(String, Option<u8>)> {
    let sets = records.group(name, kind);
    sets.map(|set| (set.identifier.clone().unwrap_or_default(), set.routing.weight())).collect()
}

/// What a target is, in a line of text.
pub(super) fn shown(target: &Target) -> String {
    match target {
        Target::Values(values) => values.join(" "),
        Target::Alias { dns_name, .. } => format!("alias {dns_name}"),
    }
}
