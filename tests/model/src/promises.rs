//! The promises of the traffic protocol, as questions about a write, a saved status and a state.

use namespace_migration::api::Stage;
use namespace_migration::machine::Side;
use namespace_migration::machine::traffic::{Weight, target_share};

use crate::known::Known;
use crate::state::{Ingress, NAMES, State, at};

/// What external-dns may make of the other side meanwhile.
const ANY_WEIGHT: [u8; 5] = [0, 1, 50, 99, 100];

/// What our write that has just arrived breaks.
pub fn of_write(known: &Known, before: &State, after: &State, number: u32) -> Option<String> {
    let write = known.write(number);
    let (side, host) = (at(write.side), write.host);
    let name = format!("{} on the {}", NAMES[host], write.side);
    let (old, new) = (before.live[side][host], after.live[side][host]);
    if before.past.fenced[side][host] && !write.is_back() {
        return Some(format!("a write going forward arrives at {name} after a rollback has written it"));
    }
    // A creation has nothing that it must fit; its 0 beside the source's 100 moves nobody.
    if is_over(known, before) && old.there && old.weight != new.weight {
        return Some(format!("the weight of {name} is changed after the end"));
    }
    if write.is_back() {
        return raised_by_rollback(write.side, old, new).then(|| format!("a rollback raises the share at {name}"));
    }
    if before.past.crossed {
        return None;
    }
    let zeros = |state: &State| state.live.iter().all(|side| side[host].there && side[host].weight == Some(0));
    if zeros(after) && !zeros(before) {
        return Some(format!("two zeros are written: {name} gets 0 beside 0"));
    }
    let (had, has) = (written_share(before, host), written_share(after, host));
    let too_many = has > had && has > i32::from(write.approved);
    too_many.then(|| format!("{has} percent are written for {}, {} are approved", NAMES[host], write.approved))
}

/// Whatever the other external-dns has made of the other side, a rollback's write lowers the target's share or keeps it.
fn raised_by_rollback(side: Side, old: Ingress, new: Ingress) -> bool {
    let (Some(old), Some(new)) = (old.weight, new.weight) else { return false };
    ANY_WEIGHT.into_iter().any(|other| match side {
        Side::Source => share(new, other) > share(old, other),
        Side::Target => share(other, new) > share(other, old),
    })
}

fn share(source: u8, target: u8) -> i32 {
    let weight = |weight: u8| [Weight::percent(i32::from(weight))];
    target_share(&weight(source), &weight(target))
}

/// The target's share as written. A source without a weight is a simple record, and alone.
fn written_share(state: &State, host: usize) -> i32 {
    match state.live.map(|side| side[host].weight) {
        [Some(source), Some(target)] => share(source, target),
        _ => 0,
    }
}

/// Whether the attempt has ended and nobody has asked for anything since.
fn is_over(known: &Known, state: &State) -> bool {
    let undisturbed = !state.past.disturbed;
    known.has_ended(state.home) && undisturbed && !may_wake(known, state, state.home)
}

/// Whether a request for a rollback may wake an ended migration.
pub fn may_wake(known: &Known, state: &State, status: u32) -> bool {
    known.stage(status) == Stage::Completed && state.asked > 0
}

/// What a status says that is not so.
pub fn of_saved(known: &Known, state: &State) -> Option<String> {
    if state.past.disturbed {
        return None;
    }
    let hosts = || 0..known.setup.ingresses;
    let all = |source: Option<u8>, target: Option<u8>| {
        hosts().all(|host| state.live[0][host].weight == source && state.live[1][host].weight == target)
    };
    let untouched = hosts().all(|host| !state.live[0][host].identified);
    match known.stage(state.home) {
        Stage::RolledBack if !untouched && !is_back(known, state) => Some("RolledBack, but it is not back".into()),
        Stage::Completed if !all(Some(0), Some(100)) && !state.past.rolling() => {
            Some("Completed, but the weights are others".into())
        }
        _ => None,
    }
}

/// Whether the source has everything: 100 on it, 0 or nothing on the target, and DNS serves nobody else.
pub fn is_back(known: &Known, state: &State) -> bool {
    (0..known.setup.ingresses).all(|host| {
        let target = state.live[1][host].weight.is_none_or(|weight| weight == 0);
        source_is_raised(state, host) && target && state.served_share(host) == 0
    })
}

/// Whether the source has 100, or was never touched.
pub fn source_is_raised(state: &State, host: usize) -> bool {
    let source = &state.live[0][host];
    source.weight == Some(100) || !source.identified
}

/// What DNS serves that it must not. What somebody else has written is not ours to answer for here.
pub fn of_state(known: &Known, state: &State) -> Option<String> {
    if state.past.disturbed {
        return None;
    }
    (0..known.setup.ingresses).find_map(|host| {
        let (name, approved) = (NAMES[host], i32::from(state.past.approved));
        if state.serves_two_zeros(host) && !state.past.rolling() {
            return Some(format!("DNS serves two zeros at {name}, and nobody rolls back"));
        }
        let share = state.served_share(host);
        (share > approved).then(|| format!("DNS serves {share} percent at {name}, {approved} are approved"))
    })
}
