//! The driver: asks the current stage, moves on while it can, and makes one decision of it.

use jiff::Timestamp;

use super::alarm;
use super::allowed;
use super::alone;
use super::claim;
use super::contest;
use super::deadline;
use super::deletion;
use super::drift;
use super::effect::Effect;
use super::exposure;
use super::health::{HealthView, Verdict};
use super::observed::{Observed, Side};
use super::order::Order;
use super::reason::Reason;
use super::recheck;
use super::replace;
use super::resume::{self, highest_epoch};
use super::run::{Event, Memo, Move, Run, Wait, micro, seconds};
use super::stages::{self, is_rollback, is_terminal, is_watched};
use super::summary;
use super::traffic::Weight;
use super::urgency::{Urgency, urgency};
use super::{edits, pause, pins, requests};
use crate::api::namespace_migration::{OnFailure, RemovalPolicy};
use crate::api::status::{Cause, NamespaceMigrationStatus, RequestKind, Stage, StepPhase, StepProgress, Undone};

/// Stages passed in one pass at most: all of them, each with a few things to remember. More would be a loop.
const MOVES_PER_PASS: usize = 64;

/// What one pass decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Changes to carry out, in this order.
    pub effects: Vec<Effect>,
    /// The status to write, with its conditions.
    pub status: NamespaceMigrationStatus,
    /// What happened, for people.
    pub events: Vec<Event>,
    /// When to look again, if nothing happens before.
    pub wake_at: Option<Timestamp>,
}

/// What has to be looked at beyond what is watched anyway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Both clusters are connected and the namespace is watched.
    pub clusters: bool,
    /// Both sides are probed.
    pub probes: bool,
    /// These Secrets are read on both sides.
    pub secrets: Vec<String>,
    /// Both sides are asked what the operator may do.
    pub rights: bool,
    /// The Ingresses of all namespaces are listed, at this time or later. None: nobody needs that.
    pub neighbours: Option<Timestamp>,
    /// DNS is read, as urgently as this. None: nobody needs it.
    pub dns: Option<Urgency>,
}

/// What must be looked at before [`decide`], from the status alone. An ended migration needs nothing.
pub fn needs(order: &Order, status: &NamespaceMigrationStatus) -> Needs {
    let may_go_on = deletion::may_try_again(order);
    let restarts = resume::is_raised(order.attempt, status);
    let wakes =
        (may_go_on && (restarts || requests::wakes(order, status))) || deletion::waits_for_request(order, status);
    if order.deletion.is_orphaned() || (is_terminal(status.stage) && !wakes) {
        return Needs::default();
    }
    // What is in a namespace is not told to whom it does not concern. What may have been written before goes back all the same.
    let may_go_back =
        order.deletion.held && (order.deletion.is_asked() || requests::rollback_is_waiting(order, status));
    if order.not_allowed.is_some() && status.stage <= Stage::Preflight && !may_go_back {
        return Needs::default();
    }
    let planned = status.plan.iter().flat_map(|plan| plan.secrets.iter().cloned());
    let removes = order.created_objects == RemovalPolicy::Remove;
    let secrets = match status.stage {
        Stage::CopySecrets if !is_hurried(order, status) => planned.collect(),
        // Only to remove them, and so only when both sides are written: a rollback waits for no read of the target.
        Stage::RollingBack | Stage::RollbackBlocked if removes && status.written_since.is_some() => planned.collect(),
        _ => vec![],
    };
    // A pass that begins in Pending, or after an end, may walk on. Under way nobody asks: a rollback waits for no answer.
    let begins = status.stage <= Stage::Preflight || restarts;
    let rights = begins && !is_hurried(order, status);
    let neighbours = stamped_since(status, begins).filter(|_| !is_hurried(order, status));
    let (probes, dns) = (is_watched(status.stage), urgency(order, status));
    Needs { clusters: true, probes, secrets, rights, neighbours, dns }
}

/// From when on a listing of other migrations counts: before the first write at any time, then from when our own stamps were there.
fn stamped_since(status: &NamespaceMigrationStatus, begins: bool) -> Option<Timestamp> {
    let is_open = status.stage == Stage::WeightSource && status.rehearsal.is_none();
    let stamped = status.written_since.as_ref().filter(|_| is_open).map(|since| since.0);
    if begins { Some(Timestamp::MIN) } else { stamped }
}

/// Whether a person has asked for something that waits for no read: what is asked for needs none.
fn is_hurried(order: &Order, status: &NamespaceMigrationStatus) -> bool {
    !order.controls.pauses.is_empty() || order.deletion.is_asked() || requests::rollback_is_waiting(order, status)
}

/// Decides what to do about one migration, given everything that is known at `now`.
///
/// It promises: going forward it never asks for both weights 0 nor for more than the step's share; once it rolls back it
/// only ever lowers the target; an ended migration gets no effect; conditions move their transition time only with their status.
pub fn decide(order: &Order, status: &NamespaceMigrationStatus, observed: &Observed, now: Timestamp) -> Decision {
    let in_force = edits::in_force(order, status);
    let observed = pins::believed(order, status, observed);
    let mut run = Run::new(&in_force, &observed, status.clone(), now);
    let told = requests::note(&order.controls, &mut run.status, now);
    run.events.extend(told);
    let edited = edits::note(&order.controls, &mut run.status, now);
    run.events.extend(edited);
    resume::adopt(&mut run);
    pins::remember(&mut run);
    run.status.observed_generation = order.generation;
    requests::answer(&mut run);
    replace::note(&mut run);
    summary::remember_created(&mut run);
    let (effects, mut wait) = drive(&mut run);
    // In another step than before, other weights are foreign.
    replace::note(&mut run);
    let effects = pins::permitted(&run, effects);
    if effects.is_empty() && edits::take_up(&mut run, &wait) {
        wait = wait.looking_again_at(now);
    }
    edits::tell(&mut run, order);
    let effects = deletion::frame(&run, status.stage, effects);
    let wait = deletion::explain(&run, &effects, stages::unblocked(&run, wait));
    deletion::announce(&mut run, status, &effects, &wait);
    alarm::call_for_help(&mut run, status, &wait);
    summary::write(&mut run, &wait);
    alarm::tell_of_source(&mut run, status);
    // A deadline that has passed has had its effect: waking for it again would never end.
    let deadline = deadline::deadline(&run).filter(|at| *at > now);
    let wake_at = [wait.wake_at, wait.look_again, deadline].into_iter().flatten().min();
    Decision { effects, wake_at, status: run.status, events: run.events }
}

/// The status to save when the process ends: the clock of a hold is stopped, so that what it has watched counts for the
/// next process. None when no clock runs.
pub fn rest(
    status: &NamespaceMigrationStatus,
    health: &HealthView,
    now: Timestamp,
) -> Option<NamespaceMigrationStatus> {
    let running = status.step.as_ref().filter(|_| is_watched(status.stage));
    let step = Some(running.and_then(|step| stages::stopped(step, health, now))?);
    Some(NamespaceMigrationStatus { step, ..status.clone() })
}

fn drive(run: &mut Run<'_>) -> (Vec<Effect>, Wait) {
    for _ in 0..MOVES_PER_PASS {
        match next_move(run) {
            Move::Act { effects, wait } => {
                block_late_rollback(run);
                return (effects, wait);
            }
            Move::Remember(memo) => remember(run, memo),
            Move::Advance { message } => advance(run, &message),
            Move::RollBack { reason, message } => {
                let first = noted_first(run);
                roll_back(run, reason, message);
                if let Some(wait) = first {
                    return (vec![], wait);
                }
            }
            Move::StepDown { index } => step_down(run, index),
            Move::Fail { reason, message } => fail(run, reason, message),
        }
    }
    let message = "More was to be decided than one pass allows, which is a bug; it is looked at again.";
    let again = run.now.saturating_add(jiff::SignedDuration::from_secs(10)).unwrap_or(run.now);
    (vec![], Wait::new(Reason::NotYet, message).looking_again_at(again))
}

/// What overrules the stage comes first: a deletion, a person's rollback, a pause, somebody else's writes and health; then the
/// stage, within its deadline.
fn next_move(run: &Run<'_>) -> Move {
    if let Some(answer) = deletion::respond(run) {
        return answer;
    }
    let stage = run.status.stage;
    if let Some(requested) = requests::rollback(run) {
        return requested;
    }
    if is_terminal(stage) {
        return stages::visit(run);
    }
    if is_rollback(stage) {
        return pause::beside_rollback(run, stages::visit(run));
    }
    let overruled = overruled(run);
    if let Some(paused) = pause::respond(run, overruled.as_ref()) {
        return paused;
    }
    if let (Some(Move::Act { .. }), Some(memo)) = (&overruled, stages::stopped_clock(run)) {
        return Move::Remember(memo);
    }
    let answer = overruled.unwrap_or_else(|| stages::visit(run));
    match &answer {
        Move::Act { effects, wait } => deadline::exceeded(run, effects, wait).unwrap_or(answer),
        _ => answer,
    }
}

/// Neither a contest nor a revoked permission nor an edited pair blocks a rollback for health. Nothing but a contest or an edited pair
/// blocks the way down: it takes users back to where they were before, and the stage itself moves nobody to a source that fails. What
/// gives the target more users than its step, on an Ingress or in DNS, goes before all of them.
fn overruled(run: &Run<'_>) -> Option<Move> {
    let (contest, drift) = (contest::respond(run), drift::respond(run));
    if let (Some(rollback @ Move::RollBack { .. }), _) | (_, Some(rollback @ Move::RollBack { .. })) =
        (&contest, &drift)
    {
        return Some(rollback.clone());
    }
    if let Some(alone) = alone::respond(run) {
        return Some(alone);
    }
    let frozen = || pins::frozen(run).map(Move::from);
    if stages::goes_down(run) {
        return unhealthy(run).or_else(frozen).or(contest).or_else(|| claim::missing(run));
    }
    let refused = || allowed::refused(run).map(Move::from);
    let broken = || recheck::broken(run).map(Move::from);
    let before_the_stage = contest.or_else(|| claim::missing(run)).or_else(broken).or(drift);
    unhealthy(run).or_else(frozen).or_else(refused).or(before_the_stage)
}

/// What a failing target leads to. Users are never moved from one broken side to another.
fn unhealthy(run: &Run<'_>) -> Option<Move> {
    let health = &run.observed.health;
    if !is_watched(run.status.stage) || run.target_verdict() != Verdict::Fail {
        return None;
    }
    let found = health
        .first(Side::Target, Verdict::Fail)
        .map(|check| format!("{}: {}.", check.name, check.message.trim_end_matches('.')))
        .unwrap_or_default();
    if health.verdict(Side::Source) == Verdict::Fail {
        let message = format!("The target is unhealthy, and so is the source; nobody is moved. {found}");
        let wait = Wait::new(Reason::SourceUnhealthyToo, message)
            .unblocked_by("Mend one of the two sides; it goes on by itself.");
        return Some(wait.stalled().into());
    }
    let message = format!("The target is unhealthy. {found}");
    match run.order.on_failure {
        OnFailure::Rollback => Some(Move::RollBack { reason: Reason::TargetUnhealthy, message }),
        OnFailure::Hold if stages::goes_down(run) => None,
        OnFailure::Hold => Some(Wait::new(Reason::Held, message).unblocked_by(ways_out(run)).stalled().into()),
    }
}

/// What a person can do about a target that fails and is held.
fn ways_out(run: &Run<'_>) -> String {
    let below = Some(contest::weight_below(run)).filter(|_| contest::is_in_a_step(run));
    let down = below.map_or_else(String::new, |below| {
        let or_less = if below > Weight::ZERO { " or less" } else { "" };
        format!("; or lower spec.traffic.upTo to {below}{or_less} to bring users back step by step")
    });
    format!(
        "Mend the target, then it goes on by itself; or set spec.onFailure to Rollback to send everything back{down}."
    )
}

fn remember(run: &mut Run<'_>, memo: Memo) {
    match memo {
        Memo::Plan(plan) => run.status.plan = Some(plan),
        Memo::WrittenNow => run.status.written_since = Some(micro(run.now)),
        Memo::Rehearsal(rehearsal) => run.status.rehearsal = Some(rehearsal),
        Memo::Undone => undone(run),
        Memo::StepAnew => step_anew(run),
        Memo::PutBack(put_back) => run.status.put_back = put_back,
        Memo::DeadlineAnew => restart_deadline(run),
        Memo::Frozen => {
            run.status.epoch = highest_epoch(run) + 1;
            run.status.frozen_epoch = Some(run.status.epoch);
        }
        Memo::Step(step) => take_step(run, step),
        Memo::BeforeFirstStep => {
            run.status.step = None;
            let note = format!("The target goes back to 0 percent, before the first step{}.", summary::ceiling(run));
            run.events.push(Event { reason: Reason::StepEntered, note, warning: false });
        }
        Memo::Pause(pause) => run.events.extend(pause::begin(&mut run.status, pause)),
        Memo::Resume => run.events.extend(pause::end(&mut run.status, run.now)),
        Memo::Refuse(kind, why) => requests::refuse(run, kind, &why),
    }
}

fn take_step(run: &mut Run<'_>, step: StepProgress) {
    let before = run.status.step.as_ref().map_or(-1, |old| old.index);
    let index = step.index;
    run.status.step = Some(step);
    if index != before && run.status.stage == Stage::ShiftTraffic {
        announce_step(run, index < before);
    }
}

fn undone(run: &mut Run<'_>) {
    run.status.written_since = None;
    let times = run.status.undone.as_ref().map_or(0, |undone| undone.times);
    run.status.undone = Some(Undone { times: times.saturating_add(1), last: micro(run.now) });
}

/// What kept it from going on is over, or a person asks for another try.
pub(super) fn restart_deadline(run: &mut Run<'_>) {
    // The wait before is over: it is not found again as what stood still.
    run.status.reason.clear();
    match &mut run.status.step {
        Some(step) if run.status.stage == Stage::ShiftTraffic => step.since = micro(run.now),
        _ => run.status.stage_started_at = Some(seconds(run.now)),
    }
}

fn announce_step(run: &mut Run<'_>, down: bool) {
    let text = summary::step_text(run);
    let weight = summary::step_weight(run);
    let verb = if down { "goes back to" } else { "gets" };
    let why = if down { summary::ceiling(run) } else { String::new() };
    let note = format!("Step {text}: the target {verb} {weight} percent{why}.");
    run.events.push(Event { reason: Reason::StepEntered, note, warning: false });
}

fn advance(run: &mut Run<'_>, message: &str) {
    summary::finish_stage(run, message);
    enter(run, stages::after(run.status.stage));
}

/// Enters a stage. The epoch of an attempt is fixed when its first write comes near.
fn enter(run: &mut Run<'_>, stage: Stage) {
    if (is_terminal(stage) || is_rollback(stage)) && !is_rollback(run.status.stage) {
        run.status.attempt_seen = Some(run.order.attempt);
    }
    run.status.stage = stage;
    run.status.stage_started_at = Some(seconds(run.now));
    run.status.written_since = None;
    run.status.undone = None;
    if stage == Stage::WeightSource {
        run.status.rehearsal = None;
        run.status.epoch = highest_epoch(run) + 1;
    }
    if is_terminal(stage) {
        run.status.pause = None;
    }
    replace::forget_unless_forward(&mut run.status);
    requests::close(run);
    let warning = matches!(stage, Stage::RollingBack | Stage::Failed);
    let cause = run.status.cause.as_ref().map(|cause| cause.message.as_str()).unwrap_or_default();
    let note = match stage {
        Stage::Completed => "The service has moved: the target serves everything.".to_owned(),
        Stage::RolledBack => format!("The source serves everything again. {cause}"),
        Stage::RollingBack => format!("RollingBack began. {cause}"),
        Stage::Failed => format!("{} {cause}", stages::failed(&run.status)),
        _ => format!("{stage} began."),
    };
    let reason = match stage {
        Stage::Completed => Reason::Completed,
        Stage::RolledBack => Reason::RolledBack,
        Stage::RollingBack => Reason::RollingBack,
        Stage::Failed => Reason::Failed,
        _ => Reason::StageEntered,
    };
    run.events.push(Event { reason, note, warning });
    summary::begin_stage(run);
}

/// Everything goes back, under a new epoch: every older write in flight fails from the first write on.
fn roll_back(run: &mut Run<'_>, reason: Reason, message: String) {
    summary::write_health(run);
    if run.status.stage == Stage::Completed {
        summary::finish_stage(run, "The service had moved.");
    } else {
        summary::fail_stage(run, &message);
    }
    let untouched = nothing_was_changed(run);
    if let Some(memo) = stages::stopped_clock(run) {
        // No hold goes on: a clock that is seen to run would say so.
        remember(run, memo);
    }
    run.status.pause = None;
    run.status.cause = Some(Cause { reason: reason.as_str().to_owned(), message, at: seconds(run.now) });
    requests::accept(run, RequestKind::Rollback);
    if untouched {
        return enter(run, Stage::RolledBack);
    }
    if run.status.plan.is_none() {
        run.status.plan = Some(stages::plan(run));
    }
    run.status.epoch = highest_epoch(run) + 1;
    run.status.exposed_percent = Some(exposure::begin(run));
    enter(run, Stage::RollingBack);
}

/// A wait for the status to be saved before the first write of a rollback, if a last stamp is there that status does not know of.
/// Either that stamp was followed by a saved end, which then keeps this status from being saved, or the end is not saved any more:
/// an ended migration is not opened again by a process that was stopped for long.
fn noted_first(run: &Run<'_>) -> Option<Wait> {
    let ended = run.status.stage == Stage::Bake && run.is_marked_as_completed();
    let message = "The end was being marked on the Ingresses; that it goes back is noted first.";
    ended.then(|| Wait::new(Reason::RollingBack, message).looking_again_at(run.now))
}

/// Before the first write there is nothing to take back; stamps that are there tell of a status that was lost.
fn nothing_was_changed(run: &Run<'_>) -> bool {
    let running = resume::newest_stamp(run).is_some_and(|stamp| !stamp.direction.is_final());
    run.status.stage <= Stage::Preflight && !running
}

/// A step is left for the one below, also from the bake.
fn step_down(run: &mut Run<'_>, index: i32) {
    if run.status.stage == Stage::Bake {
        summary::reopen_shift(run);
        enter(run, Stage::ShiftTraffic);
    }
    run.status.epoch = highest_epoch(run) + 1;
    run.status.step = Some(stages::leaving(run, index, StepPhase::RaiseSource));
}

/// The step is written from its beginning, also from the bake, which then begins anew.
fn step_anew(run: &mut Run<'_>) {
    if run.status.stage == Stage::Bake {
        summary::reopen_shift(run);
        enter(run, Stage::ShiftTraffic);
    }
    replace::begin(run);
}

fn fail(run: &mut Run<'_>, reason: Reason, message: String) {
    summary::fail_stage(run, &message);
    run.status.cause = Some(Cause { reason: reason.as_str().to_owned(), message, at: seconds(run.now) });
    enter(run, Stage::Failed);
}

/// A rollback that takes too long is still tried, but a person must be told.
fn block_late_rollback(run: &mut Run<'_>) {
    let late =
        run.status.stage == Stage::RollingBack && deadline::deadline(run).is_some_and(|deadline| run.now >= deadline);
    if late {
        let known = format!("{} {}", run.status.message, run.status.unblock);
        let note = format!("The rollback is not over yet and is still being tried. {}", known.trim_end());
        run.status.stage = Stage::RollbackBlocked;
        run.events.push(Event { reason: Reason::DeadlineExceeded, note, warning: true });
    }
}
