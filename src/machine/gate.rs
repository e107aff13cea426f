//! Whether DNS serves what was written. The seam where each verification backend answers the same question.

use jiff::{SignedDuration, Timestamp};

/// How it is known that a weight is served, with what the backend needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsVerification {
    /// Nothing is asked: served is assumed after the time that everything together may take.
    AnnotationOnly(FollowTime),
}

/// How long each part takes to follow a written annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowTime {
    /// external-dns notices: its interval, the slower of both sides.
    pub interval: SignedDuration,
    /// The DNS provider serves it everywhere.
    pub propagation: SignedDuration,
    /// Resolvers have forgotten the old answer.
    pub record_ttl: SignedDuration,
}

impl FollowTime {
    /// The settle time: after it, users follow what was written.
    pub fn total(&self) -> SignedDuration {
        self.interval.saturating_add(self.propagation).saturating_add(self.record_ttl)
    }
}

/// The answer of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Not yet; ask again at this time at the latest.
    Closed {
        /// When the answer may change by itself.
        until: Timestamp,
    },
    /// Served, with the strength of the proof.
    Open(Proof),
}

/// How strong the proof is that a weight is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Enough time has passed; nobody has looked.
    Assumed,
}

impl DnsVerification {
    /// How long following takes when all goes well: no deadline may be shorter.
    pub fn settle_time(&self) -> SignedDuration {
        let Self::AnnotationOnly(follow) = self;
        follow.total()
    }

    /// Whether what has been written since `written_since` is served at `now`.
    pub fn gate(&self, written_since: Timestamp, now: Timestamp) -> Gate {
        let Self::AnnotationOnly(follow) = self;
        let until = written_since.saturating_add(follow.total()).unwrap_or(Timestamp::MAX);
        if now >= until { Gate::Open(Proof::Assumed) } else { Gate::Closed { until } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotation_only_opens_after_interval_propagation_and_ttl() {
        let follow = FollowTime {
            interval: SignedDuration::from_secs(60),
            propagation: SignedDuration::from_secs(30),
            record_ttl: SignedDuration::from_secs(10),
        };
        let written = Timestamp::UNIX_EPOCH;
        let dns = DnsVerification::AnnotationOnly(follow);
        let until = written + SignedDuration::from_secs(100);
        assert_eq!(dns.gate(written, until - SignedDuration::from_millis(1)), Gate::Closed { until });
        assert_eq!(dns.gate(written, until), Gate::Open(Proof::Assumed));
    }
}
