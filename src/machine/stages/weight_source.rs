//! WeightSource (guide step 2): the source's records become weighted, at 100. Nothing changes for users.
//!
//! A target Ingress that is already there (CI deploys both sides) gets its identifier and weight 0 first: external-dns
//! cannot publish it beside a simple record, and once the source is converted it must appear at 0 and at nothing else.

use super::super::gate::{self, Goal};
use super::super::observed::Side;
use super::super::reason::Reason;
use super::super::run::{Memo, Move, Run, Wait};
use super::super::stamp::Direction;
use super::super::traffic::Weight;
use super::super::{neighbours, rehearsal, stuck};
use super::pending::moved_by_another;

pub(super) fn visit(run: &Run<'_>) -> Move {
    if let Some(wait) = run.cluster_trouble() {
        return wait.into();
    }
    if let Some(wait) = moved_by_another(run).or_else(|| gate::unread(run)).or_else(|| stuck::unshiftable(run)) {
        return wait.into();
    }
    if let Some(rehearsing) = rehearsal::visit(run) {
        return rehearsing;
    }
    let mut effects = run.present_targets_at_zero();
    effects.extend(run.missing_writes(Side::Source, Weight::FULL, Direction::Forward));
    if !effects.is_empty() {
        let message = "The source's Ingresses get their DNS set identifier and weight 100.";
        return Move::Act { effects, wait: Wait::new(Reason::WritingWeights, message) };
    }
    let Some(written) = &run.status.written_since else { return Move::Remember(Memo::WrittenNow) };
    // Once is enough: whoever comes later sees our stamp.
    let is_first = run.status.rehearsal.is_none();
    if let Some(answer) = neighbours::yields(run).filter(|_| is_first) {
        return answer;
    }
    let unlisted = neighbours::unlisted(run, written.0).filter(|_| is_first);
    let what = "The source's records are being made weighted, which users do not notice";
    match (gate::gate(run, Goal::SourceWeighted(Weight::FULL), written.0, what), unlisted) {
        (Err(wait), Some(unlisted)) => Wait { look_again: unlisted.look_again, ..wait }.into(),
        (Err(wait), None) | (Ok(_), Some(wait)) => wait.into(),
        (Ok(proof), None) => rehearsal::begin(run).unwrap_or_else(|| {
            let (word, measured) = (proof.word(), rehearsal::result(run));
            let message = format!("The source's records are weighted, at 100 ({word}).{measured}");
            Move::Advance { message }
        }),
    }
}
