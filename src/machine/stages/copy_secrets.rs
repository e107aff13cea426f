//! CopySecrets (guide step 7): Secrets that nothing else brings. Created where absent, compared where present, never overwritten.

use super::super::effect::Effect;
use super::super::observed::{SecretFacts, SecretPresence, SecretView, Side};
use super::super::order::Order;
use super::super::reason::Reason;
use super::super::run::{Move, Run, Wait};
use crate::api::status::{Plan, SecretStatus};

pub(super) fn visit(run: &Run<'_>) -> Move {
    let planned = still_wanted(run.order, run.status.plan.as_ref());
    if planned.is_empty() {
        return Move::Advance { message: "No Secret is copied by name.".to_owned() };
    }
    if let Some(wait) = run.cluster_trouble() {
        return wait.into();
    }
    let Some(secrets) = &run.observed.secrets else {
        return Wait::new(Reason::WaitingForSecrets, "The Secrets are being read.").until(run.now).into();
    };
    let verdicts: Vec<_> = planned.iter().map(|name| (*name, judge(secrets.get(*name)))).collect();
    let effects = effects(&verdicts);
    if !effects.is_empty() {
        let message = format!("Secrets that are being created on the target: {}.", effects.len());
        return Move::Act { effects, wait: Wait::new(Reason::WaitingForSecrets, message) };
    }
    // What is only missing waits for what is wrong with another.
    let wrong =
        verdicts.iter().find(|(_, verdict)| !matches!(verdict, SecretVerdict::Identical(_) | SecretVerdict::Missing));
    match wrong {
        Some((name, verdict)) => trouble(name, verdict, run).into(),
        None => Move::Advance { message: format!("Secrets that are the same on both sides: {}.", planned.len()) },
    }
}

/// The Secrets of the plan that the spec has not left out since: what cannot be copied must not need another attempt.
pub(in super::super) fn still_wanted<'a>(order: &Order, plan: Option<&'a Plan>) -> Vec<&'a String> {
    let planned = plan.map(|plan| plan.secrets.as_slice()).unwrap_or_default();
    planned.iter().filter(|name| order.secrets.contains(*name)).collect()
}

/// What has to be done about one Secret.
enum SecretVerdict<'a> {
    Identical(&'a SecretFacts),
    Missing,
    Conflict(Vec<String>),
    Refused(&'a str),
    AbsentOnSource,
    Unreadable(Side, &'a str),
}

fn judge(view: Option<&SecretView>) -> SecretVerdict<'_> {
    let Some(view) = view else { return SecretVerdict::Unreadable(Side::Source, "it has not been read yet") };
    let source = match &view.source {
        SecretPresence::Unknown { why } => return SecretVerdict::Unreadable(Side::Source, why),
        SecretPresence::Absent => return SecretVerdict::AbsentOnSource,
        SecretPresence::Present(facts) => facts,
    };
    if let Some(why) = &source.refusal {
        return SecretVerdict::Refused(why);
    }
    match &view.target {
        SecretPresence::Unknown { why } => SecretVerdict::Unreadable(Side::Target, why),
        SecretPresence::Absent => SecretVerdict::Missing,
        SecretPresence::Present(target) => compare(source, target),
    }
}

fn compare<'a>(source: &SecretFacts, target: &'a SecretFacts) -> SecretVerdict<'a> {
    let keys = source.digests.keys().chain(target.digests.keys());
    let mut differing: Vec<String> =
        keys.filter(|key| source.digests.get(*key) != target.digests.get(*key)).cloned().collect();
    differing.sort();
    differing.dedup();
    if source.kind != target.kind {
        differing.insert(0, format!("type ({} on the source, {} on the target)", source.kind, target.kind));
    }
    if differing.is_empty() { SecretVerdict::Identical(target) } else { SecretVerdict::Conflict(differing) }
}

fn effects(verdicts: &[(&String, SecretVerdict<'_>)]) -> Vec<Effect> {
    // A conflict or a refusal anywhere stops all copies: nothing is half done because of bad input.
    let sound =
        verdicts.iter().all(|(_, verdict)| matches!(verdict, SecretVerdict::Identical(_) | SecretVerdict::Missing));
    let missing = verdicts.iter().filter(|(_, verdict)| sound && matches!(verdict, SecretVerdict::Missing));
    missing.map(|(name, _)| Effect::CreateSecret { name: (*name).clone() }).collect()
}

fn trouble(name: &str, verdict: &SecretVerdict<'_>, run: &Run<'_>) -> Wait {
    let message = format!("Secret {name}: {}.", sentence(verdict));
    // A Secret is not watched: it is read again while it is waited for.
    let again = run.now.saturating_add(jiff::SignedDuration::from_secs(10)).unwrap_or(run.now);
    let wait = match verdict {
        SecretVerdict::Conflict(_) => Wait::new(Reason::SecretConflict, message)
            .unblocked_by("Make both sides equal, delete the target's Secret so that it is copied, or leave it out with spec.secrets.exclude.")
            .stalled(),
        SecretVerdict::AbsentOnSource => Wait::new(Reason::SecretRefused, message)
            .unblocked_by("Create it on the source, or take it out of spec.secrets.include.")
            .stalled(),
        SecretVerdict::Refused(_) => Wait::new(Reason::SecretRefused, message)
            .unblocked_by("Take it out of spec.secrets.include and create it on the target by its own means.")
            .stalled(),
        SecretVerdict::Unreadable(side, _) => Wait::new(Reason::WaitingForSecrets, message).unblocked_by(format!(
            "If a right is missing, give the operator's identity on the {side} the role that it is installed with: get on Secrets."
        )),
        _ => Wait::new(Reason::WaitingForSecrets, message),
    };
    wait.looking_again_at(again)
}

fn sentence(verdict: &SecretVerdict<'_>) -> String {
    match verdict {
        SecretVerdict::Identical(_) => "the same on both sides".to_owned(),
        SecretVerdict::Missing => "not on the target yet".to_owned(),
        SecretVerdict::Conflict(keys) => {
            format!("the target has one with other content ({}), and it is never overwritten", keys.join(", "))
        }
        SecretVerdict::Refused(why) => format!("it is not copied: {why}"),
        SecretVerdict::AbsentOnSource => "it is not on the source".to_owned(),
        SecretVerdict::Unreadable(side, why) => format!("it could not be read on the {side}: {why}"),
    }
}

/// What status says of each Secret of the plan.
pub(in super::super) fn statuses(run: &Run<'_>) -> Option<Vec<SecretStatus>> {
    let secrets = run.observed.secrets.as_ref()?;
    let planned = still_wanted(run.order, run.status.plan.as_ref());
    Some(planned.into_iter().map(|name| status(name, &judge(secrets.get(name)), run)).collect())
}

fn status(name: &str, verdict: &SecretVerdict<'_>, run: &Run<'_>) -> SecretStatus {
    let ours = run.order.owner_label();
    let state = match verdict {
        SecretVerdict::Identical(facts) if facts.created_by.as_deref() == Some(&ours) => "Copied",
        SecretVerdict::Identical(_) => "Identical",
        SecretVerdict::Missing => "Missing",
        SecretVerdict::Conflict(_) => "Conflict",
        SecretVerdict::Refused(_) => "Refused",
        SecretVerdict::AbsentOnSource => "MissingOnSource",
        SecretVerdict::Unreadable(..) => "Unknown",
    };
    SecretStatus { name: name.to_owned(), state: state.to_owned(), message: sentence(verdict) }
}
