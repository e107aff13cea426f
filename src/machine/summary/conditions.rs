//! Conditions in the form of Kubernetes. All are set on the first visit; a transition time moves only with its status.

use super::super::replace;
use super::dns::NOBODY_ASKS;
use super::{
    Condition, NamespaceMigrationStatus, Reason, Stage, Timestamp, Verdict, Wait, is_rollback, is_terminal, seconds,
};
use crate::api::status::{PipelineState, ServedProof};
use crate::machine::condition::merged;

/// Every condition, in the order of status, and when it is True.
pub const CONDITIONS: [(&str, &str); 16] = [
    ("Ready", "The service has moved."),
    ("Reconciling", "It goes on by itself, now or when what it waits for is there."),
    ("Stalled", "It will not go on without a person; also after RolledBack and Failed."),
    ("Succeeded", "It ended as Completed. False: it ended otherwise."),
    ("Finished", "It ended, in whatever way."),
    ("PreflightPassed", "No check before the move found a blocker."),
    ("SourceWeighted", "The source's records are weighted."),
    ("TargetPrepared", "Namespace and Services are on the target."),
    ("SecretsCopied", "The named Secrets are on the target."),
    ("TrafficShifted", "Every step has been held. False again once it went back."),
    ("RolledBack", "The source serves everything again."),
    ("TargetHealthy", "Every check of the target passes. Unknown: there is no verdict."),
    ("SourceHealthy", "Every check of the source passes. Unknown: there is no verdict."),
    (
        "WeightsVerified",
        "DNS was asked, and every host and kind serves what was written. False: not yet. Unknown: nobody asked, or a share is assumed.",
    ),
    ("WeightContested", "Somebody else changes our annotations."),
    ("SourceSilent", "The source was measured to get no requests. Unknown: nobody measured."),
];

/// What the part under way says: what it waits for is said once, by `Ready`.
const UNDER_WAY: &str = "It is under way; the condition Ready says what it waits for.";

struct Draft {
    kind: &'static str,
    status: &'static str,
    reason: Reason,
    message: String,
}

pub(super) fn write(status: &mut NamespaceMigrationStatus, wait: &Wait, now: Timestamp) {
    let drafts = drafts(status, wait);
    let old = std::mem::take(&mut status.conditions);
    let generation = status.observed_generation;
    status.conditions = drafts.into_iter().map(|draft| merged(draft.condition(generation, now), &old)).collect();
}

impl Draft {
    fn condition(self, generation: i64, now: Timestamp) -> Condition {
        Condition {
            type_: self.kind.to_owned(),
            status: self.status.to_owned(),
            reason: self.reason.as_str().to_owned(),
            message: self.message,
            last_transition_time: seconds(now),
            observed_generation: Some(generation),
        }
    }
}

fn drafts(status: &NamespaceMigrationStatus, wait: &Wait) -> Vec<Draft> {
    let mut drafts = summaries(status, wait);
    drafts.extend(parts(status, wait));
    drafts.extend(health(status));
    drafts.push(verified(status, wait));
    drafts.extend(silence_and_contest(status, wait));
    drafts
}

/// Whether DNS shows what is written, by the rows of each host and kind: the weakest proof counts.
fn verified(status: &NamespaceMigrationStatus, wait: &Wait) -> Draft {
    let draft = |status, reason, message: String| Draft { kind: "WeightsVerified", status, reason, message };
    let known = status.dns.iter().filter_map(|row| Some((row.proof?, row)));
    let Some((weakest, row)) = known.min_by_key(|(proof, _)| *proof) else {
        let message = "No weight is written yet, or nobody looks at DNS in this stage.";
        return draft("Unknown", Reason::NotYet, message.to_owned());
    };
    let (place, backend) = (format!("{} ({})", row.host, row.kind), &status.dns_verification);
    match weakest {
        _ if backend == NOBODY_ASKS => draft("Unknown", Reason::Assumed, backend.clone()),
        ServedProof::Pending => {
            let dns = [Reason::DnsLate, Reason::DnsBlocked, Reason::DnsUnreadable, Reason::WaitingForRollbackDns];
            let reason = if dns.contains(&wait.reason) { wait.reason } else { Reason::WaitingForDns };
            let found = if row.found.is_empty() { String::new() } else { format!(" Seen: {}.", row.found) };
            let yet = if is_terminal(status.stage) {
                "was not known to serve what is written when it ended"
            } else {
                "is not known to serve yet what is written"
            };
            draft("False", reason, format!("{place} {yet}.{found}"))
        }
        ServedProof::Assumed => draft(
            "Unknown",
            Reason::Assumed,
            format!("{place} is assumed to serve what is written: the time that it may take has passed. {backend}"),
        ),
        ServedProof::Answered => draft(
            "True",
            Reason::Answered,
            format!("Every host and kind is answered by who has a weight and by nobody else. {backend}"),
        ),
        ServedProof::Verified => {
            draft("True", Reason::Verified, format!("Every host and kind serves what is written. {backend}"))
        }
    }
}

fn truth(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// What kstatus, Argo CD and `kubectl wait` read. `Ready` says it all, with what unblocks it, so that the others can be short;
/// Stalled says it too, because tools show that one where something is wrong.
fn summaries(status: &NamespaceMigrationStatus, wait: &Wait) -> Vec<Draft> {
    let stage = status.stage;
    let finished = is_terminal(stage);
    let stalled = wait.stalled || stage == Stage::RollbackBlocked;
    let (succeeded, ended) = match stage {
        Stage::Completed => ("True", "It ended as Completed."),
        Stage::RolledBack => ("False", "It ended as RolledBack."),
        Stage::Failed => ("False", "It ended as Failed."),
        _ => ("Unknown", "It has not ended."),
    };
    let goes_on = match wait.reason {
        _ if finished => ended,
        Reason::Paused | Reason::AtCeiling => "A person has stopped it, and it goes on when they let it.",
        _ => "It goes on by itself when what it waits for is there.",
    };
    let needed = format!("{} {}", wait.message, wait.unblock);
    let draft = |kind, status, message: &str| Draft { kind, status, reason: wait.reason, message: message.to_owned() };
    vec![
        draft(
            "Ready",
            if stage == Stage::Pending { "Unknown" } else { truth(stage == Stage::Completed) },
            needed.trim_end(),
        ),
        draft(
            "Reconciling",
            truth(!finished && !stalled),
            if stalled && !finished { "It needs a person." } else { goes_on },
        ),
        draft("Stalled", truth(stalled), if stalled { needed.trim_end() } else { goes_on }),
        draft("Succeeded", succeeded, ended),
        draft("Finished", truth(finished), ended),
    ]
}

/// One condition for each part of the work, True once it has been observed to be done.
fn parts(status: &NamespaceMigrationStatus, wait: &Wait) -> Vec<Draft> {
    let rolled_back = match status.stage {
        Stage::RolledBack => ("True", Reason::RolledBack, "The source serves everything again.".to_owned()),
        stage if is_rollback(stage) => ("False", wait.reason, UNDER_WAY.to_owned()),
        _ => ("False", Reason::NotYet, "No rollback in this attempt.".to_owned()),
    };
    let mut drafts = vec![
        part(status, "PreflightPassed", Stage::Preflight, wait),
        part(status, "SourceWeighted", Stage::WeightSource, wait),
        part(status, "TargetPrepared", Stage::PrepareTarget, wait),
        part(status, "SecretsCopied", Stage::CopySecrets, wait),
        part(status, "TrafficShifted", Stage::ShiftTraffic, wait),
    ];
    drafts.push(Draft { kind: "RolledBack", status: rolled_back.0, reason: rolled_back.1, message: rolled_back.2 });
    drafts
}

fn part(status: &NamespaceMigrationStatus, kind: &'static str, stage: Stage, wait: &Wait) -> Draft {
    let entry = status.pipeline.iter().find(|entry| entry.name == stage);
    let back = is_rollback(status.stage) || status.stage == Stage::RolledBack;
    let not_yet = |message: &str| Draft { kind, status: "False", reason: Reason::NotYet, message: message.to_owned() };
    match entry.map(|entry| entry.state) {
        Some(PipelineState::Done) if kind == "TrafficShifted" && back => {
            Draft { kind, status: "False", reason: Reason::RollingBack, message: "The traffic went back.".to_owned() }
        }
        Some(PipelineState::Done) => {
            let message = entry.map(|entry| entry.message.clone()).unwrap_or_default();
            Draft { kind, status: "True", reason: Reason::Passed, message }
        }
        Some(PipelineState::Running) => {
            Draft { kind, status: "False", reason: wait.reason, message: UNDER_WAY.to_owned() }
        }
        Some(PipelineState::Failed) => {
            let reason = if back { Reason::RollingBack } else { Reason::Failed };
            Draft {
                kind,
                status: "False",
                reason,
                message: entry.map(|entry| entry.message.clone()).unwrap_or_default(),
            }
        }
        Some(PipelineState::Skipped) => not_yet("It is not done in this attempt."),
        _ => not_yet("It is not this far yet."),
    }
}

fn health(status: &NamespaceMigrationStatus) -> Vec<Draft> {
    ["Target", "Source"]
        .into_iter()
        .map(|side| {
            let checks = status.checks.iter().filter(|check| check.side == side);
            let worst = checks.max_by_key(|check| severity(&check.verdict));
            let kind = if side == "Target" { "TargetHealthy" } else { "SourceHealthy" };
            let (status, reason) = match worst.map(|check| check.verdict.as_str()) {
                Some(verdict) if verdict == Verdict::Pass.as_str() => ("True", Reason::Passed),
                Some(verdict) if verdict == Verdict::Fail.as_str() => ("False", Reason::TargetUnhealthy),
                _ => ("Unknown", Reason::HealthUnknown),
            };
            let reason = if kind == "SourceHealthy" && status == "False" { Reason::SourceUnhealthy } else { reason };
            let message = worst.map_or_else(
                || "It is not watched yet.".to_owned(),
                |check| format!("{}: {}", check.name, check.message),
            );
            Draft { kind, status, reason, message }
        })
        .collect()
}

fn severity(verdict: &str) -> u8 {
    match verdict {
        "Fail" => 2,
        "Inconclusive" => 1,
        _ => 0,
    }
}

fn silence_and_contest(status: &NamespaceMigrationStatus, wait: &Wait) -> Vec<Draft> {
    let contested = matches!(wait.reason, Reason::WeightContested | Reason::RollbackContested);
    let (reason, contest) = match replace::being_replaced(status) {
        _ if contested => (wait.reason, wait.message.clone()),
        Some(message) => (Reason::ReplacingWeight, message),
        None => (Reason::Passed, "Nobody else changes the weights.".to_owned()),
    };
    let contested = reason != Reason::Passed;
    let silence = match status.stage {
        Stage::Bake | Stage::Completed => "Nobody has measured whether the source still gets requests.",
        _ => "Not measured; in this stage users are meant to be on the source.",
    };
    vec![
        Draft { kind: "WeightContested", status: truth(contested), reason, message: contest },
        Draft {
            kind: "SourceSilent",
            status: "Unknown",
            reason: Reason::SilenceNotProved,
            message: silence.to_owned(),
        },
    ]
}
