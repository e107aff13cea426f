//! Whether DNS serves what was written: the gates between the writes of the traffic protocol. Each verification backend answers
//! the same questions, as strongly as it can.

mod answered;
mod held;
mod kinds;
mod listed;
mod now;
mod patience;
mod proof;
mod row;
mod settled;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::observed::Side;
use super::reason::Reason;
use super::records::{Evidence, HostView};
use super::run::{Run, Wait};
use super::traffic::Weight;
use crate::api::status::PlannedIngress;

pub(super) use answered::{addresses, answered_ttl, heard};
pub(super) use held::{Amiss, amiss, stale};
pub(super) use kinds::{is_only_targets, remembered, unaddressed};
pub(super) use listed::{is_of_target, is_targets, served_share, share_of};
pub(super) use now::{receiver_is_served, serves, shows};
pub(super) use patience::{longest, patience};
pub(super) use proof::{kinds, proof};
pub(super) use row::waits_for;
pub(super) use settled::{is_forgotten, is_served, is_served_at, unserved};

/// How it is known that a weight is served, and how long everything takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DnsRules {
    /// The backend.
    pub verification: Verification,
    /// How long each part takes.
    pub follow: FollowTime,
}

/// The verification backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Nothing is asked: served is assumed after the time that everything together may take.
    AnnotationOnly,
    /// Route 53's list of records, which is exact.
    Route53,
    /// The zone's own name servers, which prove who answers, but no share.
    AuthoritativeDns,
}

/// How long each part takes to follow a written annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowTime {
    /// external-dns notices: its interval, the slower of both sides.
    pub interval: SignedDuration,
    /// The DNS provider serves it everywhere.
    pub propagation: SignedDuration,
    /// Resolvers have forgotten the old answer, where the record itself does not say when.
    pub record_ttl: SignedDuration,
}

impl FollowTime {
    /// The settle time: after it, users follow what was written.
    pub fn total(&self) -> SignedDuration {
        self.interval.saturating_add(self.propagation).saturating_add(self.record_ttl)
    }

    /// After it, what no answer shows counts as served: two passes of external-dns and the propagation.
    pub(super) fn unseen(&self) -> SignedDuration {
        self.interval.saturating_mul(2).saturating_add(self.propagation)
    }
}

impl DnsRules {
    /// How long following takes when all goes well: no deadline may be shorter.
    pub fn settle_time(&self) -> SignedDuration {
        self.follow.total()
    }

    /// Whether DNS is looked at.
    pub fn is_verified(&self) -> bool {
        self.verification != Verification::AnnotationOnly
    }
}

/// What DNS has to show before it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// One weighted record per kind and source Ingress, with this weight, and no simple one (rule 2).
    SourceWeighted(Weight),
    /// The target's records beside them at 0: the same kinds, the same TTL.
    TargetPublished,
    /// What receives users has its weight, so that the other side may give.
    Receives(Side, Weight),
    /// What gives users away has its weight, and resolvers have forgotten what was before.
    Gives(Side, Weight),
    /// Each side's records have the weights that are on its Ingresses now.
    AsWritten,
    /// The source's share is 100 percent, weighted or still simple, in every kind of record that the host has or had, and resolvers
    /// have forgotten what was before.
    SourceServesAll,
}

impl Goal {
    /// Whether users' resolvers must have forgotten the old answer too.
    fn is_for_users(self) -> bool {
        matches!(self, Self::Gives(..) | Self::SourceServesAll)
    }
}

/// How strong the proof is that a goal is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Enough time has passed; nobody has looked.
    Assumed,
    /// The name servers answer as they would; an exact share was not proved.
    Answered,
    /// The provider has listed exactly this for as long as it takes to serve it everywhere, since this time.
    Listed {
        /// When it was first listed.
        since: Timestamp,
    },
}

impl Proof {
    /// As status says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Assumed => "Assumed",
            Self::Answered => "Answered",
            Self::Listed { .. } => "Verified",
        }
    }
}

/// A gate that does not let anybody through yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenGate {
    /// What DNS has to show.
    pub goal: Goal,
    /// When that was written.
    pub written: Timestamp,
}

/// A host of an Ingress that moves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) planned: &'a PlannedIngress,
    pub(super) host: &'a str,
}

/// Something that DNS shows, and what a person reads of it.
struct Shown {
    /// Since when all of it has been listed.
    since: Timestamp,
    /// Since when the oldest part of it has been listed.
    oldest: Timestamp,
    ttl: SignedDuration,
}

/// Whether DNS shows what was written at `written`, at every host.
///
/// # Errors
/// The wait that the stage is in until it does.
pub fn gate(run: &Run<'_>, goal: Goal, written: Timestamp, what: &str) -> Result<Proof, Wait> {
    by_backend(run, goal, written, what).map_err(|wait| at_gate(wait, goal, written))
}

/// The wait, with the gate that it is at.
fn at_gate(wait: Wait, goal: Goal, written: Timestamp) -> Wait {
    Wait { gate: Some(Box::new(OpenGate { goal, written })), ..wait }
}

fn by_backend(run: &Run<'_>, goal: Goal, written: Timestamp, what: &str) -> Result<Proof, Wait> {
    let rules = &run.order.dns;
    let timed = |span: SignedDuration| written.saturating_add(span).unwrap_or(Timestamp::MAX);
    match rules.verification {
        Verification::AnnotationOnly => {
            let until = timed(rules.follow.total());
            if run.now >= until { Ok(Proof::Assumed) } else { Err(waits(goal, what, "").until(until)) }
        }
        Verification::Route53 => by_list(run, goal, written, what),
        Verification::AuthoritativeDns => answered::gate(run, goal, written, what),
    }
}

/// Every host must show it; the slowest one decides.
fn by_list(run: &Run<'_>, goal: Goal, written: Timestamp, what: &str) -> Result<Proof, Wait> {
    let mut first_listed = written;
    for place in places(run) {
        let view = seen(run, place.host, goal, written, what)?;
        let Evidence::Listed(records) = &view.evidence else {
            return Err(waits(goal, what, &format!("{} is being read.", place.host)).looking_again_at(soon(run)));
        };
        let shown = listed::shown(run, goal, place, records)
            .map_err(|missing| patience::waits_for(run, goal, written, what, place.host, &missing))?;
        let served = served_from(run, goal, view, &shown, written);
        first_listed = first_listed.max(shown.since);
        if view.read_at < served {
            return Err(patience::unserved(run, goal, written, what, (place.host, served)));
        }
        let forgotten = served.saturating_add(shown.ttl).unwrap_or(Timestamp::MAX);
        if goal.is_for_users() && run.now < forgotten {
            let message = format!("{} is served; resolvers may keep the old answer until then.", place.host);
            return Err(waits(goal, what, &message).until(forgotten));
        }
    }
    Ok(Proof::Listed { since: first_listed })
}

/// Since when a record shows that external-dns has followed a write. What was listed before it does not tell that: a pass that
/// read the older weight may still apply it. After two intervals such a pass is over, and another one has read the new weight.
fn followed(run: &Run<'_>, shown: &Shown, written: Timestamp) -> Timestamp {
    if shown.oldest >= written {
        return shown.since;
    }
    passes_end(run, written).max(shown.since)
}

/// From when on it counts as served, in a reading that begins then.
fn served_from(run: &Run<'_>, goal: Goal, view: &HostView, shown: &Shown, written: Timestamp) -> Timestamp {
    let followed = followed(run, shown, written);
    // A record of the target that is gone was there until the list changed, and is not on it to tell.
    let since = if goal == Goal::SourceServesAll { followed.max(view.since) } else { followed };
    since.saturating_add(run.order.dns.follow.propagation).unwrap_or(Timestamp::MAX)
}

fn passes_end(run: &Run<'_>, written: Timestamp) -> Timestamp {
    written.saturating_add(run.order.dns.follow.interval.saturating_mul(2)).unwrap_or(Timestamp::MAX)
}

/// Whether users have what was listed when every pass of external-dns had ended that may have read something older than this.
pub(super) fn passed(run: &Run<'_>, written: Timestamp) -> bool {
    let follow = &run.order.dns.follow;
    let forgotten = follow.propagation.saturating_add(follow.record_ttl);
    run.now >= passes_end(run, written).saturating_add(forgotten).unwrap_or(Timestamp::MAX)
}

/// A wait until every host has been read once: what stands there may forbid the first write.
pub(super) fn unread(run: &Run<'_>) -> Option<Wait> {
    if !run.order.dns.is_verified() {
        return None;
    }
    let dns = &run.observed.dns;
    let place = places(run).into_iter().find(|place| !dns.hosts.contains_key(place.host))?;
    let what = "Nothing is written yet";
    Some(match dns.trouble.get(place.host) {
        Some(trouble) => patience::unreadable(Goal::SourceWeighted(Weight::FULL), what, place.host, trouble),
        None => Wait::new(Reason::WaitingForDns, format!("{what}: the records of {} are being read.", place.host))
            .looking_again_at(soon(run)),
    })
}

/// Goes on at this time; when it has come already, the next reading decides.
fn at_or_soon(run: &Run<'_>, wait: Wait, at: Timestamp) -> Wait {
    if at > run.now { wait.until(at) } else { wait.looking_again_at(soon(run)) }
}

pub(super) fn soon(run: &Run<'_>) -> Timestamp {
    run.now.saturating_add(SignedDuration::from_secs(1)).unwrap_or(run.now)
}

/// The host as last read.
fn seen<'a>(run: &Run<'a>, host: &str, goal: Goal, written: Timestamp, what: &str) -> Result<&'a HostView, Wait> {
    let dns = &run.observed.dns;
    if let Some(trouble) = dns.trouble.get(host) {
        return Err(patience::unreadable(goal, what, host, trouble));
    }
    dns.hosts.get(host).ok_or_else(|| {
        let message = format!("{host} has not been read yet.");
        let late = patience::is_late(run, written);
        let wait = waits(goal, what, &message).looking_again_at(soon(run));
        if late { patience::unreadable(goal, what, host, "nobody has answered yet") } else { wait }
    })
}

/// The wait of a gate. `found` is what DNS shows meanwhile.
fn waits(goal: Goal, what: &str, found: &str) -> Wait {
    let reason = if goal == Goal::SourceServesAll { Reason::WaitingForRollbackDns } else { Reason::WaitingForDns };
    let found = if found.is_empty() { String::new() } else { format!(" {found}") };
    Wait::new(reason, format!("{what}; DNS needs time to follow.{found}"))
}

/// The target's share in percent of each host that somebody has listed.
pub(super) fn served_shares(run: &Run<'_>) -> impl Iterator<Item = i32> {
    places(run).into_iter().filter_map(|place| served_share(run, place.host))
}

/// Every host of every Ingress that moves. A host that cannot be seen is remembered.
pub(super) fn places<'a>(run: &'a Run<'_>) -> Vec<Place<'a>> {
    run.ingresses()
        .iter()
        .flat_map(|planned| hosts(run, planned).into_iter().map(move |host| Place { planned, host }))
        .collect()
}

/// Those of one host.
pub(super) fn places_at<'a>(run: &'a Run<'_>, host: &str) -> impl Iterator<Item = Place<'a>> {
    places(run).into_iter().filter(move |place| place.host == host)
}

fn hosts<'a>(run: &'a Run<'_>, planned: &'a PlannedIngress) -> BTreeSet<&'a str> {
    let seen = [Side::Source, Side::Target].into_iter().filter_map(|side| run.ingress(side, planned));
    let seen = seen.flat_map(|facts| facts.hosts.iter().map(String::as_str));
    let remembered = run.status.traffic.iter().filter(|traffic| traffic.ingress == planned.name);
    seen.chain(remembered.flat_map(|traffic| traffic.hosts.iter().map(String::as_str))).collect()
}
