//! SmokeTest (guide step 9): both sides answer alike through their load balancers, before any user is sent to the target.

use super::super::health::Verdict;
use super::super::observed::Side;
use super::super::reason::Reason;
use super::super::run::{Move, Run, Wait};

pub(super) fn visit(run: &Run<'_>) -> Move {
    let health = &run.observed.health;
    if run.target_verdict() == Verdict::Pass && health.seen_after(run.stage_since()) {
        return Move::Advance { message: "The target answers as the source does.".to_owned() };
    }
    let message = health.first(Side::Target, Verdict::Inconclusive).map_or_else(
        || "Both sides are being probed through their load balancers.".to_owned(),
        |check| {
            let (name, last) = (&check.name, &check.message);
            format!(
                "Both sides are being probed; several good answers in a row are needed. Last seen of {name}: {last}."
            )
        },
    );
    Wait::new(Reason::Testing, message).into()
}
