//! `RollingBack` ("how to roll back"): source 100, then target 0, at once and without waiting for DNS.
//!
//! It never needs the target: nothing of it stands before the source's write. Every write carries a new epoch, even where
//! the weight is right already, so that older writes in flight fail. It ends when both fences have been read back and DNS
//! has had its time; then the final stamps, and, if the spec says so, what we created on the target goes away.

use jiff::{SignedDuration, Timestamp};

use super::super::alone;
use super::super::contest;
use super::super::effect::{Effect, RemovableKind, Removal, WeightWrite};
use super::super::exposure;
use super::super::gate::{self, Goal};
use super::super::observed::{IngressFacts, SecretPresence, Side};
use super::super::reason::Reason;
use super::super::run::{Memo, Move, Run, Wait};
use super::super::stamp::Direction;
use super::super::traffic::Weight;
use crate::api::Stage;
use crate::api::namespace_migration::RemovalPolicy;
use crate::api::status::{PlannedIngress, StepPhase};

/// Longest pause between two answers to somebody who writes against a rollback: users may be on the sick side meanwhile.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(10);

pub(super) fn visit(run: &Run<'_>) -> Move {
    let source = unfenced(run, Side::Source);
    let target = unfenced(run, Side::Target);
    let gone = gone_from_source(run);
    if source.is_empty() && target.is_empty() && gone.is_none() {
        return fenced(run);
    }
    let is_seen = |side: Side, writes: &[WeightWrite]| !writes.is_empty() && run.view(side).reach.repointed().is_none();
    let undone = gone.is_some() || is_seen(Side::Source, &source) || is_seen(Side::Target, &target);
    if run.status.written_since.is_some() && undone {
        // Somebody undid what was written: DNS has to follow anew.
        return Move::Remember(Memo::Undone);
    }
    if let Some(wait) = pauses(run) {
        return wait.into();
    }
    let wait = gone.or_else(|| contested(run)).unwrap_or_else(|| waits_for_fences(run, &source, &target));
    Move::Act { effects: in_order(run, source, target), wait }
}

/// Both fences have been read back: DNS has its time, then what we created goes if it is to go, then the final stamps.
fn fenced(run: &Run<'_>) -> Move {
    let Some(written) = &run.status.written_since else { return Move::Remember(Memo::WrittenNow) };
    let proof = match served_by_source(run, written.0) {
        Err(wait) => return wait.into(),
        Ok(proof) => proof,
    };
    if let Some(removing) = removes(run) {
        return removing;
    }
    let finals = final_stamps(run);
    if !finals.is_empty() {
        let wait = Wait::new(Reason::RollingBack, "The Ingresses are marked as rolled back; their weights stay.");
        return Move::Act { effects: finals, wait };
    }
    match taken(run) {
        Some(message) => Move::Fail { reason: Reason::OwnedByAnother, message },
        None => Move::Advance { message: format!("The source serves everything again ({}).", proof.word()) },
    }
}

fn served_by_source(run: &Run<'_>, written: Timestamp) -> Result<gate::Proof, Wait> {
    gate::gate(run, Goal::SourceServesAll, written, "The source has 100 and the target 0")
}

/// A rollback that is past its deadline needs a person, so that it always says what they can do.
pub(in super::super) fn unblocked(run: &Run<'_>, wait: Wait) -> Wait {
    if run.status.stage != Stage::RollbackBlocked || !wait.unblock.is_empty() {
        return wait;
    }
    let fix = match wait.reason {
        Reason::WaitingForRollbackDns => {
            "Users are back as soon as DNS follows, and then it goes on by itself. If it does not: look whether external-dns runs on both \
             clusters and what it logs, or give the records their weights by hand, 100 for the source and 0 for the target."
        }
        Reason::RemovingObjects => {
            "Users are back. Look what keeps the objects on the target: their finalizers, or who holds them."
        }
        _ => {
            "Nothing, if this changes within a minute: it is tried again by itself. Else look into the operator's log for what keeps it."
        }
    };
    wait.unblocked_by(fix)
}

/// What DNS still has to show once both weights are written. None when it has followed.
pub(in super::super) fn waits_for_dns(run: &Run<'_>) -> Option<Wait> {
    let written = run.status.written_since.as_ref().map_or(run.now, |since| since.0);
    served_by_source(run, written).err()
}

/// An Ingress that another migration moves was never written here, and is not given back from here.
fn taken(run: &Run<'_>) -> Option<String> {
    [Side::Source, Side::Target].into_iter().find_map(|side| {
        let (name, stamp) =
            run.ingresses().iter().find_map(|planned| Some((&planned.name, run.taken_by(side, planned)?)))?;
        Some(format!(
            "Ingress {name} on the {side} is moved by another migration, {}, and was left alone.",
            stamp.owner
        ))
    })
}

/// Whether another migration moves it by now: it is not given back from here.
pub(in super::super) fn is_taken(run: &Run<'_>, planned: &PlannedIngress) -> bool {
    [Side::Source, Side::Target].into_iter().any(|side| run.taken_by(side, planned).is_some())
}

/// Who writes against this rollback, if somebody does. It is answered again and again.
fn contested(run: &Run<'_>) -> Option<Wait> {
    run.status.undone.as_ref()?;
    let (side, planned) = [Side::Source, Side::Target].into_iter().find_map(|side| {
        let mut planned = run.ingresses().iter();
        let foreign = |planned: &&PlannedIngress| {
            run.ingress(side, planned).is_some_and(|facts| !facts.weight_is_ours() || facts.stamp.is_none())
        };
        planned.find(foreign).map(|planned| (side, planned))
    })?;
    let message = format!(
        "The annotations of Ingress {} on the {side} are changed by {} against this rollback; they are written again.",
        planned.name,
        run.ingress(side, planned)?.weight_writer()
    );
    Some(Wait::new(Reason::RollbackContested, message).unblocked_by(contest::stop_other_writer(run, side)))
}

/// The pause before the next answer to somebody who undoes each one: the first comes at once.
fn pauses(run: &Run<'_>) -> Option<Wait> {
    let undone = run.status.undone.as_ref()?;
    let doublings = u32::try_from(undone.times.saturating_sub(2)).ok()?.min(8);
    let pause = SignedDuration::from_secs(1 << doublings).min(LONGEST_PAUSE);
    let until = undone.last.0.saturating_add(pause).ok().filter(|until| *until > run.now)?;
    contested(run).map(|wait| wait.until(until))
}

/// Rollback writes of a side that have not been seen to be done. What was never seen is written: a live read will tell.
/// While the source's Ingress is gone, the target's is the only one that serves, and keeps its weight.
fn unfenced(run: &Run<'_>, side: Side) -> Vec<WeightWrite> {
    let after_source = waits_for_source(run);
    let stamp = run.stamp(Direction::RollingBack);
    let planned = run
        .ingresses()
        .iter()
        .filter(|planned| !is_known_absent(run, side, planned) && !is_known_absent(run, Side::Source, planned))
        .filter(|planned| run.taken_by(side, planned).is_none());
    planned
        .map(|planned| {
            let undone =
                run.write(side, planned, Weight::ZERO, run.stamp(Direction::Forward)).undo(&stamp, after_source);
            WeightWrite { withheld: side == Side::Target && alone::is_alone(run, planned), ..undone }
        })
        .filter(|write| !is_fenced(run, write))
        .collect()
}

/// A wait for the source's Ingress, if one is not there any more: nothing else can serve its users.
pub(in super::super) fn gone_from_source(run: &Run<'_>) -> Option<Wait> {
    let planned = run.ingresses().iter().find(|planned| is_known_absent(run, Side::Source, planned))?;
    let name = &planned.name;
    let message = if is_known_absent(run, Side::Target, planned) {
        format!("Ingress {name} is on neither side, so nobody serves its hosts.")
    } else {
        format!("Ingress {name} is gone from the source, so the target's keeps its weight.")
    };
    let fix = format!("Deploy Ingress {name} to the source again; it gets weight 100 as soon as it is there.");
    let wait = Wait::new(Reason::RollbackWaitsForSource, message).unblocked_by(fix);
    Some(dying_namespace(run, planned).unwrap_or(wait))
}

/// Whether no Ingress that was to move is on either side any more, so that nothing can be taken back.
pub(in super::super) fn is_all_gone(run: &Run<'_>) -> bool {
    let gone = |planned: &PlannedIngress| {
        [Side::Source, Side::Target].into_iter().all(|side| is_known_absent(run, side, planned))
    };
    !run.ingresses().is_empty() && run.ingresses().iter().all(gone)
}

/// Nothing can be deployed to a namespace that is being deleted. Where this object is in it too, it goes with it.
fn dying_namespace(run: &Run<'_>, planned: &PlannedIngress) -> Option<Wait> {
    run.view(Side::Source).namespace.as_ref().filter(|namespace| namespace.terminating)?;
    let (namespace, ingress) = (&run.order.namespace, &planned.name);
    if is_known_absent(run, Side::Target, planned) {
        let message = format!(
            "The namespace {namespace} is being deleted on the source, and Ingress {ingress} is on neither side, so nobody serves its hosts."
        );
        let fix = format!("Once the namespace {namespace} is gone from the source, deploy the service there again.");
        return Some(Wait::new(Reason::RollbackWaitsForSource, message).unblocked_by(fix));
    }
    let message = format!(
        "The namespace {namespace} is being deleted on the source and Ingress {ingress} is gone from it, so the target's keeps its weight \
         and serves everybody."
    );
    let fix = format!(
        "Leave the Ingresses of namespace {namespace} on the target as they are: nothing can go back to a namespace that is being \
         deleted. Once it is gone, deploy the service to the source again if users should go back there."
    );
    Some(Wait::new(Reason::RollbackWaitsForSource, message).unblocked_by(fix))
}

/// An Ingress of the source that is being deleted and has not been raised: it is never given users.
fn terminating_source<'a>(run: &'a Run<'_>) -> Option<&'a str> {
    let view = run.view(Side::Source);
    let namespace = view.namespace.as_ref().is_some_and(|namespace| namespace.terminating);
    let planned = run.ingresses().iter().filter_map(|planned| Some((planned, run.ingress(Side::Source, planned)?)));
    let mut dying = planned.filter(|(_, facts)| namespace || facts.deleting);
    dying.find(|(_, facts)| facts.weight() != Some(Weight::FULL)).map(|(planned, _)| planned.name.as_str())
}

/// A fence is either stamp of this rollback: the one on the way, or the final one.
fn is_fenced(run: &Run<'_>, write: &WeightWrite) -> bool {
    let ended = WeightWrite { stamp: run.stamp(Direction::RolledBack), ..write.clone() };
    run.is_seen(write) || run.is_seen(&ended)
}

/// Whether it is known not to be there.
pub(in super::super) fn is_known_absent(run: &Run<'_>, side: Side, planned: &PlannedIngress) -> bool {
    let view = run.view(side);
    view.synced && view.reach.is_reachable() && !view.ingresses.contains_key(&planned.name)
}

/// Whether the target's 0 must not come before the source's 100: nobody would be left to serve.
fn waits_for_source(run: &Run<'_>) -> bool {
    source_may_be_zero(run) || terminating_source(run).is_some()
}

/// Whether the source may have been given weight 0: only with the target at 100. Two zeros would be an even split.
fn source_may_be_zero(run: &Run<'_>) -> bool {
    let seen = run.weights(Side::Source).contains(&Weight::ZERO) || run.weights(Side::Target).contains(&Weight::FULL);
    let remembered = run.status.traffic.iter().any(|t| t.source_weight == Some(0) || t.target_weight == Some(100));
    seen || remembered || reached_the_last_step(run)
}

fn reached_the_last_step(run: &Run<'_>) -> bool {
    let steps = run.status.plan.as_ref().map_or(0, |plan| plan.steps.len());
    run.status.step.as_ref().is_some_and(|step| {
        let index = usize::try_from(step.index).unwrap_or_default();
        index >= steps || (index + 1 == steps && step.phase != StepPhase::RaiseTarget)
    })
}

/// Source first. When the source is known to be out of reach and can serve, the target need not wait for its timeout.
fn in_order(run: &Run<'_>, source: Vec<WeightWrite>, target: Vec<WeightWrite>) -> Vec<Effect> {
    // Beside a source that was seen to be back there is nothing to wait for.
    let serves = |name: &str| {
        let facts = run.view(Side::Source).ingresses.get(name);
        source.is_empty() && facts.and_then(IngressFacts::weight).is_some_and(|weight| weight > Weight::ZERO)
    };
    let is_back = |write: &WeightWrite| write.after_source || serves(&write.ingress);
    let target: Vec<_> =
        target.into_iter().map(|write| WeightWrite { after_source: is_back(&write), ..write }).collect();
    let target_first = !run.view(Side::Source).reach.is_reachable() && !waits_for_source(run);
    let (first, second) = if target_first { (target, source) } else { (source, target) };
    first.into_iter().chain(second).map(Effect::WriteWeight).collect()
}

fn waits_for_fences(run: &Run<'_>, source: &[WeightWrite], target: &[WeightWrite]) -> Wait {
    let percent = exposure::percent(run);
    let trouble = |side: Side| run.view(side).reach.trouble();
    if !source.is_empty() && !run.view(Side::Source).reach.is_reachable() {
        let frozen = if source_may_be_zero(run) {
            "The source may be at weight 0, so the target keeps its weight until the source has 100"
        } else if terminating_source(run).is_some() {
            "The source was being deleted when it was last seen, so the target keeps its weight until the source has 100"
        } else if target.is_empty() {
            "The target has 0, because the source is not at 0"
        } else {
            "The target goes to 0 at once, because the source is not at 0"
        };
        let message = format!("The source {}. {frozen}. {}", trouble(Side::Source), still_sent(percent));
        return Wait::new(Reason::RollbackWaitsForSource, message).unblocked_by(bring_source_back(run, source));
    }
    if let Some(name) = terminating_source(run).filter(|_| !source.is_empty()) {
        let message = format!(
            "Ingress {name} on the source, or its namespace, is being deleted, so it is not given users and the target keeps its weight."
        );
        return Wait::new(Reason::Terminating, message)
            .unblocked_by("Stop the deletion, or let it end and deploy the service to the source again.")
            .stalled();
    }
    if source.is_empty() && !target.is_empty() && !run.view(Side::Target).reach.is_reachable() {
        let message = format!(
            "The source has 100. The target's 0 is not written yet. {} The target {}.",
            still_sent(percent),
            trouble(Side::Target)
        );
        return Wait::new(Reason::RollbackWaitsForTarget, message).unblocked_by(bring_target_back(run, target));
    }
    Wait::new(Reason::RollingBack, "The source gets 100 and the target 0, at once.")
}

fn still_sent(percent: i32) -> String {
    match percent {
        0 => "No user is sent to the target.".to_owned(),
        percent => format!("Up to {percent} percent of users are still sent to the target."),
    }
}

/// Where the source serves and only its API is away, people can raise its records by hand: nothing else does meanwhile.
fn bring_source_back(run: &Run<'_>, missing: &[WeightWrite]) -> String {
    let back = bring_back(run, Side::Source);
    if !source_may_be_zero(run) {
        return back;
    }
    let identifiers: Vec<_> = missing.iter().map(|write| write.identifier.as_str()).collect();
    format!(
        "{back} If users cannot wait and the source serves: stop the source's external-dns, which would undo it, and give the DNS records \
         with the set identifier {} weight 100 by hand.",
        identifiers.join(", ")
    )
}

/// Where the target does not come back, people can still take its records away; external-dns there is probably gone as well.
fn bring_target_back(run: &Run<'_>, missing: &[WeightWrite]) -> String {
    let identifiers: Vec<_> = missing.iter().map(|write| write.identifier.as_str()).collect();
    format!(
        "{} If it is lost, delete the DNS records with the set identifier {} by hand.",
        bring_back(run, Side::Target),
        identifiers.join(", ")
    )
}

fn bring_back(run: &Run<'_>, side: Side) -> String {
    match run.view(side).reach.repointed() {
        Some(repointed) => repointed.way_back(side),
        None => match run.view(side).reach.fix() {
            Some(fix) => fix.to_owned(),
            None => format!("Bring the {side}'s API server back; the write is tried again by itself."),
        },
    }
}

/// Whether both sides carry the rollback's weights: users are back, or DNS brings them back.
pub(in super::super) fn is_written(run: &Run<'_>) -> bool {
    gone_from_source(run).is_none() && unfenced(run, Side::Source).is_empty() && unfenced(run, Side::Target).is_empty()
}

/// The last writes that are missing, for somebody who does them later: source first. Where nothing on the source could serve,
/// nothing is owed.
pub(in super::super) fn owes(run: &Run<'_>) -> Vec<WeightWrite> {
    let after_source = waits_for_source(run);
    let missing = missing_final_stamps(run).filter(|write| {
        let planned = run.ingresses().iter().find(|planned| planned.name == write.ingress);
        !planned.is_some_and(|planned| is_known_absent(run, Side::Source, planned))
    });
    missing.map(|write| WeightWrite { after_source: after_source && write.side == Side::Target, ..write }).collect()
}

fn final_stamps(run: &Run<'_>) -> Vec<Effect> {
    missing_final_stamps(run).map(Effect::WriteWeight).collect()
}

fn missing_final_stamps<'a>(run: &'a Run<'_>) -> impl Iterator<Item = WeightWrite> + 'a {
    let ended = run.stamp(Direction::RolledBack);
    let sides = [Side::Source, Side::Target].into_iter();
    sides
        .flat_map(|side| run.ingresses().iter().map(move |planned| (side, planned)))
        .filter(|(side, planned)| !is_known_absent(run, *side, planned) && run.taken_by(*side, planned).is_none())
        .map(move |(side, planned)| run.write(side, planned, Weight::ZERO, ended.clone()).undo(&ended, false))
        .filter(|write| !run.is_seen(write))
}

/// What we created goes, if the spec wants that. None when nothing is left to go.
fn removes(run: &Run<'_>) -> Option<Move> {
    if run.order.created_objects == RemovalPolicy::Keep {
        return None;
    }
    if secrets_are_unread(run) {
        let message = "The Secrets that were to be copied are being read, to remove those that we created.";
        return Some(Wait::new(Reason::RemovingObjects, message).until(run.now).into());
    }
    let (going, leftovers): (Vec<_>, Vec<_>) = leftovers(run).into_iter().partition(|removal| is_going(run, removal));
    let message = match (leftovers.as_slice(), going.first()) {
        ([], None) => return None,
        ([], Some(_)) => format!("{} on the target is being deleted, but something holds it.", Removal::names(&going)),
        (_, _) => {
            format!(
                "What was created for this migration is being removed from the target: {}.",
                Removal::names(&leftovers)
            )
        }
    };
    let fix =
        "Nothing, if this changes within a minute. Else something holds it: look at its finalizers on the target.";
    let effects = leftovers.into_iter().map(Effect::Remove).collect();
    Some(Move::Act { effects, wait: Wait::new(Reason::RemovingObjects, message).unblocked_by(fix) })
}

/// What we created, newest first. Status lists it in the order of creation.
pub(in super::super) fn leftovers(run: &Run<'_>) -> Vec<Removal> {
    let created = run.status.created.iter().rev();
    created
        .filter_map(|object| {
            Some(Removal {
                kind: RemovableKind::parse(&object.kind)?,
                name: object.name.clone(),
                uid: object.uid.clone(),
            })
        })
        .filter(|removal| !is_gone(run, removal))
        .collect()
}

fn is_going(run: &Run<'_>, removal: &Removal) -> bool {
    let found = run.view(Side::Target).ingresses.get(&removal.name);
    removal.kind == RemovableKind::Ingress && found.is_some_and(|facts| facts.deleting)
}

/// After a lost status only the label on a Secret tells that it is ours to remove.
fn secrets_are_unread(run: &Run<'_>) -> bool {
    let planned = run.status.plan.as_ref().is_some_and(|plan| !plan.secrets.is_empty());
    planned && run.observed.secrets.is_none()
}

/// Whether there is nothing to remove: the object is not there, is another one, or somebody took our mark off to keep it.
fn is_gone(run: &Run<'_>, removal: &Removal) -> bool {
    let is_ours = |uid: &str, mark: Option<&str>| uid == removal.uid && mark == Some(&run.order.owner_label());
    let target = run.view(Side::Target);
    match removal.kind {
        RemovableKind::Ingress => {
            let found = target.ingresses.get(&removal.name);
            target.synced && found.is_none_or(|facts| !is_ours(&facts.uid, facts.created_by.as_deref()))
        }
        RemovableKind::Secret => run.observed.secrets.as_ref().is_some_and(|secrets| {
            secrets.get(&removal.name).is_some_and(|view| match &view.target {
                SecretPresence::Absent => true,
                SecretPresence::Present(facts) => !is_ours(&facts.uid, facts.created_by.as_deref()),
                SecretPresence::Unknown { .. } => false,
            })
        }),
    }
}
