//! What a person reads: columns, pipeline, traffic, checks and conditions, all from the same decision.

mod conditions;
mod dns;
mod served;

pub use conditions::CONDITIONS;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::exposure;
use super::health::Verdict;
use super::observed::{SecretPresence, Side};
use super::reason::Reason;
use super::run::{Run, Wait, seconds};
use super::stages::{self, FORWARD, is_rollback, is_terminal, is_watched};
use super::traffic::Weight;
use crate::api::status::{
    CheckStatus, CreatedObject, IngressTraffic, NamespaceMigrationStatus, PipelineStage, PipelineState, Stage,
};
use crate::replicate;

/// What stands in place of a verdict before the first stage that is watched.
const UNWATCHED: &str = "Unwatched";

/// Writes everything that a person reads into the status.
pub fn write(run: &mut Run<'_>, wait: &Wait) {
    remember_traffic(run);
    run.status.step_text = step_text(run);
    run.status.weight = run.status.traffic.iter().filter_map(|traffic| traffic.target_weight).max().unwrap_or(0);
    run.status.exposed_percent =
        is_rollback(run.status.stage).then(|| exposure::percent(run)).filter(|percent| *percent > 0);
    // Once it has ended nobody reads DNS: what was read for its end stays.
    if !is_terminal(run.status.stage) || !run.observed.dns.hosts.is_empty() {
        dns::write(run, wait.gate.as_deref().copied());
    }
    if is_terminal(run.status.stage) {
        dns::open_gates(&mut run.status);
    }
    write_health(run);
    write_findings(run);
    if let Some(secrets) = stages::secret_statuses(run).filter(|_| !is_rollback(run.status.stage)) {
        run.status.secrets = secrets;
    }
    begin_first_stage(run);
    let wait = with_cause(run, wait);
    write_wait(&mut run.status, &wait, run.now);
}

/// Writes what is waited for and since when, and the conditions.
pub fn write_wait(status: &mut NamespaceMigrationStatus, wait: &Wait, now: Timestamp) {
    if status.reason != wait.reason.as_str() || status.waiting_since.is_none() {
        status.waiting_since = Some(seconds(now));
    }
    wait.reason.as_str().clone_into(&mut status.reason);
    status.message.clone_from(&wait.message);
    status.unblock.clone_from(&wait.unblock);
    status.next = wait.wake_at.filter(|at| *at > now).map(seconds);
    status.next_text = status.next.as_ref().map(|next| in_utc(next.0)).unwrap_or_default();
    conditions::write(status, wait, now);
}

/// A time as a person reads it: `Nov 21 14:05:10Z`.
fn in_utc(at: Timestamp) -> String {
    at.strftime("%b %d %H:%M:%SZ").to_string()
}

fn write_findings(run: &mut Run<'_>) {
    if run.status.stage <= Stage::Bake && stages::trouble_before_checks(run).is_none() {
        run.status.preflight = stages::findings(run);
    }
}

/// Why everything goes back is read beside what the rollback waits for.
fn with_cause(run: &Run<'_>, wait: &Wait) -> Wait {
    let cause = run.status.cause.as_ref().filter(|_| is_rollback(run.status.stage));
    let message = cause.map(|cause| format!("{} Why: {}", wait.message, cause.message));
    Wait { message: message.unwrap_or_else(|| wait.message.clone()), ..wait.clone() }
}

fn remember_traffic(run: &mut Run<'_>) {
    let traffic: Vec<_> = run
        .ingresses()
        .iter()
        .map(|planned| {
            let old = run.status.traffic.iter().find(|traffic| traffic.ingress == planned.name);
            // What cannot be seen keeps its last value: an unreachable cluster is not an empty one.
            let weight = |side: Side, old: Option<i32>| match run.ingress(side, planned) {
                Some(facts) => facts.weight().map(Weight::get),
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

/// The verdicts. What ends the watch keeps the last ones, to be read afterwards.
pub fn write_health(run: &mut Run<'_>) {
    if !is_watched(run.status.stage) {
        if run.status.health.is_empty() {
            UNWATCHED.clone_into(&mut run.status.health);
        }
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

/// Whether a status says that a person is needed.
pub fn is_stalled(status: &NamespaceMigrationStatus) -> bool {
    status.conditions.iter().any(|condition| condition.type_ == "Stalled" && condition.status == "True")
}

/// Nobody looks any more: what was last seen is not what is.
pub fn forget_health(status: &mut NamespaceMigrationStatus) {
    if is_watched(status.stage) {
        Verdict::Inconclusive.as_str().clone_into(&mut status.health);
        for check in &mut status.checks {
            Verdict::Inconclusive.as_str().clone_into(&mut check.verdict);
            "nobody looks now".clone_into(&mut check.message);
        }
    }
}

/// The step and how many there are, as `2/4`; `0/4` before the shift. Empty before the steps are agreed.
pub fn step_text(run: &Run<'_>) -> String {
    let Some(plan) = &run.status.plan else { return String::new() };
    let count = i32::try_from(plan.steps.len()).unwrap_or(i32::MAX);
    let begun = run.status.step.as_ref().map_or(0, |step| step.index + 1);
    format!("{}/{count}", begun.min(count))
}

/// The weight of the current step.
pub fn step_weight(run: &Run<'_>) -> i32 {
    let (Some(step), Some(plan)) = (&run.status.step, &run.status.plan) else { return 0 };
    let index = usize::try_from(step.index).unwrap_or_default();
    plan.steps.get(index).or(plan.steps.last()).map_or(0, |step| step.weight)
}

/// Why users are brought back step by step, behind what is done about it. Empty while there is no ceiling.
pub fn ceiling(run: &Run<'_>) -> String {
    let up_to = run.order.up_to;
    if up_to >= Weight::FULL {
        return String::new();
    }
    format!(", because spec.traffic.upTo is {up_to}{}", run.order.controls.author("spec.traffic.upTo").with_time())
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
    let open = |entry: &&mut PipelineStage| matches!(entry.state, PipelineState::Waiting | PipelineState::Running);
    for entry in run.status.pipeline.iter_mut().filter(open) {
        let forward = !is_rollback(stage);
        entry.state = match forward {
            true if entry.name < stage => PipelineState::Done,
            true => entry.state,
            false => PipelineState::Skipped,
        };
        if entry.state != PipelineState::Waiting && entry.name != stage {
            "Taken as done or not needed: the status was lost, and the Ingresses carry the stamp of a later stage."
                .clone_into(&mut entry.message);
        }
    }
}

/// The bake is over without an end: traffic is shifted again.
pub fn reopen_shift(run: &mut Run<'_>) {
    if let Some(bake) = stage_entry(&mut run.status, Stage::Bake) {
        let name = Stage::Bake;
        *bake = PipelineStage {
            name,
            state: PipelineState::Waiting,
            started: None,
            finished: None,
            message: String::new(),
        };
    }
}

/// Marks the current stage as ended well. What the checks found is kept, also when they passed at once.
pub fn finish_stage(run: &mut Run<'_>, message: &str) {
    write_findings(run);
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

fn begin_first_stage(run: &mut Run<'_>) {
    lay_out(run);
    if run.status.stage_started_at.is_none() {
        run.status.stage_started_at = Some(seconds(run.now));
        begin_stage(run);
    }
}
