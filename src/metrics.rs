//! What the operator counts. Every series is named `nsmig_*`; no label carries a host name, a Secret or a value
//! that somebody outside can invent, so that the number of series stays bounded.

#[macro_use]
mod labels;
mod dns;

use std::fmt;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

pub use dns::{DnsAction, DnsBackend, DnsMetrics, DnsOutcome, DnsQueueLabels, DnsRequestLabels};
pub use labels::*;

/// Every series of the operator. Clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Passes over objects.
    pub reconciles: Family<ReconcileLabels, Counter>,
    /// Failed passes by the error's category.
    pub reconcile_errors: Family<ErrorLabels, Counter>,
    /// How long one pass took, in seconds.
    pub reconcile_duration: Histogram,
    /// Migrations in each stage.
    pub migrations: Family<StageLabels, Gauge>,
    /// The weight that is written on each side, in percent.
    pub weight: Family<WeightLabels, Gauge>,
    /// The share of users that may still be sent to the target while a rollback is not confirmed, in percent.
    pub exposed_percent: Family<MigrationLabels, Gauge>,
    /// Rollbacks begun.
    pub rollbacks: Family<RollbackLabels, Counter>,
    /// Time from the verdict that began a rollback to the answer to the source's write, in seconds.
    pub rollback_write: Histogram,
    /// Requests to API servers.
    pub remote_calls: Family<CallLabels, Counter>,
    /// 1 while the cluster answers, 0 while it does not.
    pub cluster_reachable: Family<ReachableLabels, Gauge>,
    /// Probes of load balancers.
    pub probes: Family<ProbeLabels, Counter>,
    /// The reading of DNS.
    pub dns: DnsMetrics,
    /// Weights and objects that deleted migrations have left over.
    pub leftovers: Family<PairLabels, Gauge>,
    /// Leftovers that are not owed any more.
    pub leftovers_settled: Family<LeftoverLabels, Counter>,
    /// Panics that were caught.
    pub panics: Counter,
    /// Writes of a status.
    pub status_writes: Counter,
    /// 1 while this process leads, 0 while it does not or cannot know.
    pub leader: Gauge,
    /// How often the Lease went from one holder to another, as this process last saw it.
    pub leader_transitions: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            reconciles: Family::default(),
            reconcile_errors: Family::default(),
            // 1 ms to 16 s: a pass is a few API round trips, and each of those ends within 10 s.
            reconcile_duration: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            migrations: Family::default(),
            weight: Family::default(),
            exposed_percent: Family::default(),
            rollbacks: Family::default(),
            // 1 ms to 16 s: two API round trips when all is well.
            rollback_write: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            remote_calls: Family::default(),
            cluster_reachable: Family::default(),
            probes: Family::default(),
            dns: DnsMetrics::default(),
            leftovers: Family::default(),
            leftovers_settled: Family::default(),
            panics: Counter::default(),
            status_writes: Counter::default(),
            leader: Gauge::default(),
            leader_transitions: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Drops the series of a migration that is gone, so that finished objects cost nothing.
    pub fn forget_migration(&self, namespace: &str, name: &str) {
        for side in [ClusterSide::Home, ClusterSide::Source, ClusterSide::Target] {
            self.weight.remove(&WeightLabels { namespace: namespace.into(), name: name.into(), side });
        }
        let gone = MigrationLabels { namespace: namespace.into(), name: name.into() };
        self.exposed_percent.remove(&gone);
        self.dns.forget(&gone);
    }

    /// Drops the series of the connections of a `ClusterPair` that is gone or not in use.
    pub fn forget_pair(&self, pair: &str) {
        for side in [ClusterSide::Home, ClusterSide::Source, ClusterSide::Target] {
            self.cluster_reachable.remove(&ReachableLabels { pair: pair.into(), side });
        }
        self.leftovers.remove(&PairLabels { pair: pair.into() });
        self.dns.last_reading.remove(&PairLabels { pair: pair.into() });
    }

    /// All series in the `OpenMetrics` text format, version 1.0.0.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry())?;
        Ok(text)
    }

    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("nsmig");
        self.register_passes(&mut registry);
        self.register_migrations(&mut registry);
        self.register_clusters(&mut registry);
        self.register_lease(&mut registry);
        self.dns.register(&mut registry);
        registry
    }

    fn register_passes(&self, registry: &mut Registry) {
        registry.register("reconcile", "Passes over objects, by how they ended", self.reconciles.clone());
        registry.register("reconcile_errors", "Failed passes, by category", self.reconcile_errors.clone());
        let duration = self.reconcile_duration.clone();
        registry.register("reconcile_duration_seconds", "Duration of one pass over one object", duration);
        registry.register("panics", "Panics that were caught", self.panics.clone());
        registry.register("status_writes", "Writes of an object's status", self.status_writes.clone());
    }

    fn register_migrations(&self, registry: &mut Registry) {
        registry.register("migrations", "Migrations in each stage", self.migrations.clone());
        registry.register("weight", "DNS weight written on each side, in percent", self.weight.clone());
        let exposed = self.exposed_percent.clone();
        registry.register("exposed_percent", "Share of users that a rollback has not yet brought back", exposed);
        registry.register("rollbacks", "Rollbacks begun, by cause", self.rollbacks.clone());
        let write = self.rollback_write.clone();
        registry.register(
            "rollback_write_seconds",
            "From the failing verdict to weight 100 written on the source",
            write,
        );
    }

    fn register_lease(&self, registry: &mut Registry) {
        registry.register("leader", "1 while this process leads, else 0", self.leader.clone());
        let transitions = self.leader_transitions.clone();
        registry.register("leader_transitions", "Changes of the Lease's holder so far", transitions);
    }

    fn register_clusters(&self, registry: &mut Registry) {
        registry.register("remote_calls", "Requests to API servers, by how they ended", self.remote_calls.clone());
        let reachable = self.cluster_reachable.clone();
        registry.register("cluster_reachable", "1 while a pair's cluster answers, else 0", reachable);
        registry.register("leftovers", "Weights and objects that deleted migrations left over", self.leftovers.clone());
        let settled = self.leftovers_settled.clone();
        registry.register("leftovers_settled", "Leftovers that are not owed any more, by how they ended", settled);
        registry.register("probes", "Probes of load balancers, by what they found", self.probes.clone());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{NamespaceMigrationStatus, Stage};

    fn every_series() -> Metrics {
        let metrics = Metrics::default();
        metrics.reconciles.get_or_create(&ReconcileLabels { result: ReconcileResult::Panic }).inc();
        metrics.reconcile_errors.get_or_create(&ErrorLabels { reason: "ObserveSource" }).inc();
        metrics.reconcile_duration.observe(0.01);
        metrics.migrations.get_or_create(&StageLabels { stage: "Bake" }).set(3);
        let (namespace, name) = ("shop-dev".to_owned(), "shop".to_owned());
        let weight = WeightLabels { namespace: namespace.clone(), name: name.clone(), side: ClusterSide::Target };
        metrics.weight.get_or_create(&weight).set(10);
        let shop = MigrationLabels { namespace, name };
        metrics.exposed_percent.get_or_create(&shop).set(4);
        let row = json!({
            "host": "shop.example", "kind": "A", "desired": 9, "written": 10, "served": 11, "since": "1970-01-01T00:00:12Z", "ttl": "13s",
            "writtenSince": "1970-01-01T00:00:14Z",
        });
        let mut status = NamespaceMigrationStatus { stage: Stage::ShiftTraffic, ..NamespaceMigrationStatus::default() };
        status.dns = serde_json::from_value(json!([row])).unwrap();
        metrics.dns.measure(&shop, &status);
        metrics.rollbacks.get_or_create(&RollbackLabels { cause: "HealthFailed" }).inc();
        metrics.rollback_write.observe(0.01);
        let call = CallLabels { side: ClusterSide::Source, verb: Verb::Apply, outcome: CallOutcome::Conflict };
        metrics.remote_calls.get_or_create(&call).inc();
        let reachable = ReachableLabels { pair: "live".into(), side: ClusterSide::Target };
        metrics.cluster_reachable.get_or_create(&reachable).set(1);
        let probe = ProbeLabels { side: ClusterSide::Target, outcome: ProbeOutcome::Tls };
        metrics.probes.get_or_create(&probe).inc();
        let request = DnsRequestLabels { action: DnsAction::ListRecords, outcome: DnsOutcome::Throttled };
        metrics.dns.requests.get_or_create(&request).inc();
        metrics.dns.queue.get_or_create(&DnsQueueLabels { backend: DnsBackend::Route53 }).set(7);
        metrics.dns.last_reading.get_or_create(&PairLabels { pair: "live".into() }).set(1700);
        metrics.leader.set(1);
        metrics.leader_transitions.set(2);
        metrics.leftovers.get_or_create(&PairLabels { pair: "live".into() }).set(2);
        metrics.leftovers_settled.get_or_create(&LeftoverLabels { outcome: "paid" }).inc();
        metrics
    }

    #[test]
    fn every_series_appears_under_its_documented_name() {
        let text = every_series().encode().unwrap();
        for line in [
            r#"nsmig_reconcile_total{result="panic"} 1"#,
            r#"nsmig_reconcile_errors_total{reason="ObserveSource"} 1"#,
            r"nsmig_reconcile_duration_seconds_count 1",
            r#"nsmig_migrations{stage="Bake"} 3"#,
            r#"nsmig_weight{namespace="shop-dev",name="shop",side="target"} 10"#,
            r#"nsmig_exposed_percent{namespace="shop-dev",name="shop"} 4"#,
            r#"nsmig_rollbacks_total{cause="HealthFailed"} 1"#,
            r"nsmig_rollback_write_seconds_count 1",
            r#"nsmig_remote_calls_total{side="source",verb="apply",outcome="conflict"} 1"#,
            r#"nsmig_cluster_reachable{pair="live",side="target"} 1"#,
            r#"nsmig_probes_total{side="target",outcome="tls"} 1"#,
            r#"nsmig_dns_requests_total{action="list_records",outcome="throttled"} 1"#,
            r#"nsmig_dns_queue{backend="route53"} 7"#,
            r#"nsmig_dns_last_reading_timestamp_seconds{pair="live"} 1700"#,
            r#"nsmig_desired_percent{namespace="shop-dev",name="shop",host="shop.example",kind="A"} 9"#,
            r#"nsmig_written_percent{namespace="shop-dev",name="shop",host="shop.example",kind="A"} 10"#,
            r#"nsmig_served_percent{namespace="shop-dev",name="shop",host="shop.example",kind="A"} 11"#,
            r#"nsmig_served_since_timestamp_seconds{namespace="shop-dev",name="shop",host="shop.example",kind="A"} 12"#,
            r#"nsmig_record_ttl_seconds{namespace="shop-dev",name="shop",host="shop.example",kind="A"} 13"#,
            r#"nsmig_unserved_since_timestamp_seconds{namespace="shop-dev",name="shop",host="shop.example",kind="A"} 14"#,
            r#"nsmig_leftovers{pair="live"} 2"#,
            r#"nsmig_leftovers_settled_total{outcome="paid"} 1"#,
            r"nsmig_panics_total 0",
            r"nsmig_status_writes_total 0",
            r"nsmig_leader 1",
            r"nsmig_leader_transitions 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_migration_that_is_gone_leaves_no_series_behind() {
        let metrics = every_series();
        metrics.forget_migration("shop-dev", "shop");
        metrics.forget_pair("live");
        let text = metrics.encode().unwrap();
        assert!(!text.contains("shop-dev") && !text.contains("pair="), "{text}");
    }

    #[test]
    fn clones_share_their_values() {
        let metrics = Metrics::default();
        metrics.clone().panics.inc();
        assert_eq!(metrics.panics.get(), 1);
    }
}
