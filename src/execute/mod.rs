//! Effects carried out: each with a time limit, a precondition and a log line. What fails is reported, never retried here.

mod create;
mod live;
mod remove;
mod weight;

use futures::future::join_all;

use crate::cluster::call::CallError;
use crate::cluster::secret::SecretError;
use crate::machine::Side;
use crate::machine::effect::{Effect, WeightWrite};
use crate::machine::order::Order;
use crate::machine::permit::Refusal;
use crate::site::Site;

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
    /// A call about a Secret failed.
    #[error("cannot copy or remove a Secret")]
    Secret(#[source] SecretError),
    /// The object changed since it was decided on, so that creating or removing it would be wrong.
    #[error("{0}")]
    Changed(String),
    /// A rollback's write to the target that waits for the source's.
    #[error("the target keeps its weight until the source has 100")]
    WaitsForSource,
}

impl ExecuteError {
    /// Whether the live object was changed in between: read and decide again at once, without back-off.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Call { source, .. } if source.is_conflict() || source.already_exists())
    }

    fn call(&self) -> Option<(Side, &CallError)> {
        match self {
            Self::Call { side, source, .. } => Some((*side, source)),
            Self::Secret(error) => error.call().map(|call| (Side::Target, call)),
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
}

impl Report {
    /// Whether all failures are of the kind that a new look resolves at once.
    pub fn is_conflict_only(&self) -> bool {
        !self.failures.is_empty() && self.failures.iter().all(ExecuteError::is_conflict)
    }
}

/// Carries out effects in their order; neighbours on one side at a time.
///
/// Going forward, the first failure ends it: what comes after rests on what came before. A rollback's effects do not
/// wait for each other, except a target's write that must not come before the source has 100.
pub async fn execute(order: &Order, site: &Site, effects: &[Effect]) -> Report {
    let mut report = Report::default();
    let mut source_failed = false;
    for batch in effects.chunk_by(|one, next| one.side() == next.side() && kind(one) == kind(next)) {
        let results = join_all(batch.iter().map(|effect| carry_out(order, site, effect, source_failed))).await;
        let failed = results.iter().any(Result::is_err);
        source_failed |= failed && batch.iter().any(|effect| effect.side() == Side::Source);
        for result in results {
            match result {
                Ok(()) => report.done += 1,
                Err(error) => report.failures.push(noted(site, order, error)),
            }
        }
        if failed && !batch.iter().all(Effect::is_rollback) {
            break;
        }
    }
    report
}

fn kind(effect: &Effect) -> std::mem::Discriminant<Effect> {
    std::mem::discriminant(effect)
}

async fn carry_out(order: &Order, site: &Site, effect: &Effect, source_failed: bool) -> Result<(), ExecuteError> {
    match effect {
        Effect::WriteWeight(WeightWrite { after_source: true, .. }) if source_failed => {
            Err(ExecuteError::WaitsForSource)
        }
        Effect::WriteWeight(write) => weight::write(order, site, write).await,
        Effect::CreateIngress(creation) => create::ingress(order, site, creation).await,
        Effect::CreateSecret { name } => create::secret(order, site, name).await,
        Effect::Remove(removal) => remove::object(order, site, removal).await,
    }
}

/// Logs a failure, and lets the connection know what speaks of it.
fn noted(site: &Site, order: &Order, error: ExecuteError) -> ExecuteError {
    if let Some((side, call)) = error.call() {
        site.side(side).connection().report(call);
    }
    if error.is_conflict() {
        tracing::debug!(
            namespace = order.namespace,
            error = crate::causes::told(&error),
            "changed in between; deciding again"
        );
    } else {
        tracing::warn!(
            namespace = order.namespace,
            error = crate::causes::told(&error),
            "an effect was not carried out"
        );
    }
    error
}
