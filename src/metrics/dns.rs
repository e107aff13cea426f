//! What is counted of the reading of DNS.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::PairLabels;

label_values! {
    /// What was asked of DNS.
    DnsAction {
        /// The hosted zones of the account.
        ListZones => "list_zones",
        /// The record sets at a name.
        ListRecords => "list_records",
        /// A name server's answer.
        Query => "query",
    }
}

label_values! {
    /// How a question about DNS ended.
    DnsOutcome {
        /// With an answer.
        Success => "success",
        /// The account's requests are used up.
        Throttled => "throttled",
        /// The credentials are missing or do not suffice.
        Denied => "denied",
        /// There is no such zone, or more than one.
        NoZone => "no_zone",
        /// Nothing came in time.
        Timeout => "timeout",
        /// No connection.
        Unreachable => "unreachable",
        /// Any other refusal.
        Refused => "refused",
    }
}

label_values! {
    /// Who is asked what DNS serves.
    DnsBackend {
        /// The API of Route 53.
        Route53 => "route53",
        /// The zone's name servers.
        NameServers => "name_servers",
    }
}

/// Labels of `nsmig_dns_requests_total`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DnsRequestLabels {
    /// What was asked.
    pub action: DnsAction,
    /// How it ended.
    pub outcome: DnsOutcome,
}

/// Labels of `nsmig_dns_queue`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DnsQueueLabels {
    /// Who is asked.
    pub backend: DnsBackend,
}

/// The series of the reading of DNS. Clones share their values.
#[derive(Clone, Debug, Default)]
pub struct DnsMetrics {
    /// Questions that were asked.
    pub requests: Family<DnsRequestLabels, Counter>,
    /// Questions that are due and wait for their turn.
    pub queue: Family<DnsQueueLabels, Gauge>,
    /// When the last reading that succeeded began, by pair.
    pub last_reading: Family<PairLabels, Gauge>,
}

impl DnsMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("dns_requests", "Questions about DNS, by how they ended", self.requests.clone());
        registry.register("dns_queue", "Questions about DNS that are due and wait for their turn", self.queue.clone());
        let last = self.last_reading.clone();
        registry.register(
            "dns_last_reading_timestamp_seconds",
            "When the last reading of DNS that succeeded began",
            last,
        );
    }
}
