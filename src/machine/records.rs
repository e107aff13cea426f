//! What DNS was seen to serve: record sets as data, with how long each has been so. Filled by `crate::dns`, judged here.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

pub use super::external_dns::ExternalDnsView;
use super::side::Side;
use super::traffic::Weight;

/// The kinds of records that lead users to a load balancer. Each is a group of its own: shares are computed within it.
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-weighted.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// IPv4 addresses, or an alias.
    A,
    /// IPv6 addresses, or an alias.
    Aaaa,
    /// Another name.
    Cname,
}

impl RecordKind {
    /// As DNS writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
        }
    }

    /// Reads what DNS writes.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::A, Self::Aaaa, Self::Cname].into_iter().find(|kind| kind.name() == name)
    }
}

/// How a provider chooses among the record sets of one name and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routing {
    /// There is only this one.
    Simple,
    /// By weight.
    Weighted(Weight),
    /// By something that cannot be shifted step by step: latency, failover, geolocation ... in the provider's word.
    Other(String),
}

/// One record set at a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSet {
    /// A, AAAA or CNAME.
    pub kind: RecordKind,
    /// The set identifier. None for a simple record.
    pub identifier: Option<String>,
    /// How it is chosen.
    pub routing: Routing,
    /// How long resolvers keep it. None for an alias: the provider gives it the TTL of what it leads to.
    pub ttl: Option<SignedDuration>,
    /// Where it leads: addresses, or the name of a load balancer, in lower case and without the last dot. Sorted.
    pub leads_to: Vec<String>,
    /// The external-dns that wrote it, by its ownership TXT record.
    pub owner: Owner,
}

/// Whose a record set is, by external-dns's ownership records.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// Nobody has looked since it is listed, or what was found cannot be read: an encrypted note.
    #[default]
    Unread,
    /// There is no ownership record, though it was looked for since the record set is listed.
    Absent {
        /// The names at which it was looked for.
        sought: Vec<String>,
    },
    /// The owner id that the ownership record names.
    Named(String),
}

impl Owner {
    /// The owner id, where one was found.
    pub fn named(&self) -> Option<&str> {
        if let Self::Named(owner) = self { Some(owner) } else { None }
    }
}

/// A record set and since when it has been listed exactly so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRecord {
    /// The record set.
    pub set: RecordSet,
    /// When it was first seen so; every reading since then has shown the same.
    pub since: Timestamp,
}

/// Answers of one name server about one host and kind, asked again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerAnswers {
    /// How many answers there were.
    pub answers: u32,
    /// The addresses, or names, that were ever answered.
    pub seen: BTreeMap<String, Seen>,
    /// The last answer that led nowhere: no address, or no such name.
    pub empty: Option<Seen>,
    /// The longest TTL that was answered.
    pub ttl: Option<SignedDuration>,
}

/// When something was last answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The last answer that had it.
    pub last: Timestamp,
    /// How many answers there were since then without it.
    pub answers_since: u32,
}

/// What the answer about a host rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The provider's own list, exact, but it also shows changes that are not served yet.
    /// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListResourceRecordSets.html>
    Listed(Vec<ListedRecord>),
    /// Answers of the zone's name servers, by server and kind: they prove who answers, never an exact share.
    Answered {
        /// By server and kind.
        servers: BTreeMap<(String, RecordKind), ServerAnswers>,
        /// The addresses behind each load balancer's name, as far as it could be resolved.
        balancers: BTreeMap<String, BTreeSet<String>>,
    },
}

/// What is known of one host in DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostView {
    /// When the last reading that succeeded began.
    pub read_at: Timestamp,
    /// Since when every reading has shown the very same record sets: none has changed, come or gone. It means nothing of answers.
    pub since: Timestamp,
    /// What it showed.
    pub evidence: Evidence,
}

/// DNS as last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsView {
    /// The hosts that were read at least once.
    pub hosts: BTreeMap<String, HostView>,
    /// Why the last reading failed, by host, where it did: what was asked, what was answered, what to do.
    pub trouble: BTreeMap<String, String>,
    /// The source's external-dns.
    pub source: ExternalDnsView,
    /// The target's external-dns.
    pub target: ExternalDnsView,
}

impl DnsView {
    /// The external-dns of one side.
    pub fn external_dns(&self, side: Side) -> &ExternalDnsView {
        side.pick(&self.source, &self.target)
    }
}
