//! Effects carried out: each with a time limit, a precondition and a log line. What fails is reported, never retried here.

mod create;
pub mod finalizer;
mod live;
mod object;
mod remove;
mod settle;
mod weight;

use std::collections::BTreeSet;

use futures::future::join_all;

use crate::causes::whole;
use crate::cluster::call::CallError;
use crate::cluster::secret::SecretError;
use crate::machine::effect::{Effect, WeightWrite};
use crate::machine::order::Order;
use crate::machine::permit::Refusal;
use crate::machine::run::sentence_case;
use crate::machine::{Failure, Side};
use crate::site::Site;

pub use object::{HomeObject, release};
pub use settle::{Clusters, settle, settle_object};

/// Why an effect was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The cluster is known to be out of reach; nothing was sent.
    #[error("the {side} cluster cannot be used now: {why}")]
    OutOfReach {
        /// The side.
        side: Side,
        /// Why.
        why: String,
    },
    /// The world is not as it was decided on.
    #[error("the write was not permitted")]
    Refused(#[source] Refusal),
    /// A call failed.
    #[error("cannot {action} on the {side}")]
    Call {
        /// What was tried, with the object's kind and name.
        action: String,
        /// The side.
        side: Side,
        /// What happened.
        #[source]
        source: CallError,
    },
    /// A call to the home cluster failed.
    #[error("cannot {action} on the home cluster")]
    Home {
        /// What was tried, with the object's kind and name.
        action: String,
        /// What happened.
        #[source]
        source: CallError,
    },
    /// A call about a Secret failed.
    #[error("cannot copy or remove a Secret on the {side}")]
    Secret {
        /// The side that was called.
        side: Side,
        /// What happened.
        #[source]
        source: SecretError,
    },
    /// The object changed since it was decided on, so that creating or removing it would be wrong.
    #[error("{0}")]
    Changed(String),
    /// The source's Ingress has a form of which no copy can be made.
    #[error("cannot make Ingress {ingress} for the target from the source's")]
    Copy {
        /// Its name.
        ingress: String,
        /// What does not fit.
        #[source]
        source: serde_json::Error,
    },
    /// A rollback's write to the target that waits for the source's.
    #[error("the target keeps its weight until the source has 100")]
    WaitsForSource,
}

impl ExecuteError {
    /// Whether the live object was changed in between: read and decide again at once, without back-off.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Call { source, .. } | Self::Home { source, .. } if source.is_conflict())
    }

    /// Whether the migration object is another by now, or gone: what was decided on it must not be done.
    fn is_outdated(&self) -> bool {
        matches!(self, Self::Home { source, .. } if source.is_conflict() || source.not_found())
    }

    /// Whether others say it already: the connection that the cluster is away, or the source's failure why the target waits.
    fn is_told_elsewhere(&self) -> bool {
        matches!(self, Self::OutOfReach { .. } | Self::WaitsForSource) || self.is_conflict()
    }

    /// What a person should read of it. None for what is told elsewhere.
    pub fn failure(&self) -> Option<Failure> {
        if self.is_told_elsewhere() {
            return None;
        }
        let home = if let Self::Home { source, .. } = self { Some(source) } else { None };
        let Some(call) = self.call().map(|(_, call)| call).or(home) else {
            return Some(Failure { what: sentence_case(&whole(self)), words: String::new(), refused: false });
        };
        let (kind, words) = call.kind_and_words();
        let tried = match self {
            Self::Secret { side, source } => format!("{source} on the {side}"),
            other => other.to_string(),
        };
        let what = format!("{}: {kind}", sentence_case(&tried));
        Some(Failure { what, words: words.to_owned(), refused: call.refused() })
    }

    fn call(&self) -> Option<(Side, &CallError)> {
        match self {
            Self::Call { side, source, .. } => Some((*side, source)),
            Self::Secret { side, source } => source.call().map(|call| (*side, call)),
            _ => None,
        }
    }
}

/// How carrying out went.
#[derive(Debug, Default)]
pub struct Report {
    /// Effects that changed something or were done already.
    pub done: usize,
    /// What failed.
    pub failures: Vec<ExecuteError>,
    /// The new version of the migration object, if an effect changed it.
    pub version: Option<String>,
}

impl Report {
    /// Whether all failures are of the kind that a new look resolves at once, or wait for one of those.
    pub fn is_conflict_only(&self) -> bool {
        let waits = |error: &ExecuteError| error.is_conflict() || matches!(error, ExecuteError::WaitsForSource);
        self.failures.iter().any(ExecuteError::is_conflict) && self.failures.iter().all(waits)
    }

    /// What people should read. What may be over at the next look is told only when it was seen `before` as well.
    pub fn to_tell(&self, before: bool) -> Vec<Failure> {
        let failures = self.failures.iter().filter_map(ExecuteError::failure);
        failures.filter(|failure| failure.refused || before).collect()
    }
}

/// Carries out effects: the object is held where that stands among them, at the beginning or at the end, and what is left over is noted after it. It is
/// released by [`release`], when its status is written.
///
/// An object that cannot be held is not moved forward; users are taken back all the same, unless it has changed or is gone.
pub async fn execute(order: &Order, home: &HomeObject<'_>, site: Option<&Site>, effects: &[Effect]) -> Report {
    let mut report = Report::default();
    let hold_first = effects.first() == Some(&Effect::Hold);
    if hold_first {
        hold(order, home, &mut report).await;
    }
    let back = effects.iter().any(Effect::is_rollback);
    if let Some(site) = site.filter(|_| report.failures.iter().all(|error| back && !error.is_outdated())) {
        remote(order, site, effects, &mut report).await;
    }
    if !hold_first && effects.contains(&Effect::Hold) {
        hold(order, home, &mut report).await;
    }
    for effect in effects {
        let Effect::Owe(debts) = effect else { continue };
        match object::owe(home, debts).await {
            Ok(()) => report.done += 1,
            Err(error) => report.failures.push(noted_at_home(order, error)),
        }
    }
    report
}

async fn hold(order: &Order, home: &HomeObject<'_>, report: &mut Report) {
    match object::hold(home).await {
        Ok(version) => report.version = Some(version),
        Err(error) => report.failures.push(noted_at_home(order, error)),
    }
}

/// Effects on the clusters, in their order; neighbours on one side at a time.
///
/// Going forward, the first failure ends it: what comes after rests on what came before. A rollback's effects do not
/// wait for each other, except a target's write that must not come before the source has 100; nor do fences.
async fn remote(order: &Order, site: &Site, effects: &[Effect], report: &mut Report) {
    let mut source = SourceSide::default();
    for batch in effects.chunk_by(|one, next| one.side() == next.side() && kind(one) == kind(next)) {
        if batch.iter().all(|effect| effect.side().is_none()) {
            continue;
        }
        let results = join_all(batch.iter().map(|effect| carry_out(order, site, effect, &source))).await;
        let failed = results.iter().any(Result::is_err);
        if !failed && brings_users_back(batch) {
            tell_source_is_back(order, site);
            source.raised.extend(batch.iter().filter_map(ingress));
        }
        if failed && batch.iter().any(|effect| effect.side() == Some(Side::Source)) {
            source.failed = true;
        }
        for result in results {
            match result {
                Ok(()) => report.done += 1,
                Err(error) => report.failures.push(noted(site, order, error)),
            }
        }
        if failed && !batch.iter().all(Effect::stands_alone) {
            break;
        }
    }
}

/// What has become of the source's writes so far.
#[derive(Debug, Default)]
struct SourceSide {
    /// Whether one of them failed.
    failed: bool,
    /// Ingresses that have their 100 again.
    raised: BTreeSet<String>,
}

fn ingress(effect: &Effect) -> Option<String> {
    if let Effect::WriteWeight(write) = effect { Some(write.ingress.clone()) } else { None }
}

/// Whether these are a rollback's writes to the source.
fn brings_users_back(batch: &[Effect]) -> bool {
    batch.iter().all(|effect| {
        matches!(effect, Effect::WriteWeight(write) if write.side == Side::Source && write.stamp.direction.is_back())
    })
}

fn tell_source_is_back(order: &Order, site: &Site) {
    let Some(took) = site.note_source_is_back() else { return };
    let (namespace, millis) = (&order.namespace, took.as_secs_f64() * 1000.0);
    tracing::info!(namespace, millis, "the source has weight 100 again; the time is since the failing verdict");
}

fn kind(effect: &Effect) -> std::mem::Discriminant<Effect> {
    std::mem::discriminant(effect)
}

async fn carry_out(order: &Order, site: &Site, effect: &Effect, source: &SourceSide) -> Result<(), ExecuteError> {
    match effect {
        Effect::WriteWeight(WeightWrite { after_source: true, .. }) if source.failed => {
            Err(ExecuteError::WaitsForSource)
        }
        Effect::WriteWeight(write) => {
            let after_source = write.after_source || source.raised.contains(&write.ingress);
            weight::write(order, site, &WeightWrite { after_source, ..write.clone() }).await
        }
        Effect::CreateIngress(creation) => create::ingress(order, site, creation).await,
        Effect::CreateSecret { name } => create::secret(order, site, name).await,
        Effect::Remove(removal) => remove::object(order, site, removal).await,
        // Of the home cluster: see `execute` and `release`.
        Effect::Hold | Effect::Owe(_) | Effect::Release | Effect::ReleaseAnyway => Ok(()),
    }
}

fn noted_at_home(order: &Order, error: ExecuteError) -> ExecuteError {
    tracing::warn!(namespace = order.namespace, error = whole(&error), "an effect was not carried out");
    error
}

/// Logs a failure, and lets the connection know what speaks of it.
fn noted(site: &Site, order: &Order, error: ExecuteError) -> ExecuteError {
    if let Some((side, call)) = error.call() {
        site.side(side).connection().report(call);
    }
    if let ExecuteError::Refused(Refusal::WrongCluster { side, .. }) = &error {
        site.side(*side).connection().doubt();
    }
    let (namespace, text) = (&order.namespace, whole(&error));
    if error.is_told_elsewhere() {
        tracing::debug!(namespace, error = text, "an effect has to wait, or is decided again");
    } else {
        tracing::warn!(namespace, error = text, "an effect was not carried out");
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(code: u16, reason: &str) -> ExecuteError {
        let source = CallError::Api { code, reason: reason.into(), message: "because".into() };
        ExecuteError::Call { action: "write the weight of Ingress web".into(), side: Side::Source, source }
    }

    #[test]
    fn a_refusal_is_told_at_once_and_what_may_pass_only_when_it_comes_again() {
        let report = |error| Report { failures: vec![error], ..Report::default() };
        let told = report(call(422, "Invalid")).to_tell(false);
        let what = "Cannot write the weight of Ingress web on the source: the API server answered 422 Invalid";
        assert_eq!(told, [Failure { what: what.into(), words: "because".into(), refused: true }]);
        assert_eq!(report(call(500, "InternalError")).to_tell(false), []);
        assert_eq!(report(call(500, "InternalError")).to_tell(true).len(), 1);
    }

    #[test]
    fn a_conflict_of_the_source_is_met_at_once_although_the_target_waits_for_it() {
        let report = |failures| Report { failures, ..Report::default() };
        assert!(report(vec![call(409, "Conflict"), ExecuteError::WaitsForSource]).is_conflict_only());
        assert!(!report(vec![ExecuteError::WaitsForSource]).is_conflict_only());
        assert!(!report(vec![call(409, "Conflict"), call(500, "InternalError")]).is_conflict_only());
    }

    #[test]
    fn what_is_told_elsewhere_is_not_told_twice() {
        let away = ExecuteError::OutOfReach { side: Side::Target, why: "does not answer".into() };
        for error in [away, ExecuteError::WaitsForSource, call(409, "Conflict")] {
            assert_eq!(error.failure(), None, "{error}");
        }
    }

    #[test]
    fn an_object_that_is_there_already_is_not_created_again_at_once() {
        assert!(call(409, "Conflict").is_conflict());
        assert!(!call(409, "AlreadyExists").is_conflict(), "the watch will bring it");
    }
}
