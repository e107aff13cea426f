//! What DNS shows now, before a write that relies on it: somebody may have edited a record since a gate was passed. Nothing was
//! written that DNS would have to follow, so that no time has to pass for that.

use jiff::Timestamp;

use super::{Goal, Verification, answered, at_gate, listed, patience, places, seen, soon};
use crate::machine::observed::Side;
use crate::machine::reason::Reason;
use crate::machine::records::{Evidence, HostView};
use crate::machine::run::{Run, Wait};
use crate::machine::traffic::Weight;

/// Whether DNS shows it at every host, in a reading that began after `since`: when somebody began to ask for it.
///
/// # Errors
/// The wait that the stage is in until it does.
pub(in super::super) fn shows(run: &Run<'_>, goal: Goal, since: Timestamp, what: &str) -> Result<(), Wait> {
    by_backend(run, goal, since, what, false)
}

/// The same, and it has been so for as long as it takes to serve it everywhere.
///
/// # Errors
/// The wait that the stage is in until it does.
pub(in super::super) fn serves(run: &Run<'_>, goal: Goal, since: Timestamp, what: &str) -> Result<(), Wait> {
    by_backend(run, goal, since, what, true)
}

/// Whether the last reading still shows at every host who receives when the giver is to get this weight: the gate was passed, but a
/// record may have gone since, while something else was waited for.
///
/// # Errors
/// The wait while nothing can be read.
pub(in super::super) fn receiver_is_served(run: &Run<'_>, giver: Side, weight: Weight) -> Result<bool, Wait> {
    if !run.order.dns.is_verified() {
        return Ok(true);
    }
    let receiver = giver.other();
    let goal = Goal::Receives(receiver, weight.complement());
    let what = format!("Before the {giver} gets weight {weight}, DNS must show what the {receiver} has received");
    for place in places(run) {
        let shown = match &seen(run, place.host, goal, run.now, &what)?.evidence {
            Evidence::Listed(records) => listed::shown(run, goal, place, records).is_ok(),
            Evidence::Answered { .. } => answered::shown(run, goal, place, Timestamp::MIN).is_ok(),
        };
        if !shown {
            return Ok(false);
        }
    }
    Ok(true)
}

fn by_backend(run: &Run<'_>, goal: Goal, since: Timestamp, what: &str, served: bool) -> Result<(), Wait> {
    let shown = match run.order.dns.verification {
        Verification::AnnotationOnly => Ok(()),
        Verification::Route53 => by_list(run, goal, since, what, served),
        Verification::AuthoritativeDns => by_answers(run, goal, since, what),
    };
    shown.map_err(|wait| at_gate(wait, goal, since))
}

fn by_list(run: &Run<'_>, goal: Goal, since: Timestamp, what: &str, served: bool) -> Result<(), Wait> {
    for place in places(run) {
        let view = read_since(run, place.host, goal, since, what)?;
        let Evidence::Listed(records) = &view.evidence else { continue };
        let shown = listed::shown(run, goal, place, records)
            .map_err(|missing| patience::waits_for(run, goal, since, what, place.host, &missing))?;
        let everywhere = shown.since.saturating_add(run.order.dns.follow.propagation).unwrap_or(Timestamp::MAX);
        if served && view.read_at < everywhere {
            return Err(patience::unserved(run, goal, since, what, (place.host, everywhere)));
        }
    }
    Ok(())
}

fn by_answers(run: &Run<'_>, goal: Goal, since: Timestamp, what: &str) -> Result<(), Wait> {
    for place in places(run) {
        read_since(run, place.host, goal, since, what)?;
        answered::shown(run, goal, place, since)
            .map_err(|missing| patience::waits_for(run, goal, since, what, place.host, &missing))?;
    }
    Ok(())
}

/// What was read before somebody asked is too old.
fn read_since<'a>(run: &Run<'a>, host: &str, goal: Goal, since: Timestamp, what: &str) -> Result<&'a HostView, Wait> {
    let view = seen(run, host, goal, since, what)?;
    if view.read_at >= since {
        return Ok(view);
    }
    if patience::is_late(run, since) {
        return Err(patience::unreadable(goal, what, host, "it has not been read since"));
    }
    let message = format!("{what}: the records of {host} are being read.");
    Err(Wait::new(Reason::WaitingForDns, message).looking_again_at(soon(run)))
}
