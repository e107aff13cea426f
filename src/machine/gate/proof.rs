//! How strongly it is known, of one host and kind, that what is written on the Ingresses is served: what a person reads of the gates.

use jiff::Timestamp;

use super::{Goal, Place, Verification, answered, listed, places_at, served_from};
use crate::api::Stage;
use crate::api::status::{RehearsalPhase, ServedProof, StepPhase};
use crate::machine::observed::{IngressFacts, Side};
use crate::machine::records::{Evidence, HostView, ListedRecord, RecordKind};
use crate::machine::run::Run;
use crate::machine::stages::is_rollback;
use crate::machine::traffic::Weight;

/// The kinds that are seen at a host. Empty where nobody looks.
pub(in super::super) fn kinds(run: &Run<'_>, host: &str) -> Vec<RecordKind> {
    match run.observed.dns.hosts.get(host).map(|view| &view.evidence) {
        Some(Evidence::Listed(records)) => listed::each_kind(records).into_iter().collect(),
        Some(Evidence::Answered { .. }) => answered::led(run, host).unwrap_or_default().into_iter().collect(),
        None => vec![],
    }
}

/// How strongly it is known. None where no weight is written yet, or nobody has looked.
pub(in super::super) fn proof(run: &Run<'_>, host: &str, kind: Option<RecordKind>) -> Option<ServedProof> {
    let here: Vec<_> = places_at(run, host).collect();
    let written = |place: &Place<'_>| weights(run, *place).iter().flatten().next().is_some();
    if !here.iter().any(written) {
        return None;
    }
    let proofs = here.into_iter().map(|place| of_place(run, place, kind));
    proofs.min().flatten()
}

fn of_place(run: &Run<'_>, place: Place<'_>, kind: Option<RecordKind>) -> Option<ServedProof> {
    let rules = &run.order.dns;
    if rules.verification == Verification::AnnotationOnly {
        return Some(assumed_from(run, rules.follow.total()));
    }
    let view = run.observed.dns.hosts.get(place.host)?;
    if run.observed.dns.trouble.contains_key(place.host) {
        return Some(ServedProof::Pending);
    }
    let kind = kind?;
    Some(match &view.evidence {
        Evidence::Listed(records) => by_list(run, place, kind, records, view),
        Evidence::Answered { .. } => by_answers(run, place, kind),
    })
}

fn by_list(
    run: &Run<'_>,
    place: Place<'_>,
    kind: RecordKind,
    records: &[ListedRecord],
    view: &HostView,
) -> ServedProof {
    let shown = listed::shown_of_kind(run, Goal::AsWritten, place, records, kind);
    let (Ok(shown), Some(written)) = (shown, written_at(run)) else { return ServedProof::Pending };
    let served = served_from(run, Goal::AsWritten, view, &shown, written);
    if view.read_at >= served { ServedProof::Verified } else { ServedProof::Pending }
}

fn by_answers(run: &Run<'_>, place: Place<'_>, kind: RecordKind) -> ServedProof {
    if answered::shown_of_kind(run, Goal::AsWritten, place, Timestamp::MIN, kind).is_err() {
        return ServedProof::Pending;
    }
    // That nobody is answered does not show that a record at weight 0 is there.
    let publishes = run.status.stage == Stage::PublishTarget;
    let shares = weights(run, place).into_iter().flatten().filter(|weight| *weight > Weight::ZERO).count() > 1;
    if !shares && !publishes {
        return ServedProof::Answered;
    }
    assumed_from(run, run.order.dns.follow.unseen())
}

fn weights(run: &Run<'_>, place: Place<'_>) -> [Option<Weight>; 2] {
    [Side::Source, Side::Target].map(|side| run.ingress(side, place.planned).and_then(IngressFacts::weight))
}

fn assumed_from(run: &Run<'_>, after: jiff::SignedDuration) -> ServedProof {
    let from = written_at(run).map(|written| written.saturating_add(after).unwrap_or(Timestamp::MAX));
    if from.is_some_and(|from| run.now >= from) { ServedProof::Assumed } else { ServedProof::Pending }
}

/// When what stands on the Ingresses was written, as the gate in question counts it. Long ago, where its gate was passed; None while it
/// is being written.
fn written_at(run: &Run<'_>) -> Option<Timestamp> {
    let status = &run.status;
    let long_ago = Some(Timestamp::MIN);
    match (status.stage, &status.step, &status.rehearsal) {
        (Stage::WeightSource, _, Some(rehearsal)) => match rehearsal.phase {
            RehearsalPhase::Lowered | RehearsalPhase::Raised => Some(rehearsal.since.0),
            RehearsalPhase::Lower | RehearsalPhase::Raise => None,
            RehearsalPhase::Done => long_ago,
        },
        (stage, _, _) if matches!(stage, Stage::WeightSource | Stage::PublishTarget) || is_rollback(stage) => {
            status.written_since.as_ref().map(|since| since.0)
        }
        (Stage::ShiftTraffic, Some(step), _) => match step.phase {
            StepPhase::TargetSettling
            | StepPhase::SourceSettling
            | StepPhase::SourceRaised
            | StepPhase::TargetLowered => Some(step.since.0),
            _ => long_ago,
        },
        _ => long_ago,
    }
}
