//! Deletion in mid-way: what `spec.deletionPolicy` makes of it, what it waits for, and when the object is let go.
//!
//! Our finalizer is on the object from before the first write until an end, so that a deletion is answered first, and so that no
//! deletion after an end can turn into a rollback. It never holds the object for ever: what a dead cluster keeps from being
//! written until the deadline is owed by the `ClusterPair` from then on.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::by_hand;
use super::drive::Decision;
use super::effect::Effect;
use super::observed::{Reach, Side};
use super::order::Order;
use super::overdue::{self, is_long_overdue, is_overdue, latest, left_over, missing_fences, not_noted};
use super::pause;
use super::reason::Reason;
use super::requests;
use super::resume::newest_stamp;
use super::run::{Event, Memo, Move, Run, Wait, seconds, words};
use super::stages::{self, is_rollback, is_terminal};
use super::summary;
use crate::api::{ClusterPair, DeletionPolicy, FINALIZER, NamespaceMigration, NamespaceMigrationStatus, Stage};

/// The allowance where no ClusterPair says another one.
const ALLOWANCE: SignedDuration = SignedDuration::from_mins(15);

/// How long a deletion may wait for a cluster, as far as is known where the order cannot be used.
pub(super) fn allowance(pair: Option<&ClusterPair>) -> SignedDuration {
    pair.and_then(|pair| pair.spec.deletion_deadline.span().ok()).unwrap_or(ALLOWANCE)
}

/// Whether this finalizer is on the object.
pub(super) fn has_finalizer(metadata: &ObjectMeta, ours: &str) -> bool {
    metadata.finalizers.iter().flatten().any(|finalizer| finalizer == ours)
}

/// What the object's metadata and spec say about its deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// When somebody asked for it (`metadata.deletionTimestamp`).
    pub asked_at: Option<Timestamp>,
    /// Whether our finalizer is on the object.
    pub held: bool,
    /// What becomes of the weights.
    pub policy: DeletionPolicy,
    /// How long it may wait for a cluster.
    pub allowance: SignedDuration,
}

impl Deletion {
    /// Reads it from the object.
    pub fn of(migration: &NamespaceMigration, allowance: SignedDuration) -> Self {
        let metadata = &migration.metadata;
        Self {
            asked_at: metadata.deletion_timestamp.as_ref().map(|time| time.0),
            held: has_finalizer(metadata, FINALIZER),
            policy: migration.spec.deletion_policy,
            allowance,
        }
    }

    /// Whether the object is being deleted.
    pub fn is_asked(&self) -> bool {
        self.asked_at.is_some()
    }

    /// Whether it is let go without a call to a cluster.
    pub fn is_orphaned(&self) -> bool {
        self.is_asked() && self.policy == DeletionPolicy::Orphan
    }

    /// When what could not be written is left over. None while nobody deletes it.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.asked_at.map(|at| at.saturating_add(self.allowance).unwrap_or(at))
    }
}

/// What a deletion makes of this pass. None: the stage goes on as it would.
pub(super) fn respond(run: &Run<'_>) -> Option<Move> {
    let deletion = &run.order.deletion;
    if !deletion.is_asked() || is_terminal(run.status.stage) {
        return None;
    }
    match deletion.policy {
        DeletionPolicy::Orphan => {
            let message = format!(
                "The object is let go as spec.deletionPolicy Orphan asks{}: no cluster was called, all weights stay. A migration of \
                 the same name goes on from there.",
                by_author(run)
            );
            Some(let_go(run, Reason::Orphaned, message, vec![]))
        }
        _ if run.status.stage <= Stage::Preflight => before_the_first_write(run),
        DeletionPolicy::Freeze if !goes_back_for_another_reason(run) => Some(freeze(run)),
        _ if is_rollback(run.status.stage) => overdue(run),
        _ => Some(roll_back(run)),
    }
}

fn roll_back(run: &Run<'_>) -> Move {
    let message = format!("The migration was deleted in {}, and spec.deletionPolicy is Rollback.", run.status.stage);
    Move::RollBack { reason: Reason::Deleted, message }
}

fn let_go(run: &Run<'_>, reason: Reason, message: impl Into<String>, mut effects: Vec<Effect>) -> Move {
    if run.order.deletion.held {
        effects.push(release(run));
    }
    Move::Act { effects, wait: Wait::new(reason, message) }
}

/// The end of an object that was to go long ago waits for nothing any more; neither does one that is to go at once.
fn release(run: &Run<'_>) -> Effect {
    let waits_no_longer = run.order.deletion.is_orphaned() || is_long_overdue(run);
    if waits_no_longer { Effect::ReleaseAnyway } else { Effect::Release }
}

/// Who wrote the policy, in brackets, as far as is known.
fn by_author(run: &Run<'_>) -> String {
    run.order.controls.author("spec.deletionPolicy").in_brackets()
}

/// With our finalizer on the object something may have been written that a lost status does not tell.
fn before_the_first_write(run: &Run<'_>) -> Option<Move> {
    let is_listed = |side: Side| {
        let view = run.view(side);
        view.synced || !matches!(view.reach, Reach::Unknown | Reach::Reachable)
    };
    if run.order.deletion.held && !(run.view(Side::Source).synced && is_listed(Side::Target)) {
        return Some(unlisted(run));
    }
    let began = newest_stamp(run).is_some_and(|stamp| !stamp.direction.is_final());
    Some(match (&run.status.plan, run.order.deletion.policy) {
        (_, DeletionPolicy::Freeze) if began => {
            let_go(run, Reason::Freezing, "The object is let go; nobody had been sent to the target.", vec![])
        }
        (None, _) if began => Move::Remember(Memo::Plan(stages::plan(run))),
        (Some(_), _) if began => roll_back(run),
        _ => Move::Fail {
            reason: Reason::Deleted,
            message: "The migration was deleted before anything was written.".to_owned(),
        },
    })
}

fn unlisted(run: &Run<'_>) -> Move {
    if is_overdue(run) {
        let message = format!(
            "The status was lost and the clusters could not be listed before the deadline of the deletion, so what this migration had \
             written stays as it is. {}",
            by_hand::seen(run)
        );
        return let_go(run, Reason::LeftOver, message, vec![]);
    }
    let message = "The clusters are listed first: something may have been written.";
    let wait = match run.cluster_trouble() {
        Some(trouble) => Wait { message: format!("{message} {}", trouble.message), ..trouble },
        None => Wait::new(Reason::ConnectingToClusters, message),
    };
    wait.into()
}

/// A rollback that health or a person began is ended whatever the policy: to freeze it would leave users on a sick side.
fn goes_back_for_another_reason(run: &Run<'_>) -> bool {
    let by_deletion = run.status.cause.as_ref().is_some_and(|cause| cause.reason == Reason::Deleted.as_str());
    is_rollback(run.status.stage) && !by_deletion
}

/// A new epoch on both sides at the weights that are there: from then on every older write in flight fails.
fn freeze(run: &Run<'_>) -> Move {
    if is_rollback(run.status.stage) {
        let message = format!(
            "The object is let go as spec.deletionPolicy Freeze asks{}: the rollback stays as far as it has come. A migration of the \
             same name ends it.",
            by_author(run)
        );
        return let_go(run, Reason::Freezing, message, vec![]);
    }
    if run.status.frozen_epoch.is_none() {
        return Move::Remember(Memo::Frozen);
    }
    let effects = pause::fences(run);
    let away = [Side::Source, Side::Target].into_iter().find_map(|side| run.side_trouble(side));
    let by = by_author(run);
    let message = format!("The weights stay and the object is let go, as spec.deletionPolicy Freeze asks{by}.");
    if effects.is_empty() && away.is_none() {
        let message = format!("{message} A migration of the same name goes on from there.");
        return let_go(run, Reason::Freezing, message, vec![]);
    }
    if is_overdue(run) {
        let missing = missing_fences(run).unwrap_or_default();
        return let_go(run, Reason::LeftOver, format!("{message} {missing}").trim_end(), vec![]);
    }
    let message = format!(
        "Both sides get a new stamp at the weights that they have, so that no older write can change them: spec.deletionPolicy is Freeze{by}."
    );
    let wait = match away {
        Some(away) => {
            let message = format!("{message} {}", away.message);
            Wait::new(Reason::Freezing, message).unblocked_by(away.unblock)
        }
        None => Wait::new(Reason::Freezing, message),
    };
    Move::Act { effects, wait }
}

/// What the rollback could not do in time is owed by the pair. None while there is time, unless there is nothing to be done.
fn overdue(run: &Run<'_>) -> Option<Move> {
    if stages::is_all_gone(run) && stages::rollback_removals(run).is_empty() {
        let message =
            "The object is let go: none of its Ingresses is on either side any more, so nothing can be taken back.";
        return Some(let_go(run, Reason::LeftOver, message, vec![]));
    }
    if !run.order.deletion.held || !is_overdue(run) {
        return None;
    }
    let (message, debts) = left_over(run);
    if debts.is_empty() {
        return Some(let_go(run, Reason::LeftOver, message, vec![]));
    }
    let message = if is_long_overdue(run) { not_noted(run, &debts) } else { message };
    let answer = let_go(run, Reason::LeftOver, message, vec![Effect::Owe(debts)]);
    Some(until_it_is_noted(run, answer))
}

/// Read only when it could not be noted at once: until when that is tried, and the way out.
fn until_it_is_noted(run: &Run<'_>, answer: Move) -> Move {
    let (Move::Act { effects, wait }, Some(end)) = (answer.clone(), overdue::end(run)) else { return answer };
    let fix = format!(
        "It is tried again until {}; then the object goes, and an event says what nobody has noted. {}",
        seconds(end).0,
        override_by(&run.order.owner)
    );
    Move::Act { effects, wait: wait.unblocked_by(fix) }
}

/// Whether the way back from the end was asked for and is not answered: held, the object may have begun it in a process that died.
pub(super) fn waits_for_request(order: &Order, status: &NamespaceMigrationStatus) -> bool {
    let asked = status.stage == Stage::Completed && requests::wakes(order, status);
    order.deletion.held && asked && !order.deletion.is_orphaned()
}

/// Puts the object's own effects around those of the stage: held before the first write of an attempt, or of the rollback of one that
/// had ended `before`; released at an end.
pub(super) fn frame(run: &Run<'_>, before: Stage, mut effects: Vec<Effect>) -> Vec<Effect> {
    let deletion = &run.order.deletion;
    if is_terminal(run.status.stage) && deletion.held && !waits_for_request(run.order, &run.status) {
        effects.push(release(run));
    }
    let changes_something = effects.iter().any(|effect| effect.side().is_some());
    if changes_something && !deletion.held && !deletion.is_asked() {
        // Nothing stands before the writes of a rollback under way: a finalizer that somebody took off is put back behind them.
        let place = if is_rollback(run.status.stage) && !is_terminal(before) { effects.len() } else { 0 };
        effects.insert(place, Effect::Hold);
    }
    effects
}

/// Adds to a wait what the deletion waits for and what lets the object go.
pub(super) fn explain(run: &Run<'_>, effects: &[Effect], wait: Wait) -> Wait {
    let going = effects.iter().any(Effect::lets_go) || is_terminal(run.status.stage);
    let Some(latest) = latest(run).filter(|_| !going && run.order.deletion.held) else { return wait };
    let message = format!(
        "{} The object is being deleted and goes when this is done, at the latest at {}.",
        wait.message,
        seconds(latest).0
    );
    let look_again = wait.look_again.into_iter().chain((latest > run.now).then_some(latest)).min();
    let unblock = format!("{} {}", wait.unblock, override_by(&run.order.owner)).trim_start().to_owned();
    Wait { message, unblock, look_again, ..wait }
}

/// The documented way out.
fn override_by(owner: &str) -> String {
    let mut parts = owner.splitn(3, '/').skip(1);
    let (namespace, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!(
        "To let the object go at once and leave all weights as they are: kubectl patch namespacemigration {name} -n {namespace} \
         --type merge -p '{{\"spec\":{{\"deletionPolicy\":\"Orphan\"}}}}'"
    )
}

/// Tells that the object is let go before its end: once, with the decision that does it.
pub(super) fn announce(run: &mut Run<'_>, before: &NamespaceMigrationStatus, effects: &[Effect], wait: &Wait) {
    let lets_go = effects.iter().any(Effect::lets_go) && !is_terminal(run.status.stage);
    // What could not be let go is decided again. What could not be noted first has a longer message: that it goes was told to nobody.
    let told = before.reason == wait.reason.as_str() && before.message == wait.message;
    if lets_go && !told {
        let warning = wait.reason == Reason::LeftOver;
        run.events.push(Event { reason: wait.reason, note: wait.message.clone(), warning });
    }
}

/// A migration whose order cannot be read.
#[derive(Clone, Copy, Debug)]
pub struct Unread<'a> {
    /// The object.
    pub migration: &'a NamespaceMigration,
    /// Its pair, if there is one.
    pub pair: Option<&'a ClusterPair>,
    /// Its name in stamps, as [`Order::owner`] has it.
    pub owner: &'a str,
}

impl Unread<'_> {
    /// What the weights were when they were last seen, and what a person can do about them: nobody else will.
    fn weights(&self, status: &NamespaceMigrationStatus) -> String {
        let own = self.migration.metadata.namespace.as_deref().unwrap_or_default();
        by_hand::weights(status, self.migration.spec.namespace.as_deref().unwrap_or(own), self.pair)
    }
}

/// The deletion of an object whose order cannot be read, added to the decision that says so: it ends, too.
pub fn without_order(unread: &Unread<'_>, mut decision: Decision, now: Timestamp) -> Decision {
    let deletion = Deletion::of(unread.migration, allowance(unread.pair));
    let ended = is_terminal(decision.status.stage);
    if !deletion.held || !(ended || deletion.is_asked()) {
        return decision;
    }
    let deadline = deletion.deadline().unwrap_or(now);
    let long_ago = deadline.saturating_add(deletion.allowance).is_ok_and(|end| now >= end);
    let release = if deletion.is_orphaned() || (deletion.is_asked() && long_ago) {
        Effect::ReleaseAnyway
    } else {
        Effect::Release
    };
    if ended || deletion.is_orphaned() {
        decision.effects.push(release);
        return decision;
    }
    let said = decision.status.message.clone();
    let wait = if now >= deadline {
        let message = format!(
            "The object is let go after {}; all weights stay. {} Why: {said}",
            words(deletion.allowance),
            unread.weights(&decision.status)
        );
        decision.effects.push(release);
        decision.events.push(Event { reason: Reason::LeftOver, note: message.clone(), warning: true });
        Wait::new(Reason::LeftOver, message)
    } else {
        let message = format!(
            "{said} The object is being deleted; it goes at the latest at {}, and all weights stay.",
            seconds(deadline).0
        );
        let unblock = format!("{} {}", decision.status.unblock, override_by(unread.owner));
        decision.wake_at = Some(deadline);
        let reason = Reason::parse(&decision.status.reason).unwrap_or(Reason::InvalidSpec);
        Wait::new(reason, message).unblocked_by(unblock).stalled()
    };
    summary::write_wait(&mut decision.status, &wait, now);
    decision
}

/// Whether an ended attempt may be followed by another: not on an object that goes.
pub(super) fn may_try_again(order: &Order) -> bool {
    !order.deletion.is_asked()
}
