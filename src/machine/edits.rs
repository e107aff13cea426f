//! Edits of the spec while an attempt runs. Steps and holds are taken up at the next boundary between two steps, the bake at
//! once; what the plan has fixed for the whole attempt is told, with what to do about it.
//!
//! A plan is written to status before anything is done by it: a write whose status was lost can then still be told apart.

mod record;

use super::authors::Author;
use super::order::Order;
use super::reason::Reason;
use super::resume;
use super::run::{Event, Run, Wait, seconds, words};
use super::stages;
use crate::api::Stage;
use crate::api::status::{DeferredEdit, NamespaceMigrationStatus, Plan, PlannedStep, StepPhase, StepProgress};

pub(super) use record::note;

/// The plan with its hash: the first half of the SHA-256 of its text without one. Its clusters are not part of it, so that a plan
/// which takes them up later stays the same plan.
#[must_use]
pub(super) fn sealed(plan: Plan) -> Plan {
    let open = Plan { hash: String::new(), clusters: None, ..plan.clone() };
    let text = serde_json::to_vec(&open).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, &text);
    let hash = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    Plan { hash, ..plan }
}

/// The order as it is in force for an attempt that runs: what moves, moves, and what was left out stays out. What has come
/// since may be left out at any time.
pub(super) fn in_force(order: &Order, status: &NamespaceMigrationStatus) -> Order {
    let mut order = order.clone();
    if let Some(plan) = status.plan.as_ref().filter(|_| is_running(status.stage)) {
        order.excluded_ingresses.extend(plan.excluded.iter().cloned());
        order.excluded_ingresses.retain(|name| !plan.ingresses.iter().any(|planned| planned.name == *name));
    }
    order
}

/// The steps that the spec asks for, seen from the current one: it stays as planned, and what was passed stays on record,
/// unless the way leads down. None when they are those of the plan.
fn steps(run: &Run<'_>) -> Option<(Vec<PlannedStep>, usize)> {
    let planned = &run.status.plan.as_ref()?.steps;
    let asked: Vec<_> =
        run.order.steps.iter().map(|step| PlannedStep { weight: step.weight.get(), hold: words(step.hold) }).collect();
    let Some(progress) = &run.status.step else { return (asked != *planned).then_some((asked, 0)) };
    let index = usize::try_from(progress.index).unwrap_or_default();
    let current = planned.get(index)?;
    let passed: Vec<_> = if current.weight > run.order.up_to.get() {
        asked.iter().filter(|step| step.weight < current.weight).cloned().collect()
    } else {
        planned[..index].to_vec()
    };
    let ahead = asked.into_iter().filter(|step| step.weight > current.weight);
    let index = passed.len();
    let steps: Vec<_> = passed.into_iter().chain([current.clone()]).chain(ahead).collect();
    (steps != *planned).then_some((steps, index))
}

/// A wait at a boundary between two steps, while the plan is brought up to date. None when it is.
pub(super) fn boundary(run: &Run<'_>) -> Option<Wait> {
    steps(run)?;
    let message = "The plan is brought up to date with spec.traffic.steps; it goes on at once.";
    Some(Wait::new(Reason::PlanChanged, message).until(run.now))
}

/// Takes up what may be taken up now. Returns whether the plan is another one, so that it must be looked at again.
pub(super) fn take_up(run: &mut Run<'_>, wait: &Wait) -> bool {
    let stage = run.status.stage;
    if !is_running(stage) {
        return false;
    }
    // Before the first step every moment is a boundary.
    let at_boundary = wait.reason == Reason::PlanChanged || stage < Stage::ShiftTraffic;
    let steps = steps(run).filter(|_| at_boundary);
    let bake = words(run.order.bake);
    let Some(plan) = &mut run.status.plan else { return false };
    if steps.is_none() && plan.bake == bake {
        return false;
    }
    let before = [in_words(&plan.steps), plan.bake.clone()];
    plan.bake = bake;
    if let Some((steps, index)) = steps {
        plan.steps = steps;
        if let Some(progress) = &mut run.status.step {
            progress.index = i32::try_from(index).unwrap_or_default();
        }
    }
    *plan = sealed(std::mem::take(plan));
    let (after, hash) = ([in_words(&plan.steps), plan.bake.clone()], plan.hash.clone());
    let author = taken_up(run, before, &after);
    let [steps, bake] = after;
    let note = format!("The plan follows the spec{}: steps {steps}; bake {bake}; hash {hash}.", author.with_time());
    run.events.push(Event { reason: Reason::PlanChanged, note, warning: false });
    true
}

/// Keeps in status who has changed the plan. Returns the one who did it last.
fn taken_up(run: &mut Run<'_>, before: [String; 2], after: &[String; 2]) -> Author {
    let controls = &run.order.controls;
    let changed = ["spec.traffic.steps", "spec.bake"].into_iter().zip(before).zip(after);
    changed.filter(|((_, from), to)| from != *to).fold(Author::default(), |last, ((field, from), to)| {
        record::record(controls, &mut run.status, field, [from, to.clone()], run.now);
        last.or_later(controls.author(field))
    })
}

/// Steps as a person reads them: `10 % for 30m, 100 % for 1h`.
fn in_words(steps: &[PlannedStep]) -> String {
    let steps: Vec<_> = steps.iter().map(|step| format!("{} % for {}", step.weight, step.hold)).collect();
    steps.join(", ")
}

fn is_running(stage: Stage) -> bool {
    (Stage::WeightSource..=Stage::Bake).contains(&stage)
}

/// Tells the edits that are not in force.
pub(super) fn tell(run: &mut Run<'_>, asked: &Order) {
    let known = std::mem::take(&mut run.status.deferred_edits);
    for mut edit in deferred(run, asked) {
        let is_same = |known: &&DeferredEdit| (&known.field, &known.message) == (&edit.field, &edit.message);
        if let Some(known) = known.iter().find(is_same) {
            edit.at.clone_from(&known.at);
        } else {
            edit.at = Some(seconds(run.order.controls.author(&edit.field).at.unwrap_or(run.now)));
            run.events.push(Event { reason: Reason::EditDeferred, note: edit.message.clone(), warning: true });
        }
        run.status.deferred_edits.push(edit);
    }
}

/// Before the plan everything is taken up, and on the way back only the next attempt asks for anything.
fn deferred(run: &Run<'_>, asked: &Order) -> Vec<DeferredEdit> {
    let stage = run.status.stage;
    let attempt = attempt(run).filter(|_| !stages::is_terminal(stage));
    if !is_running(stage) {
        return attempt.into_iter().collect();
    }
    [attempt, excluded(run, asked), secrets(run), later_steps(run)].into_iter().flatten().collect()
}

fn edit(field: &str, message: String) -> Option<DeferredEdit> {
    Some(DeferredEdit { field: field.to_owned(), message, at: None })
}

fn attempt(run: &Run<'_>) -> Option<DeferredEdit> {
    let (asked, now) = (run.order.attempt, run.status.attempt);
    if asked <= now {
        return None;
    }
    let back = stages::is_rollback(run.status.stage);
    let by = run.order.controls.author("spec.attempt").in_brackets();
    let raised = format!("spec.attempt was raised to {asked}{by}");
    let higher = asked.saturating_add(1);
    let message = match (back, asked > resume::last_seen(&run.status)) {
        (true, true) => {
            format!("{raised} while attempt {now} goes back: attempt {asked} begins by itself when that is over.")
        }
        (true, false) => format!(
            "{raised} before attempt {now} began to go back, so that it begins nothing by itself. To try again: set it to {higher}."
        ),
        (false, _) => format!(
            "{raised} while attempt {now} runs, which begins nothing by itself. To try again: request a rollback, and then set it to \
             {higher}."
        ),
    };
    edit("spec.attempt", message)
}

fn excluded(run: &Run<'_>, asked: &Order) -> Option<DeferredEdit> {
    if run.order.excluded_ingresses == asked.excluded_ingresses {
        return None;
    }
    frozen(run, "spec.ingresses.exclude")
}

/// A Secret may be left out until the Secrets have been copied; none can be added.
fn secrets(run: &Run<'_>) -> Option<DeferredEdit> {
    let plan = run.status.plan.as_ref()?;
    let added = run.order.secrets.iter().any(|name| !plan.secrets.contains(name));
    let left_out = stages::still_wanted(run.order, Some(plan)).len() < plan.secrets.len();
    let too_late = left_out && run.status.stage > Stage::CopySecrets;
    if !added && !too_late {
        return None;
    }
    frozen(run, "spec.secrets")
}

fn frozen(run: &Run<'_>, field: &str) -> Option<DeferredEdit> {
    let next = run.status.attempt.max(run.order.attempt).saturating_add(1);
    let by = run.order.controls.author(field).in_brackets();
    edit(
        field,
        format!(
            "{field} was changed{by} after the plan was agreed: it takes effect with the next attempt. Undo the edit; or request a \
             rollback, and set spec.attempt to {next} when it has ended."
        ),
    )
}

fn later_steps(run: &Run<'_>) -> Option<DeferredEdit> {
    if run.status.stage == Stage::Bake {
        return steps_after_the_last(run);
    }
    let progress = run.status.step.as_ref()?;
    if steps(run).is_none() {
        return hold_under_way(run, progress);
    }
    let when = if progress.phase == StepPhase::Holding { "its hold is over" } else { "it has been held" };
    edit(
        "spec.traffic.steps",
        format!(
            "spec.traffic.steps was changed{} while a step is under way: it takes effect when {when}.",
            by_whom(run)
        ),
    )
}

/// Who wrote the steps, in brackets, as far as is known.
fn by_whom(run: &Run<'_>) -> String {
    run.order.controls.author("spec.traffic.steps").in_brackets()
}

/// The step under way is held as long as was agreed when it began.
fn hold_under_way(run: &Run<'_>, progress: &StepProgress) -> Option<DeferredEdit> {
    let planned = run.status.plan.as_ref()?.steps.get(usize::try_from(progress.index).ok()?)?;
    let asked = run.order.steps.iter().find(|step| step.weight.get() == planned.weight)?;
    let (weight, hold, asked) = (planned.weight, &planned.hold, words(asked.hold));
    if asked == *hold {
        return None;
    }
    edit(
        "spec.traffic.steps",
        format!(
            "spec.traffic.steps{} gives {weight} percent a hold of {asked}, but that step is under way: it is held for {hold}, as \
             when it began.",
            by_whom(run)
        ),
    )
}

/// In the bake every step has been held: a new one counts only on a way down, or next time.
fn steps_after_the_last(run: &Run<'_>) -> Option<DeferredEdit> {
    let planned = &run.status.plan.as_ref()?.steps;
    let is_planned = |weight: i32| planned.iter().any(|step| step.weight == weight);
    let new = run.order.steps.iter().map(|step| step.weight.get()).find(|weight| !is_planned(*weight))?;
    edit(
        "spec.traffic.steps",
        format!(
            "spec.traffic.steps{} has a new step, {new} percent, but every step of the plan has been held: it counts when \
             spec.traffic.upTo is lowered, or in the next attempt.",
            by_whom(run)
        ),
    )
}
