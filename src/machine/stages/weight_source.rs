//! WeightSource (guide step 2): the source's records become weighted, at 100. Nothing changes for users.
//!
//! A target Ingress that is already there (CI deploys both sides) gets its identifier and weight 0 first: external-dns
//! cannot publish it beside a simple record, and once the source is converted it must appear at 0 and at nothing else.

use super::super::gate::Gate;
use super::super::observed::Side;
use super::super::reason::Reason;
use super::super::run::{Memo, Move, Run, Wait};
use super::super::stamp::Direction;
use super::super::traffic::Weight;
use super::pending::moved_by_another;

pub(super) fn visit(run: &Run<'_>) -> Move {
    if let Some(wait) = run.cluster_trouble() {
        return wait.into();
    }
    if let Some(wait) = moved_by_another(run) {
        return wait.into();
    }
    let mut effects = run.present_targets_at_zero();
    effects.extend(run.missing_writes(Side::Source, Weight::FULL, Direction::Forward));
    if !effects.is_empty() {
        let message = "The source's Ingresses get their DNS set identifier and weight 100.";
        return Move::Act { effects, wait: Wait::new(Reason::WritingWeights, message) };
    }
    let Some(written) = &run.status.written_since else { return Move::Remember(Memo::WrittenNow) };
    match run.order.dns.gate(written.0, run.now) {
        Gate::Closed { until } => {
            let message =
                "The source's records are being made weighted; DNS needs time to follow. Users notice nothing.";
            Wait::new(Reason::WaitingForDns, message).until(until).into()
        }
        Gate::Open(_) => Move::Advance { message: "The source's records are weighted, at 100.".to_owned() },
    }
}
