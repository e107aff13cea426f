//! The promises of the traffic protocol, as questions about a write, a saved status and a state.

use std::ops::Range;

use namespace_migration::api::Stage;
use namespace_migration::machine::traffic::{Weight, target_share};
use namespace_migration::machine::{Effect, Side};

use crate::known::{Known, Write};
use crate::setup::Trouble;
use crate::state::{Flight, Ingress, NAMES, Shown, State, Unaware, at};
use crate::zone::wanted;

/// What external-dns may make of the other side meanwhile.
const ANY_WEIGHT: [u8; 5] = [0, 1, 50, 99, 100];

/// What our write that has just arrived breaks.
pub fn of_write(known: &Known, before: &State, after: &State, flight: Flight) -> Option<String> {
    let write = known.write(flight.write);
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
    let sent = (!flight.unaware.since_sent).then(|| of_weights(before, after, write)).flatten();
    sent.or_else(|| (!flight.unaware.since_decided).then(|| unlike_served(before, write, old, new)).flatten())
}

/// What a write breaks that is about to be sent: a rollback takes nothing from the target while the source is out of reach at 0.
pub fn of_sending(write: &Write, state: &State, unaware: Unaware) -> Option<String> {
    let Effect::WriteWeight(it) = &write.effect else { return None };
    let host = write.host;
    let gives = state.live[1][host].weight.is_some_and(|weight| i32::from(weight) > it.weight.get());
    let takes = write.is_back() && write.side == Side::Target && gives;
    let alone = !state.reach[0] && state.live[0][host].weight == Some(0);
    let broken = takes && alone && !unaware.since_decided;
    broken.then(|| format!("{} of the target is lowered beside a source at 0 that is out of reach", NAMES[host]))
}

/// What the weights on both sides break, where the live read before the write could see it.
fn of_weights(before: &State, after: &State, write: &Write) -> Option<String> {
    let host = write.host;
    let zeros = |state: &State| state.live.iter().all(|side| side[host].there && side[host].weight == Some(0));
    if zeros(after) && !zeros(before) {
        return Some(format!("two zeros are written: {} on the {} gets 0 beside 0", NAMES[host], write.side));
    }
    let (had, has) = (written_share(before, host), written_share(after, host));
    let too_many = has > had && has > i32::from(write.approved);
    too_many.then(|| format!("{has} percent are written for {}, {} are approved", NAMES[host], write.approved))
}

/// What DNS serves of the other side when a weight is written, where whoever decided could see it: a side gives only beside one that
/// is served as it is written, and the target is raised only beside a source that is served with enough.
fn unlike_served(before: &State, write: &Write, old: Ingress, new: Ingress) -> Option<String> {
    let (other, host) = (at(write.side.other()), write.host);
    let (beside, served) = (before.live[other][host], before.records[other][host].served);
    let (Some(old), Some(new)) = (old.weight, new.weight) else { return None };
    let receives = beside.identified && beside.weight.is_some_and(|weight| weight > 0);
    if new < old && receives && served != wanted(beside, true) {
        let giver = format!("{} on the {}", NAMES[host], write.side);
        return Some(format!("{giver} gives {old} to {new} before DNS shows who receives"));
    }
    if write.side == Side::Source || served == Shown::Simple || new <= old {
        return None;
    }
    let source = if let Shown::Weighted(weight) = served { Some(weight) } else { None };
    let with = |target: u8| source.map_or(100, |source| share(source, target));
    let too_many = with(new) > i32::from(write.approved) && with(new) > with(old);
    too_many.then(|| {
        format!("{} of the target is raised to {new} beside a source that DNS serves with {source:?}", NAMES[host])
    })
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

/// Whether the attempt has ended and nobody has asked for anything since. What somebody else makes of an ended migration's Ingress
/// is theirs.
fn is_over(known: &Known, state: &State) -> bool {
    known.has_ended(state.home) && !state.past.disturbed && !may_wake(known, state, state.home)
}

/// Whether a request for a rollback may wake an ended migration.
pub fn may_wake(known: &Known, state: &State, status: u32) -> bool {
    known.stage(status) == Stage::Completed && state.asked > 0
}

/// What a status that has just been saved says that is not so, as far as the process that saved it could know. `before` is the stage
/// of the one that it replaces: what happens after an end is not told by it.
pub fn of_saved(known: &Known, before: Stage, state: &State, unaware: Unaware) -> Option<String> {
    if unaware.since_decided || before == known.stage(state.home) {
        return None;
    }
    let ingresses = || 0..known.setup.ingresses;
    let untouched = ingresses().all(|host| !state.live[0][host].identified);
    let stage = known.stage(state.home);
    let goes_back = matches!(stage, Stage::RollingBack | Stage::RolledBack | Stage::Failed);
    if goes_back && state.asked == 0 && !state.past.excused && !known.setup.may(Trouble::Second) {
        return Some(format!("{stage}, and nothing has happened"));
    }
    match stage {
        Stage::RolledBack if !untouched && !is_back(known, state) => Some("RolledBack, but it is not back".into()),
        Stage::Completed if !state.past.rolling() => not_moved(known, state),
        _ => None,
    }
}

fn not_moved(known: &Known, state: &State) -> Option<String> {
    let all =
        |side: usize, weight: u8| (0..known.setup.ingresses).all(|host| state.live[side][host].weight == Some(weight));
    if !(all(0, 0) && all(1, 100)) {
        return Some("Completed, but the weights are others".into());
    }
    let share = known.setup.hosts().map(|host| state.served_share(host)).min().unwrap_or_default();
    (share < 100).then(|| format!("Completed, but DNS serves {share} percent"))
}

/// Whether the source has everything: 100 on it, 0 or nothing on the target, and DNS serves the source and nobody else.
pub fn is_back(known: &Known, state: &State) -> bool {
    let written = (0..known.setup.ingresses).all(|host| {
        let target = state.live[1][host].weight.is_none_or(|weight| weight == 0);
        source_is_raised(state, host) && target
    });
    written && known.setup.hosts().all(|host| state.served_share(host.clone()) == 0 && state.serves_source(host))
}

/// Whether the source has 100, or was never touched.
pub fn source_is_raised(state: &State, host: usize) -> bool {
    let source = &state.live[0][host];
    source.weight == Some(100) || !source.identified
}

/// Whether what somebody else has done is over: every Ingress is ours again, DNS serves what is written, and nobody is at work.
pub fn is_quiet(known: &Known, state: &State) -> bool {
    let ingresses = || [0, 1].into_iter().flat_map(|side| (0..known.setup.ingresses).map(move |host| (side, host)));
    let is_ours = |ingress: Ingress| !ingress.there || !ingress.identified || (ingress.ours && ingress.stamp.is_some());
    let is_served = |(side, host): (usize, usize)| {
        let (record, wanted) = (state.records[side][host], wanted(state.live[side][host], state.addressed[side]));
        record.listed == wanted && record.served == wanted
    };
    state.addressed == [true; 2]
        && state.readings == [None; 2]
        && state.flights == [None; 2]
        && state.processes.iter().flatten().all(|process| process.work.is_none())
        && ingresses().all(|(side, host)| is_ours(state.live[side][host]) && is_served((side, host)))
}

/// What DNS serves that it must not. What somebody else has made of it is not ours to answer for here.
pub fn of_state(known: &Known, state: &State) -> Option<String> {
    if state.past.disturbed {
        return None;
    }
    known.setup.hosts().find_map(|host| of_host(known, state, &host))
}

fn of_host(known: &Known, state: &State, host: &Range<usize>) -> Option<String> {
    let (name, approved) = (NAMES[host.start], i32::from(state.past.approved));
    if state.serves_two_zeros(host) && !state.past.rolling() {
        return Some(format!("DNS serves two zeros at {name}, and nobody rolls back"));
    }
    let share = state.served_share(host.clone());
    if share > approved {
        return Some(format!("DNS serves {share} percent at {name}, {approved} are approved"));
    }
    let status = known.status(state.home);
    let told = status.exposed_percent.unwrap_or(0);
    let hides = known.setup.tells && status.stage == Stage::RollingBack && share > told;
    hides.then(|| format!("DNS serves {share} percent at {name}, and status tells of {told}"))
}
