//! The deadline of a deletion: when the object goes at the latest, and what the `ClusterPair` owes from then on.

use jiff::{SignedDuration, Timestamp};

use super::by_hand;
use super::debt::Debts;
use super::effect::{Removal, WeightWrite};
use super::exposure;
use super::gate;
use super::observed::{IngressFacts, Side};
use super::pause;
use super::pins;
use super::run::{Run, seconds, words};
use super::stages::{self, is_rollback};
use crate::api::RemovalPolicy;
use crate::api::pair_status::{Leftover, LeftoverObject, LeftoverSide};

/// Whether the object goes now, whatever it still waits for.
pub(super) fn is_overdue(run: &Run<'_>) -> bool {
    latest(run).is_some_and(|latest| run.now >= latest)
}

/// When the object goes at the latest. Once users are back, what is left to do has as long again.
pub(super) fn latest(run: &Run<'_>) -> Option<Timestamp> {
    let asked_at = run.order.deletion.asked_at?;
    Some(asked_at.saturating_add(allowed(run)).unwrap_or(asked_at))
}

/// When it goes although nobody took note of what is left over: as long after the latest time again.
pub(super) fn end(run: &Run<'_>) -> Option<Timestamp> {
    let latest = latest(run)?;
    Some(latest.saturating_add(run.order.deletion.allowance).unwrap_or(latest))
}

/// Whether it waits for nothing any more.
pub(super) fn is_long_overdue(run: &Run<'_>) -> bool {
    end(run).is_some_and(|end| run.now >= end)
}

fn allowed(run: &Run<'_>) -> SignedDuration {
    let allowance = run.order.deletion.allowance;
    let users_are_back = is_rollback(run.status.stage) && stages::rollback_is_written(run);
    if users_are_back { allowance.saturating_add(allowance) } else { allowance }
}

/// What the rollback could not do in time, in words, and as the pair owes it from then on.
pub(super) fn left_over(run: &Run<'_>) -> (String, Debts) {
    let weights: Vec<_> = stages::rollback_owes(run).iter().map(|write| weight(run, write)).collect();
    let removals = removals(run);
    let objects: Vec<_> = removals.iter().map(|removal| object(run, removal)).collect();
    let allowance = words(allowed(run));
    let weights_told = match weights.len() {
        0 if stages::rollback_is_written(run) => {
            format!("The object is let go after {allowance}; no weight is left to be written.")
        }
        0 => format!("The object is let go after {allowance}; what it waited for is still so: {}", run.status.message),
        count if stages::rollback_is_written(run) => {
            format!(
                "The rollback was not over within {allowance}, but its weights are written: 100 on the source and 0 on the target.{} {}",
                dns_as_last_seen(run),
                stamps_owed(run, count)
            )
        }
        count => format!("The rollback was not over within {allowance}. {}", weights_owed(run, count)),
    };
    (format!("{weights_told}{}", objects_owed(run, &removals)), Debts { weights, objects })
}

/// The last word about what nobody took note of: whoever reads it has to do it.
pub(super) fn not_noted(run: &Run<'_>, debts: &Debts) -> String {
    let is_written = |left: &&Leftover| {
        let seen = run.view(left.cluster()).ingresses.get(&left.ingress).and_then(IngressFacts::weight);
        seen.is_some_and(|weight| weight.get() == left.weight)
    };
    // Beside a weight that is written, a stamp changes nothing for users.
    let weights: Vec<_> = debts.weights.iter().filter(|left| !is_written(left)).cloned().collect();
    let removals: Vec<_> = debts.objects.iter().map(|object| format!("{} {}", object.kind, object.name)).collect();
    let removals = match removals.join(", ") {
        names if names.is_empty() => names,
        names => format!(" Still to be removed from the target: {names}."),
    };
    format!(
        "The rollback was not over within {}, and ClusterPair {} has not taken note of what is left over for {} more. It is tried for \
         the last time now: what its status.leftovers does not name, nobody else will do.{}{removals}",
        words(allowed(run)),
        run.order.pair,
        words(run.order.deletion.allowance),
        by_hand::leftovers(&weights),
    )
}

/// What DNS makes of the written weights, and that nobody will look at it any more. Empty when it has followed.
fn dns_as_last_seen(run: &Run<'_>) -> String {
    let Some(wait) = stages::rollback_waits_for_dns(run) else { return String::new() };
    let sent = match gate::served_shares(run).max() {
        Some(_) => format!("DNS was last seen to send {} percent to the target", exposure::percent(run)),
        None => "It is not known what DNS sends to the target".to_owned(),
    };
    let waited = wait.message.trim_end_matches('.');
    format!(" {sent}: {waited}. Look at external-dns on both clusters: once this object is gone, nobody watches DNS.")
}

/// Beside weights that are written, a stamp changes nothing for users.
fn stamps_owed(run: &Run<'_>, count: usize) -> String {
    let (what, they) =
        if count == 1 { ("the last stamp goes", "it changes") } else { ("the last stamps go", "they change") };
    format!("Only {what} to status.leftovers of ClusterPair {}; {they} no weight.", run.order.pair)
}

fn weights_owed(run: &Run<'_>, count: usize) -> String {
    let pair = &run.order.pair;
    let (what, they) = if count == 1 {
        ("1 weight that is still to be written goes".to_owned(), "it is")
    } else {
        (format!("{count} weights that are still to be written go"), "they are")
    };
    format!("{what} to status.leftovers of ClusterPair {pair}; {they} written when the cluster is back.")
}

fn objects_owed(run: &Run<'_>, removals: &[Removal]) -> String {
    if removals.is_empty() {
        return String::new();
    }
    format!(
        " To status.leftoverObjects of ClusterPair {} goes what is still to be removed from the target: {}.",
        run.order.pair,
        Removal::names(removals)
    )
}

/// What we created and is to go. Where the source has lost an Ingress the target serves, and keeps everything.
fn removals(run: &Run<'_>) -> Vec<Removal> {
    if run.order.created_objects == RemovalPolicy::Keep || stages::gone_from_source(run).is_some() {
        return vec![];
    }
    stages::rollback_removals(run)
}

/// Why it could not be done in time, in one word and in a sentence.
fn why(run: &Run<'_>, side: Side) -> (String, String) {
    let reach = &run.view(side).reach;
    match reach.reason(side) {
        None => (run.status.reason.clone(), run.status.message.clone()),
        Some(reason) => (reason.as_str().to_owned(), format!("The {side} {}.", reach.trouble())),
    }
}

fn weight(run: &Run<'_>, write: &WeightWrite) -> Leftover {
    let (reason, why) = why(run, write.side);
    let there = pins::begun(run, write.side);
    Leftover {
        namespace: run.order.namespace.clone(),
        ingress: write.ingress.clone(),
        side: match write.side {
            Side::Source => LeftoverSide::Source,
            Side::Target => LeftoverSide::Target,
        },
        identity: there.identity,
        other_identity: pins::begun(run, write.side.other()).identity,
        annotation_prefix: there.annotation_prefix,
        identifier: write.identifier.clone(),
        weight: write.weight.get(),
        after_source: write.after_source,
        owner: write.stamp.owner.clone(),
        attempt: write.stamp.attempt,
        epoch: write.stamp.epoch,
        reason,
        why,
        since: seconds(run.now),
    }
}

fn object(run: &Run<'_>, removal: &Removal) -> LeftoverObject {
    let settle = run.order.dns.settle_time();
    let written = run.status.written_since.as_ref().filter(|_| stages::rollback_is_written(run));
    let (reason, why) = why(run, Side::Target);
    let there = pins::begun(run, Side::Target);
    LeftoverObject {
        namespace: run.order.namespace.clone(),
        kind: removal.kind.as_str().to_owned(),
        name: removal.name.clone(),
        identity: there.identity,
        other_identity: pins::begun(run, Side::Source).identity,
        annotation_prefix: there.annotation_prefix,
        uid: removal.uid.clone(),
        owner: run.order.owner.clone(),
        epoch: run.status.epoch,
        ingresses: run.ingresses().iter().map(|planned| planned.name.clone()).collect(),
        settle: words(settle),
        removable_from: written.and_then(|since| since.0.saturating_add(settle).ok()).map(seconds),
        reason,
        why,
        since: seconds(run.now),
    }
}

/// What a freeze lets go without its fence, and what that means. None when every fence stands.
pub(super) fn missing_fences(run: &Run<'_>) -> Option<String> {
    let sides = [Side::Source, Side::Target].map(|side| (side, pause::missing_fences(run, side)));
    let open: Vec<_> = sides.into_iter().filter(|(_, names)| !names.is_empty()).collect();
    if open.is_empty() {
        return None;
    }
    let named = open.iter().map(|(side, names)| {
        let trouble = run.view(*side).reach.trouble();
        let why = if trouble.is_empty() { String::new() } else { format!(", which {trouble}") };
        format!("Ingress {} on the {side}{why}", names.join(", "))
    });
    let sides: Vec<_> = open.iter().map(|(side, _)| side.name()).collect();
    Some(format!(
        "Without the new stamp: {}. When the {} is back, nothing is written there: the weight is the one of before, under a stamp \
         that does not refuse a write which this migration had sent before. Compare it then; a migration of the same name goes on \
         from it.",
        named.collect::<Vec<_>>().join("; "),
        sides.join(" or the ")
    ))
}
