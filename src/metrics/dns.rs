//! What is counted of the reading of DNS.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{MigrationLabels, PairLabels};
use crate::api::NamespaceMigrationStatus;

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
    /// The target's share as DNS serves it, by migration: the highest of all hosts and kinds. None where nobody has read it.
    pub served_percent: Family<MigrationLabels, Gauge>,
    /// The target's share that is wanted, by migration.
    pub desired_percent: Family<MigrationLabels, Gauge>,
    /// Since when something is written that DNS does not serve yet, by migration. None where no gate is closed.
    pub unserved_since: Family<MigrationLabels, Gauge>,
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
        let served = self.served_percent.clone();
        registry.register(
            "served_percent",
            "The target's share of DNS answers as served, highest of all hosts",
            served,
        );
        let desired = self.desired_percent.clone();
        registry.register("desired_percent", "The target's share of DNS answers that is wanted", desired);
        let since = self.unserved_since.clone();
        registry.register(
            "unserved_since_timestamp_seconds",
            "When that was written which DNS does not serve yet; absent when nothing is waited for",
            since,
        );
    }

    /// Brings the series of a migration in line with what its status says of DNS.
    pub fn measure(&self, of: &MigrationLabels, status: &NamespaceMigrationStatus) {
        let rows = &status.dns;
        set(&self.served_percent, of, status.served.map(i64::from));
        set(&self.desired_percent, of, rows.iter().map(|row| i64::from(row.desired)).max());
        let since = rows.iter().filter_map(|row| Some(row.written_since.as_ref()?.0.as_second())).min();
        set(&self.unserved_since, of, since);
    }

    /// Drops the series of a migration that is gone.
    pub(super) fn forget(&self, gone: &MigrationLabels) {
        for family in [&self.served_percent, &self.desired_percent, &self.unserved_since] {
            family.remove(gone);
        }
    }
}

/// What is not known has no series: 0 would say something else.
fn set(family: &Family<MigrationLabels, Gauge>, of: &MigrationLabels, value: Option<i64>) {
    match value {
        Some(value) => drop(family.get_or_create(of).set(value)),
        None => drop(family.remove(of)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(rows: serde_json::Value, served: Option<i32>) -> NamespaceMigrationStatus {
        let mut status = NamespaceMigrationStatus { served, ..NamespaceMigrationStatus::default() };
        status.dns = serde_json::from_value(rows).unwrap();
        status
    }

    #[test]
    fn of_all_hosts_the_highest_share_and_the_oldest_wait_count_and_what_is_not_known_has_no_series() {
        let (metrics, of) = (DnsMetrics::default(), MigrationLabels { namespace: "shop".into(), name: "shop".into() });
        let row = |host: &str, since: Option<&str>| json!({"host": host, "kind": "A", "desired": 10, "written": 10, "writtenSince": since});
        let rows = json!([
            row("a.example", Some("2026-11-21T08:00:05Z")),
            row("b.example", Some("2026-11-21T08:00:00Z")),
            row("c.example", None)
        ]);
        metrics.measure(&of, &status(rows, Some(9)));
        assert_eq!(metrics.served_percent.get_or_create(&of).get(), 9);
        assert_eq!(metrics.desired_percent.get_or_create(&of).get(), 10);
        assert_eq!(metrics.unserved_since.get_or_create(&of).get(), 1_795_248_000);
        metrics.measure(&of, &status(json!([row("a.example", None)]), None));
        assert!(metrics.served_percent.get(&of).is_none() && metrics.unserved_since.get(&of).is_none());
        metrics.forget(&of);
        assert!(metrics.desired_percent.get(&of).is_none());
    }
}
