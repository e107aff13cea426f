//! What a person reads: columns, pipeline, traffic, checks and conditions, all from the same decision.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::health::Verdict;
use super::observed::{SecretPresence, Side};
use super::reason::Reason;
use super::run::{Run, Wait, seconds};
use super::stages::{self, FORWARD, is_rollback, is_terminal, is_watched};
use crate::api::status::{
    CheckStatus, CreatedObject, IngressTraffic, NamespaceMigrationStatus, PipelineStage, PipelineState, Stage,
};
use crate::{preflight, replicate};

/// Writes everything that a person reads into the status.
pub fn write(run: &mut Run<'_>, wait: &Wait) {
    remember_traffic(run);
    run.status.step_text = step_text(run);
    run.status.weight = run.status.traffic.iter().filter_map(|traffic| traffic.target_weight).max().unwrap_or(0);
    run.status.exposed_percent =
        is_rollback(run.status.stage).then(|| stages::exposed_percent(run)).filter(|percent| *percent > 0);
    write_health(run);
    if run.status.stage <= Stage::Preflight && run.cluster_trouble().is_none() {
        run.status.preflight = preflight::findings(run.order, run.observed);
    }
    if let Some(secrets) = stages::secret_statuses(run).filter(|_| !is_rollback(run.status.stage)) {
        run.status.secrets = secrets;
    }
    note_in_pipeline(run, wait);
    write_wait(&mut run.status, wait, run.now);
}

/// Writes what is waited for, and the conditions.
pub fn write_wait(status: &mut NamespaceMigrationStatus, wait: &Wait, now: Timestamp) {
    wait.reason.as_str().clone_into(&mut status.reason);
    status.message.clone_from(&wait.message);
    status.unblock.clone_from(&wait.unblock);
    status.next = wait.wake_at.filter(|at| *at > now).map(seconds);
    conditions::write(status, wait, now);
}

fn remember_traffic(run: &mut Run<'_>) {
    let traffic: Vec<_> = run
        .ingresses()
        .iter()
        .map(|planned| {
            let old = run.status.traffic.iter().find(|traffic| traffic.ingress == planned.name);
            // What cannot be seen keeps its last value: an unreachable cluster is not an empty one.
            let weight = |side: Side, old: Option<i32>| match run.ingress(side, planned) {
                Some(facts) => facts.weight().map(super::traffic::Weight::get),
                None if run.view(side).synced => None,
                None => old,
            };
            let hosts = run.ingress(Side::Source, planned).map(|facts| facts.hosts.iter().cloned().collect());
            IngressTraffic {
                ingress: planned.name.clone(),
                hosts: hosts.or_else(|| old.map(|old| old.hosts.clone())).unwrap_or_default(),
                source_weight: weight(Side::Source, old.and_then(|old| old.source_weight)),
                target_weight: weight(Side::Target, old.and_then(|old| old.target_weight)),
            }
        })
        .collect();
    if !is_terminal(run.status.stage) || run.view(Side::Source).synced {
        run.status.traffic = traffic;
    }
}

fn write_health(run: &mut Run<'_>) {
    if !is_watched(run.status.stage) {
        // After a rollback the last verdict stays to be read; before the first probe there is none.
        return;
    }
    run.target_verdict().as_str().clone_into(&mut run.status.health);
    let checks = run.observed.health.checks.iter().map(|check| CheckStatus {
        name: check.name.clone(),
        side: if check.side == Side::Source { "Source" } else { "Target" }.to_owned(),
        verdict: check.verdict.as_str().to_owned(),
        message: check.message.clone(),
    });
    run.status.checks = checks.collect();
}

/// The step and how many there are, as `2/4`. Empty before the shift.
pub fn step_text(run: &Run<'_>) -> String {
    let (Some(step), Some(plan)) = (&run.status.step, &run.status.plan) else { return String::new() };
    let count = i32::try_from(plan.steps.len()).unwrap_or(i32::MAX);
    format!("{}/{count}", (step.index + 1).min(count))
}

/// The weight of the current step.
pub fn step_weight(run: &Run<'_>) -> i32 {
    let (Some(step), Some(plan)) = (&run.status.step, &run.status.plan) else { return 0 };
    let index = usize::try_from(step.index).unwrap_or_default();
    plan.steps.get(index).or(plan.steps.last()).map_or(0, |step| step.weight)
}

/// Remembers objects on the target that carry our mark, in the order in which they are made: Secrets, then Ingresses.
pub fn remember_created(run: &mut Run<'_>) {
    let ours = run.order.owner_label();
    let mut seen: Vec<CreatedObject> = vec![];
    for (name, view) in run.observed.secrets.iter().flatten() {
        if let SecretPresence::Present(facts) = &view.target
            && facts.created_by.as_deref() == Some(&ours)
        {
            seen.push(CreatedObject {
                kind: "Secret".into(),
                name: name.clone(),
                uid: facts.uid.clone(),
                left_out: vec![],
            });
        }
    }
    for (name, facts) in
        run.view(Side::Target).ingresses.iter().filter(|(_, facts)| facts.created_by.as_deref() == Some(&ours))
    {
        let names = run
            .view(Side::Source)
            .ingresses
            .get(name)
            .map(|source| replicate::left_out(&source.annotation_names, &run.order.source.annotation_prefix));
        let left_out = names.unwrap_or_default();
        seen.push(CreatedObject { kind: "Ingress".into(), name: name.clone(), uid: facts.uid.clone(), left_out });
    }
    for object in seen {
        match run.status.created.iter_mut().find(|known| known.kind == object.kind && known.name == object.name) {
            Some(known) if known.uid == object.uid => {}
            Some(known) => *known = object,
            None => run.status.created.push(object),
        }
    }
}

fn stage_entry(status: &mut NamespaceMigrationStatus, stage: Stage) -> Option<&mut PipelineStage> {
    status.pipeline.iter_mut().find(|entry| entry.name == stage)
}

/// Marks the current stage as begun. The pipeline is laid out on the first visit, so that what is still to come is seen too.
pub fn begin_stage(run: &mut Run<'_>) {
    lay_out(run);
    let (stage, now) = (run.status.stage, seconds(run.now));
    let state = if is_terminal(stage) { PipelineState::Done } else { PipelineState::Running };
    let entry = PipelineStage { name: stage, state, started: Some(now), finished: None, message: String::new() };
    match stage_entry(&mut run.status, stage) {
        Some(known) => *known = entry,
        None => run.status.pipeline.push(entry),
    }
}

fn lay_out(run: &mut Run<'_>) {
    if run.status.pipeline.is_empty() {
        let waiting = |name| PipelineStage {
            name,
            state: PipelineState::Waiting,
            started: None,
            finished: None,
            message: String::new(),
        };
        run.status.pipeline = FORWARD.into_iter().map(waiting).collect();
    }
}

/// Marks what came before a stage that was taken up without a status: done going forward, unknown going back.
pub fn skip_to_stage(run: &mut Run<'_>) {
    lay_out(run);
    let stage = run.status.stage;
    for entry in run.status.pipeline.iter_mut().filter(|entry| entry.state == PipelineState::Waiting) {
        let forward = !is_rollback(stage);
        entry.state = match forward {
            true if entry.name < stage => PipelineState::Done,
            true => PipelineState::Waiting,
            false => PipelineState::Skipped,
        };
        if entry.state != PipelineState::Waiting {
            "It was done, or not, before the status was lost.".clone_into(&mut entry.message);
        }
    }
}

/// Marks the current stage as ended well.
pub fn finish_stage(run: &mut Run<'_>, message: &str) {
    end_stage(run, PipelineState::Done, message);
}

/// Marks the current stage as ended badly, and what would have come after it as skipped.
pub fn fail_stage(run: &mut Run<'_>, message: &str) {
    end_stage(run, PipelineState::Failed, message);
    let waiting = run.status.pipeline.iter_mut().filter(|entry| entry.state == PipelineState::Waiting);
    waiting.for_each(|entry| entry.state = PipelineState::Skipped);
}

fn end_stage(run: &mut Run<'_>, state: PipelineState, message: &str) {
    lay_out(run);
    // A blocked rollback is still the rollback's entry.
    let stage = if run.status.stage == Stage::RollbackBlocked { Stage::RollingBack } else { run.status.stage };
    let (started, now) = (run.status.stage_started_at.clone(), seconds(run.now));
    if let Some(entry) = stage_entry(&mut run.status, stage) {
        let started = entry.started.clone().or(started).or_else(|| Some(now.clone()));
        *entry = PipelineStage { name: stage, state, started, finished: Some(now), message: message.to_owned() };
    }
}

fn note_in_pipeline(run: &mut Run<'_>, wait: &Wait) {
    lay_out(run);
    if run.status.stage_started_at.is_none() {
        run.status.stage_started_at = Some(seconds(run.now));
        begin_stage(run);
    }
    let stage = run.status.stage;
    if let Some(entry) = stage_entry(&mut run.status, stage) {
        entry.message.clone_from(&wait.message);
    }
}

mod conditions {
    //! Conditions in the form of Kubernetes. All are set on the first visit; a transition time moves only with its status.

    use super::{
        Condition, NamespaceMigrationStatus, Reason, Stage, Timestamp, Verdict, Wait, is_rollback, is_terminal, seconds,
    };
    use crate::api::status::PipelineState;

    struct Draft {
        kind: &'static str,
        status: &'static str,
        reason: Reason,
        message: String,
    }

    pub(super) fn write(status: &mut NamespaceMigrationStatus, wait: &Wait, now: Timestamp) {
        let drafts = drafts(status, wait);
        let old = std::mem::take(&mut status.conditions);
        status.conditions =
            drafts.into_iter().map(|draft| merge(draft, &old, status.observed_generation, now)).collect();
    }

    fn merge(draft: Draft, old: &[Condition], generation: i64, now: Timestamp) -> Condition {
        let before = old.iter().find(|condition| condition.type_ == draft.kind && condition.status == draft.status);
        Condition {
            type_: draft.kind.to_owned(),
            status: draft.status.to_owned(),
            reason: draft.reason.as_str().to_owned(),
            message: draft.message,
            last_transition_time: before
                .map_or_else(|| seconds(now), |condition| condition.last_transition_time.clone()),
            observed_generation: Some(generation),
        }
    }

    fn drafts(status: &NamespaceMigrationStatus, wait: &Wait) -> Vec<Draft> {
        let mut drafts = summaries(status, wait);
        drafts.extend(parts(status, wait));
        drafts.extend(health(status));
        drafts.extend(silence_and_contest(status, wait));
        drafts
    }

    fn truth(value: bool) -> &'static str {
        if value { "True" } else { "False" }
    }

    /// What kstatus, Argo CD and `kubectl wait` read.
    fn summaries(status: &NamespaceMigrationStatus, wait: &Wait) -> Vec<Draft> {
        let stage = status.stage;
        let finished = is_terminal(stage);
        let stalled = wait.stalled || stage == Stage::RollbackBlocked;
        let succeeded = match stage {
            Stage::Completed => "True",
            Stage::RolledBack | Stage::Failed => "False",
            _ => "Unknown",
        };
        let draft = |kind, status| Draft { kind, status, reason: wait.reason, message: wait.message.clone() };
        vec![
            draft("Ready", if stage == Stage::Pending { "Unknown" } else { truth(stage == Stage::Completed) }),
            draft("Reconciling", truth(!finished && !stalled)),
            draft("Stalled", truth(stalled)),
            draft("Succeeded", succeeded),
            draft("Finished", truth(finished)),
        ]
    }

    /// One condition for each part of the work, True once it has been observed to be done.
    fn parts(status: &NamespaceMigrationStatus, wait: &Wait) -> Vec<Draft> {
        let rolled_back = match status.stage {
            Stage::RolledBack => ("True", Reason::RolledBack, "The source serves everything again.".to_owned()),
            stage if is_rollback(stage) => ("False", wait.reason, wait.message.clone()),
            _ => ("False", Reason::NotYet, "No rollback was needed.".to_owned()),
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
        match entry.map(|entry| entry.state) {
            Some(PipelineState::Done) if kind == "TrafficShifted" && back => Draft {
                kind,
                status: "False",
                reason: Reason::RollingBack,
                message: "The traffic went back.".to_owned(),
            },
            Some(PipelineState::Done) => {
                let message = entry.map(|entry| entry.message.clone()).unwrap_or_default();
                Draft { kind, status: "True", reason: Reason::Passed, message }
            }
            Some(PipelineState::Running) => {
                Draft { kind, status: "False", reason: wait.reason, message: wait.message.clone() }
            }
            _ => {
                Draft { kind, status: "False", reason: Reason::NotYet, message: format!("{stage} has not been done.") }
            }
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
                let reason =
                    if kind == "SourceHealthy" && status == "False" { Reason::SourceUnhealthyToo } else { reason };
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
        let contested = wait.reason == Reason::WeightContested;
        let contest = if contested { wait.message.clone() } else { "Nobody else changes the weights.".to_owned() };
        let reason = if contested { Reason::WeightContested } else { Reason::Passed };
        let unverified =
            "With AnnotationOnly nothing is asked of DNS: a weight counts as served after the time that it may take.";
        let silence = if status.stage == Stage::Completed {
            "Nobody has measured whether the source still gets requests."
        } else {
            "The source still serves."
        };
        vec![
            Draft {
                kind: "WeightsVerified",
                status: "Unknown",
                reason: Reason::NotYet,
                message: unverified.to_owned(),
            },
            Draft { kind: "WeightContested", status: truth(contested), reason, message: contest },
            Draft {
                kind: "SourceSilent",
                status: "Unknown",
                reason: Reason::SilenceNotProved,
                message: silence.to_owned(),
            },
        ]
    }
}
