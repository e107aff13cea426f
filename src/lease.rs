//! One leader among several operators: a `coordination.k8s.io/v1` Lease, taken and kept by compare-and-swap.
//!
//! It saves work, it does not make anything safe: two operators at a time are safe because every write is fenced
//! (`machine/permit.rs`). A leader whose Lease is another's ends. A leader that gets no answer about its Lease lives on
//! and still takes users back: the home cluster may be away just when a rollback is needed. It goes forward no more
//! until the Lease is its own again, because another one may lead by then.

mod record;

#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use thiserror::Error;
use tokio::time::Instant;

use crate::api::FIELD_MANAGER;
use crate::cluster::call::{CallError, timed};
use crate::cluster::now;
use crate::machine::effect::Effect;
use crate::metrics::Metrics;
use crate::mutex::locked;
pub use record::Times;
use record::{Action, Seen, decide};

/// So many times in a row somebody else may be quicker; then the next try is that of the next period.
const CONFLICTS_IN_A_ROW: u32 = 5;

/// Why the Lease was lost.
#[derive(Debug, Error)]
pub enum LeaseError {
    /// Another one holds it.
    #[error(
        "the Lease {lease} is held by {holder} now; this process was silent for too long, or somebody took it away"
    )]
    Taken {
        /// Namespace and name.
        lease: String,
        /// By whom.
        holder: String,
    },
    /// The API server answers, and does not let this process renew it.
    #[error(
        "the Lease {lease} could not be renewed for {after:?}; give the operator's identity the role that it is installed with"
    )]
    Refused {
        /// Namespace and name.
        lease: String,
        /// How long.
        after: Duration,
        /// The answer.
        #[source]
        source: CallError,
    },
}

/// Which Lease, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidacy {
    /// Namespace of the Lease: the operator's.
    pub namespace: String,
    /// Name of the Lease. Operators that share it have one leader.
    pub name: String,
    /// What this process calls itself. One that is started again under the same name is the same candidate.
    pub identity: String,
    /// How long things take.
    pub times: Times,
}

/// Whether this process leads, for those who write. Clones share what they know.
#[derive(Clone, Debug)]
pub struct Leadership {
    /// Until when nobody else can hold the Lease. None when there is no Lease and every process leads.
    proved_until: Option<Arc<Mutex<Instant>>>,
}

impl Leadership {
    /// Of a process that uses no Lease.
    pub fn without_lease() -> Self {
        Self { proved_until: None }
    }

    /// Whether nobody else can hold the Lease now.
    pub fn is_proved(&self) -> bool {
        self.proved_until.as_ref().is_none_or(|until| Instant::now() < *locked(until))
    }

    /// Whether an effect may be carried out. A write that takes users back always may: it is the safe direction.
    fn permits(&self, effect: &Effect) -> bool {
        let takes_back = matches!(effect, Effect::WriteWeight(write) if write.stamp.direction.is_back());
        takes_back || self.is_proved()
    }

    /// Those effects that may be carried out.
    pub fn permitted(&self, effects: &[Effect]) -> Vec<Effect> {
        effects.iter().filter(|effect| self.permits(effect)).cloned().collect()
    }

    fn prove(&self, until: Instant) {
        if let Some(known) = &self.proved_until {
            *locked(known) = until;
        }
    }
}

/// What the Lease said of its last holder when this process took it.
struct Predecessor {
    /// When it was last renewed. None when nobody held it.
    renewed_at: Option<Timestamp>,
}

/// A candidate for the Lease, and its holder once it has it.
pub struct Election {
    leases: Api<Lease>,
    candidacy: Candidacy,
    seen: Option<Seen>,
    /// Whom this process took the Lease from; None before it has it.
    predecessor: Option<Predecessor>,
    leadership: Leadership,
    metrics: Metrics,
}

enum Standing {
    Leading,
    StandingBy { holder: String },
}

impl Election {
    /// A candidate that has not looked yet.
    pub fn new(home: Client, candidacy: Candidacy, metrics: Metrics) -> Self {
        let leases = Api::namespaced(home, &candidacy.namespace);
        let leadership = Leadership { proved_until: Some(Arc::new(Mutex::new(Instant::now()))) };
        Self { leases, candidacy, seen: None, predecessor: None, leadership, metrics }
    }

    /// Until when the leader before this process is known to have lived, by that one's clock. None when there was none.
    pub fn predecessor_lived_until(&self) -> Option<Timestamp> {
        self.predecessor.as_ref()?.renewed_at
    }

    /// What those who write ask.
    pub fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Waits until this process holds the Lease. `standing_by` is called each time that the Lease is seen to be another's:
    /// from then on this process can take over.
    pub async fn acquire(&mut self, standing_by: impl Fn()) {
        let mut told = String::new();
        loop {
            match self.attempt().await {
                Ok(Standing::Leading) => return,
                Ok(Standing::StandingBy { holder }) => {
                    if holder != told {
                        tracing::info!(lease = self.name(), holder, "standing by: another operator leads");
                    }
                    told = holder;
                    standing_by();
                }
                Err(error) => {
                    let trouble = error.kind_and_words().0;
                    if trouble != told {
                        tracing::warn!(lease = self.name(), %error, "the lease cannot be acquired; trying again");
                    }
                    told = trouble;
                }
            }
            tokio::time::sleep(jittered(self.candidacy.times.retry_period)).await;
        }
    }

    /// Renews the Lease for as long as that is possible. Returns when it is lost; then this process must end.
    pub async fn hold(&mut self) -> LeaseError {
        loop {
            tokio::time::sleep(self.candidacy.times.retry_period).await;
            match self.attempt().await {
                Ok(Standing::Leading) => {}
                Ok(Standing::StandingBy { holder }) => {
                    self.metrics.leader.set(0);
                    return LeaseError::Taken { lease: self.name(), holder };
                }
                Err(error) => {
                    if let Some(lost) = self.not_renewed(error) {
                        return lost;
                    }
                }
            }
        }
    }

    /// Gives the Lease up if it is ours, so that the next one need not wait until it expires. To be called after the last write.
    pub async fn release(&mut self) {
        let mut result = self.try_release().await;
        for _ in 0..CONFLICTS_IN_A_ROW {
            if !result.as_ref().is_err_and(CallError::is_conflict) {
                break;
            }
            result = self.try_release().await;
        }
        self.metrics.leader.set(0);
        match result {
            Ok(true) => tracing::info!(lease = self.name(), "the lease is released"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(lease = self.name(), %error, "the lease is not released; the next operator waits until it expires");
            }
        }
    }

    async fn try_release(&mut self) -> Result<bool, CallError> {
        self.look().await?;
        let Some(seen) = self.seen.as_ref().filter(|seen| seen.holder() == self.candidacy.identity) else {
            return Ok(false);
        };
        let free = record::released(seen, now());
        self.send(self.leases.replace(&self.candidacy.name, &by_us(), &free)).await?;
        self.leadership.prove(Instant::now());
        Ok(true)
    }

    /// One try to become or to stay the holder. Its holder asks nothing before it writes: what it wrote last is enough to know.
    async fn attempt(&mut self) -> Result<Standing, CallError> {
        if self.seen.as_ref().is_none_or(|seen| seen.holder() != self.candidacy.identity) {
            self.look().await?;
        }
        let mut conflicts = 0;
        loop {
            let action = decide(&self.candidacy.identity, self.seen.as_ref(), &self.candidacy.times, Instant::now());
            if let Action::StandBy { holder } = action {
                return Ok(Standing::StandingBy { holder });
            }
            let Err(error) = self.write(&action).await else { return Ok(Standing::Leading) };
            let somebody_was_quicker = error.is_conflict() || error.already_exists() || error.not_found();
            conflicts += 1;
            if !somebody_was_quicker || conflicts > CONFLICTS_IN_A_ROW {
                return Err(error);
            }
            self.look().await?;
        }
    }

    async fn look(&mut self) -> Result<(), CallError> {
        let found = self.send(self.leases.get_opt(&self.candidacy.name)).await?;
        self.seen = found.map(|lease| Seen::after_look(self.seen.as_ref(), lease, Instant::now()));
        self.metrics.leader_transitions.set(self.seen.as_ref().map_or(0, Seen::transitions).into());
        Ok(())
    }

    async fn write(&mut self, action: &Action) -> Result<(), CallError> {
        let Candidacy { name, identity, times, .. } = &self.candidacy;
        // From before the request: another one counts from when it saw the answer.
        let began = Instant::now();
        let written = match (action, &self.seen) {
            (Action::Renew, Some(seen)) => {
                let lease = record::renewed(seen, times, now());
                self.send(self.leases.replace(name, &by_us(), &lease)).await?
            }
            (Action::Take, Some(seen)) => {
                let lease = record::taken(seen, identity, times, now());
                self.send(self.leases.replace(name, &by_us(), &lease)).await?
            }
            _ => {
                let lease = record::created(name, identity, times, now());
                self.send(self.leases.create(&by_us(), &lease)).await?
            }
        };
        if *action != Action::Renew {
            tracing::info!(lease = self.name(), identity, "this operator leads");
        }
        let renewed_at = self.seen.as_ref().and_then(Seen::renewed_at);
        self.predecessor.get_or_insert(Predecessor { renewed_at });
        self.leadership.prove(began + times.renew_deadline);
        self.seen = Some(Seen::after_look(self.seen.as_ref(), written, Instant::now()));
        self.metrics.leader.set(1);
        self.metrics.leader_transitions.set(self.seen.as_ref().map_or(0, Seen::transitions).into());
        Ok(())
    }

    /// What a failed renewal means. Who is refused leads no more; who gets no answer cannot know.
    fn not_renewed(&self, error: CallError) -> Option<LeaseError> {
        let (lease, after) = (self.name(), self.candidacy.times.renew_deadline);
        if self.leadership.is_proved() {
            tracing::warn!(lease, %error, "the lease was not renewed; trying again");
            return None;
        }
        if error.refused() || error.unauthorized() {
            self.metrics.leader.set(0);
            return Some(LeaseError::Refused { lease, after, source: error });
        }
        if self.metrics.leader.set(0) == 1 {
            tracing::warn!(lease, %error, "the lease cannot be renewed: no step forward until it can; a rollback still works");
        }
        None
    }

    async fn send<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
        timed(self.candidacy.times.renew_deadline / 2, call).await
    }

    fn name(&self) -> String {
        format!("{}/{}", self.candidacy.namespace, self.candidacy.name)
    }
}

fn by_us() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// Up to a fifth more, so that candidates do not all ask in the same moment.
fn jittered(period: Duration) -> Duration {
    period + period * u32::from(crate::random::bytes::<1>()[0]) / 1275
}

/// What a process calls itself that was given no name: its host's name, and chance.
pub fn own_identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let chance: String = crate::random::bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}_{chance}", host.trim())
}
