//! The Lease as data, and what follows from it. Pure: the caller reads the clocks and sends the requests.
//!
//! The rules are those of client-go's `leaderelection`. Whether a holder's time is up is judged by this process's own
//! monotonic clock, from the moment at which the record was last seen to change: clocks of two machines are never compared.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use tokio::time::Instant;

/// The longest wait between two tries: a Lease that is given up finds its next holder within this time.
const LONGEST_RETRY: Duration = Duration::from_secs(2);

/// How long things take, all derived from the first in client-go's proportions: 15 s, 10 s, 2 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// A holder that has not renewed for so long may be replaced.
    pub duration: Duration,
    /// A holder that could not renew for so long does not rely on the Lease any more. Shorter than the duration, so that
    /// it stops before another one starts.
    pub renew_deadline: Duration,
    /// Between two tries to renew or to acquire.
    pub retry_period: Duration,
}

impl Times {
    /// The times of a Lease with this duration, of which whole seconds count.
    pub fn of(duration: Duration) -> Self {
        Self { duration, renew_deadline: duration * 2 / 3, retry_period: (duration * 2 / 15).min(LONGEST_RETRY) }
    }
}

/// A Lease as it was last read or written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) lease: Lease,
    /// When its record was first seen as it is.
    at: Instant,
}

impl Seen {
    /// What is known after a look at `now`. A change of anything but the record, such as a label, is no sign of life.
    pub(super) fn after_look(before: Option<&Self>, lease: Lease, now: Instant) -> Self {
        let unchanged = before.filter(|known| known.lease.spec == lease.spec);
        Self { at: unchanged.map_or(now, |known| known.at), lease }
    }

    /// Who holds it. Empty when it was released.
    pub(super) fn holder(&self) -> &str {
        self.spec().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
    }

    /// How often it went from one holder to another.
    pub(super) fn transitions(&self) -> i32 {
        self.spec().and_then(|spec| spec.lease_transitions).unwrap_or_default()
    }

    /// When its holder was last known to be alive, by that holder's own clock.
    pub(super) fn renewed_at(&self) -> Option<Timestamp> {
        Some(self.spec()?.renew_time.as_ref()?.0)
    }

    /// Whether its holder has been silent for as long as it promised to renew; for `default` when it promised nothing.
    fn is_expired(&self, default: Duration, now: Instant) -> bool {
        let promised = self.spec().and_then(|spec| spec.lease_duration_seconds);
        let seconds = promised.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
        now.saturating_duration_since(self.at) >= seconds.map_or(default, Duration::from_secs)
    }

    fn spec(&self) -> Option<&LeaseSpec> {
        self.lease.spec.as_ref()
    }
}

/// What to do about the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// There is none: create it as its holder.
    Create,
    /// Nobody holds it, or its holder fell silent: become its holder.
    Take,
    /// It is ours: say so again.
    Renew,
    /// It is another's.
    StandBy {
        /// Whose.
        holder: String,
    },
}

/// What `identity` does about a Lease that was last seen like this.
pub(super) fn decide(identity: &str, seen: Option<&Seen>, times: &Times, now: Instant) -> Action {
    let Some(seen) = seen else { return Action::Create };
    match seen.holder() {
        holder if holder == identity => Action::Renew,
        holder if holder.is_empty() || seen.is_expired(times.duration, now) => Action::Take,
        holder => Action::StandBy { holder: holder.to_owned() },
    }
}

/// A Lease that does not exist yet, held by `identity`.
pub(super) fn created(name: &str, identity: &str, times: &Times, wall: Timestamp) -> Lease {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    Lease { metadata, spec: Some(held(identity, times, wall)) }
}

/// The Lease with another holder. Whatever else is in it stays, its version too: the write fails if somebody was quicker.
pub(super) fn taken(seen: &Seen, identity: &str, times: &Times, wall: Timestamp) -> Lease {
    let spec =
        LeaseSpec { lease_transitions: Some(seen.transitions().saturating_add(1)), ..held(identity, times, wall) };
    replaced(seen, spec)
}

/// The Lease of a holder that is alive.
pub(super) fn renewed(seen: &Seen, times: &Times, wall: Timestamp) -> Lease {
    let acquired = seen.spec().and_then(|spec| spec.acquire_time.clone());
    let spec = LeaseSpec {
        acquire_time: acquired.or(Some(MicroTime(wall))),
        lease_transitions: Some(seen.transitions()),
        ..held(seen.holder(), times, wall)
    };
    replaced(seen, spec)
}

/// The Lease that its holder gives up: the next one need not wait.
pub(super) fn released(seen: &Seen, wall: Timestamp) -> Lease {
    let brief = Times::of(Duration::from_secs(1));
    replaced(seen, LeaseSpec { lease_transitions: Some(seen.transitions()), ..held("", &brief, wall) })
}

fn held(identity: &str, times: &Times, wall: Timestamp) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(i32::try_from(times.duration.as_secs()).unwrap_or(i32::MAX)),
        acquire_time: Some(MicroTime(wall)),
        renew_time: Some(MicroTime(wall)),
        lease_transitions: Some(0),
        ..LeaseSpec::default()
    }
}

fn replaced(seen: &Seen, spec: LeaseSpec) -> Lease {
    let known = seen.spec().cloned().unwrap_or_default();
    let spec = LeaseSpec { preferred_holder: known.preferred_holder, strategy: known.strategy, ..spec };
    Lease { metadata: seen.lease.metadata.clone(), spec: Some(spec) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Timestamp = Timestamp::UNIX_EPOCH;

    fn times() -> Times {
        Times::of(Duration::from_secs(15))
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn held_by(holder: &str, at: Instant) -> Seen {
        Seen::after_look(None, created("l", holder, &times(), WALL), at)
    }

    #[test]
    fn the_times_are_those_of_client_go() {
        assert_eq!((times().renew_deadline, times().retry_period), (seconds(10), seconds(2)));
        assert_eq!(Times::of(seconds(3)).retry_period, Duration::from_millis(400));
        assert_eq!(Times::of(seconds(3600)).retry_period, seconds(2), "a handover is as quick as ever");
    }

    #[test]
    fn a_lease_is_created_when_absent_renewed_when_ours_and_respected_while_its_holder_lives() {
        let start = Instant::now();
        let at = |seen: &Seen, after: u64| decide("me", Some(seen), &times(), start + seconds(after));
        assert_eq!(decide("me", None, &times(), start), Action::Create);
        assert_eq!(at(&held_by("me", start), 1000), Action::Renew);
        let other = held_by("other", start);
        assert_eq!(at(&other, 14), Action::StandBy { holder: "other".into() });
        assert_eq!(at(&other, 15), Action::Take);
        assert_eq!(at(&held_by("", start), 0), Action::Take, "it was released");
    }

    #[test]
    fn the_holders_own_duration_counts_and_a_senseless_one_does_not() {
        let start = Instant::now();
        let promising = |duration: i32| {
            let mut lease = created("l", "other", &times(), WALL);
            lease.spec.as_mut().unwrap().lease_duration_seconds = Some(duration);
            Seen::after_look(None, lease, start)
        };
        let at = |seen: &Seen, after: u64| decide("me", Some(seen), &times(), start + seconds(after));
        assert_eq!(at(&promising(3), 3), Action::Take);
        assert_eq!(at(&promising(60), 59), Action::StandBy { holder: "other".into() });
        for senseless in [0, -1] {
            assert_eq!(at(&promising(senseless), 14), Action::StandBy { holder: "other".into() });
            assert_eq!(at(&promising(senseless), 15), Action::Take);
        }
    }

    #[test]
    fn a_renewal_is_a_sign_of_life_whatever_the_holders_clock_says_and_a_label_is_none() {
        let start = Instant::now();
        let first = held_by("other", start);
        let mut labelled = first.lease.clone();
        labelled.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
        labelled.metadata.resource_version = Some("2".into());
        let labelled = Seen::after_look(Some(&first), labelled, start + seconds(14));
        assert_eq!(decide("me", Some(&labelled), &times(), start + seconds(15)), Action::Take);

        // The other's clock runs backwards.
        let renewal = renewed(&first, &times(), WALL - jiff::SignedDuration::from_hours(1));
        let renewal = Seen::after_look(Some(&first), renewal, start + seconds(14));
        let decision = decide("me", Some(&renewal), &times(), start + seconds(28));
        assert_eq!(decision, Action::StandBy { holder: "other".into() });
    }

    #[test]
    fn what_is_written_keeps_what_others_wrote_and_counts_changes_of_the_holder() {
        let start = Instant::now();
        let mut lease = created("l", "other", &times(), WALL);
        lease.metadata.resource_version = Some("7".into());
        lease.spec.as_mut().unwrap().strategy = Some("theirs".into());
        let seen = Seen::after_look(None, lease, start);
        let later = WALL + jiff::SignedDuration::from_secs(9);

        let mine = Seen::after_look(None, taken(&seen, "me", &times(), later), start);
        assert_eq!((mine.holder(), mine.transitions()), ("me", 1));
        assert_eq!(mine.lease.metadata, seen.lease.metadata, "the version is the precondition");
        let spec = mine.lease.spec.clone().unwrap();
        assert_eq!(spec.strategy.as_deref(), Some("theirs"));
        assert_eq!((spec.acquire_time, spec.lease_duration_seconds), (Some(MicroTime(later)), Some(15)));

        let again = renewed(&mine, &times(), later + jiff::SignedDuration::from_secs(2)).spec.unwrap();
        assert_eq!((again.acquire_time, again.lease_transitions), (Some(MicroTime(later)), Some(1)));
        let free = Seen::after_look(None, released(&mine, later), start);
        assert_eq!((free.holder(), free.transitions()), ("", 1));
    }
}
