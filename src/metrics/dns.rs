//! What is counted of the reading of DNS.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{MigrationLabels, PairLabels};
use crate::api::status::RecordTraffic;
use crate::api::{DurationText, NamespaceMigrationStatus};
use crate::machine::stages::is_terminal;
use crate::mutex::locked;

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

/// Labels of what is known of one host and kind of a migration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
pub struct RecordLabels {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The host.
    pub host: String,
    /// A, AAAA or CNAME; Any where nobody looks.
    pub kind: String,
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
    /// The series of each host and kind of the migrations under way.
    records: Arc<Mutex<BTreeSet<RecordLabels>>>,
    /// The target's share that is wanted.
    pub desired_percent: Family<RecordLabels, Gauge>,
    /// The target's share by the weights on the Ingresses.
    pub written_percent: Family<RecordLabels, Gauge>,
    /// The target's share as DNS serves it. None where nobody has read it.
    pub served_percent: Family<RecordLabels, Gauge>,
    /// Since when it serves that.
    pub served_since: Family<RecordLabels, Gauge>,
    /// How long resolvers keep an answer.
    pub ttl: Family<RecordLabels, Gauge>,
    /// Since when something is written that DNS does not serve yet. None where no gate is closed.
    pub unserved_since: Family<RecordLabels, Gauge>,
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
        for (name, help, family) in [
            ("desired_percent", "The target's share of DNS answers that is wanted", &self.desired_percent),
            ("written_percent", "The target's share by the weights on the Ingresses", &self.written_percent),
            ("served_percent", "The target's share of DNS answers as served", &self.served_percent),
            ("served_since_timestamp_seconds", "Since when DNS serves that share", &self.served_since),
            ("record_ttl_seconds", "How long resolvers keep an answer", &self.ttl),
            (
                "unserved_since_timestamp_seconds",
                "When that was written which DNS does not serve yet; absent when nothing is waited for",
                &self.unserved_since,
            ),
        ] {
            registry.register(name, help, family.clone());
        }
    }

    /// Brings the series of a migration in line with what its status says of DNS. One that has ended has none: nobody looks any more.
    pub fn measure(&self, of: &MigrationLabels, status: &NamespaceMigrationStatus) {
        let rows = if is_terminal(status.stage) { &[] } else { status.dns.as_slice() };
        let labels = |row: &RecordTraffic| RecordLabels {
            namespace: of.namespace.clone(),
            name: of.name.clone(),
            host: row.host.clone(),
            kind: row.kind.clone(),
        };
        self.keep_only(of, &rows.iter().map(labels).collect());
        for row in rows {
            let (of, seconds) = (labels(row), |time: &Option<Time>| time.as_ref().map(|time| time.0.as_second()));
            let ttl = DurationText::from(row.ttl.as_str()).span().ok().map(|ttl| ttl.as_secs());
            set(&self.desired_percent, &of, Some(row.desired.into()));
            set(&self.written_percent, &of, Some(row.written.into()));
            set(&self.served_percent, &of, row.served.map(i64::from));
            set(&self.served_since, &of, seconds(&row.since));
            set(&self.ttl, &of, ttl);
            set(&self.unserved_since, &of, seconds(&row.written_since));
        }
    }

    /// Drops the series of a migration that is gone.
    pub(super) fn forget(&self, gone: &MigrationLabels) {
        self.keep_only(gone, &BTreeSet::new());
    }

    fn keep_only(&self, of: &MigrationLabels, rows: &BTreeSet<RecordLabels>) {
        let mut known = locked(&self.records);
        let is_its = |row: &RecordLabels| (&row.namespace, &row.name) == (&of.namespace, &of.name);
        for gone in known.iter().filter(|row| is_its(row) && !rows.contains(row)) {
            for family in self.families() {
                family.remove(gone);
            }
        }
        known.retain(|row| !is_its(row));
        known.extend(rows.iter().cloned());
    }

    fn families(&self) -> [&Family<RecordLabels, Gauge>; 6] {
        [
            &self.desired_percent,
            &self.written_percent,
            &self.served_percent,
            &self.served_since,
            &self.ttl,
            &self.unserved_since,
        ]
    }
}

/// What is not known has no series: 0 would say something else.
fn set(family: &Family<RecordLabels, Gauge>, of: &RecordLabels, value: Option<i64>) {
    match value {
        Some(value) => drop(family.get_or_create(of).set(value)),
        None => drop(family.remove(of)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::Stage;

    fn status(rows: serde_json::Value) -> NamespaceMigrationStatus {
        let mut status = NamespaceMigrationStatus { stage: Stage::ShiftTraffic, ..NamespaceMigrationStatus::default() };
        status.dns = serde_json::from_value(rows).unwrap();
        status
    }

    #[test]
    fn each_host_and_kind_has_its_own_series_and_what_is_not_known_has_none() {
        let (metrics, of) = (DnsMetrics::default(), MigrationLabels { namespace: "shop".into(), name: "shop".into() });
        let at = |host: &str| RecordLabels {
            namespace: "shop".into(),
            name: "shop".into(),
            host: host.into(),
            kind: "A".into(),
        };
        let waits = json!({
            "host": "a.example", "kind": "A", "desired": 50, "written": 50, "served": 10, "ttl": "1m", "since": "2026-11-21T07:59:00Z",
            "writtenSince": "2026-11-21T08:00:00Z",
        });
        let served = json!({"host": "b.example", "kind": "A", "desired": 50, "written": 50, "served": 50});
        let unread = json!({"host": "c.example", "kind": "A", "desired": 50, "written": 50});
        metrics.measure(&of, &status(json!([waits, served, unread])));
        let values = |host: &str| metrics.families().map(|family| family.get(&at(host)).map(|gauge| gauge.get()));
        let wait = [Some(50), Some(50), Some(10), Some(1_795_247_940), Some(60), Some(1_795_248_000)];
        assert_eq!(values("a.example"), wait);
        assert_eq!(values("b.example"), [Some(50), Some(50), Some(50), None, None, None]);
        assert_eq!(values("c.example"), [Some(50), Some(50), None, None, None, None]);
        metrics.measure(&of, &status(json!([unread])));
        assert_eq!((values("a.example"), values("b.example")), ([None; 6], [None; 6]), "nobody looks there any more");
        metrics.forget(&of);
        assert_eq!(values("c.example"), [None; 6]);
        metrics.measure(&of, &status(json!([served])));
        metrics.measure(&of, &NamespaceMigrationStatus { stage: Stage::Completed, ..status(json!([served])) });
        assert_eq!(values("b.example"), [None; 6], "it has ended");
    }
}
