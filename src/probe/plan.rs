//! PURE. What is probed: every host of the plan, over HTTP and HTTPS, at both load balancers; and the checks of the spec.

use std::collections::BTreeSet;
use std::time::Duration;

use super::entrance::Entrance;
use super::http::Scheme;
use super::judge::Thresholds;
use crate::api::cluster_pair::ClusterPairSpec;
use crate::api::namespace_migration::{Check, NamespaceMigrationSpec};
use crate::api::{NamespaceMigrationStatus, Side as WireSide};
use crate::machine::Side;
use crate::machine::observed::Observed;

/// Everything that a prober must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePlan {
    /// Time between two rounds.
    pub interval: Duration,
    /// Time for one answer.
    pub timeout: Duration,
    /// How many answers in a row decide.
    pub thresholds: Thresholds,
    /// Private roots as PEM. Empty means the public ones.
    pub roots: String,
    /// Ranges that may be probed besides public addresses.
    pub allowed: Vec<String>,
    /// Ports of the source's load balancer.
    pub source_ports: Ports,
    /// Ports of the target's load balancer.
    pub target_ports: Ports,
    /// The questions.
    pub targets: Vec<ProbeTarget>,
}

/// Ports of a load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Of HTTP.
    pub http: u16,
    /// Of HTTPS.
    pub https: u16,
}

/// One question, asked at both load balancers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeTarget {
    /// Name of the check in status.
    pub name: String,
    /// The Ingress that has the host.
    pub ingress: String,
    /// With or without TLS.
    pub scheme: Scheme,
    /// The host.
    pub host: String,
    /// The path.
    pub path: String,
    /// Whether the source's Ingress has a certificate for the host.
    pub has_certificate: bool,
    /// Status codes that pass. Empty: what the source answers.
    pub statuses: Vec<u16>,
    /// The way into the source.
    pub source: Entrance,
    /// The way into the target.
    pub target: Entrance,
}

/// Questions that are asked at a time: a namespace with many hosts must not open thousands of connections at once.
pub const AT_A_TIME: usize = 64;

impl ProbePlan {
    /// The same, knowing where the load balancers were that the plan before it asked.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        for target in &mut self.targets {
            let known =
                before.targets.iter().find(|known| known.name == target.name && known.ingress == target.ingress);
            if let Some(known) = known {
                target.source = target.source.clone().after(&known.source);
                target.target = target.target.clone().after(&known.target);
            }
        }
        self
    }

    /// What to probe for this migration as it was last seen.
    pub fn of(
        spec: &NamespaceMigrationSpec,
        pair: &ClusterPairSpec,
        status: &NamespaceMigrationStatus,
        observed: &Observed,
    ) -> Self {
        let span = |text: &crate::api::DurationText| text.span().ok().and_then(|span| Duration::try_from(span).ok());
        let count = |threshold: i32| u32::try_from(threshold).unwrap_or(1).max(1);
        Self {
            interval: span(&spec.probes.interval).unwrap_or(Duration::from_secs(10)).max(Duration::from_millis(100)),
            timeout: span(&spec.probes.timeout).unwrap_or(Duration::from_secs(5)).max(Duration::from_millis(10)),
            thresholds: Thresholds {
                success: count(spec.probes.success_threshold),
                failure: count(spec.probes.failure_threshold),
            },
            roots: pair.probes.trusted_roots.clone(),
            allowed: pair.probes.allowed_addresses.clone(),
            source_ports: Ports::of(&pair.source),
            target_ports: Ports::of(&pair.target),
            targets: targets(&spec.checks, status, observed),
        }
    }

    /// How long a round takes when nobody answers: the names are resolved, then every question has its time.
    pub fn longest_round(&self) -> Duration {
        let batches = u32::try_from(self.targets.len().div_ceil(AT_A_TIME)).unwrap_or(u32::MAX);
        self.timeout.saturating_mul(batches.saturating_add(1))
    }

    /// Ports of one side's load balancer.
    pub fn ports(&self, side: Side) -> Ports {
        match side {
            Side::Source => self.source_ports,
            Side::Target => self.target_ports,
        }
    }
}

impl Ports {
    fn of(side: &WireSide) -> Self {
        let port = |port: i32, usual: u16| u16::try_from(port).unwrap_or(usual);
        Self { http: port(side.load_balancer.http_port, 80), https: port(side.load_balancer.https_port, 443) }
    }
}

fn targets(checks: &[Check], status: &NamespaceMigrationStatus, observed: &Observed) -> Vec<ProbeTarget> {
    let planned = status.plan.iter().flat_map(|plan| &plan.ingresses);
    let hosts = planned.flat_map(|planned| {
        let hosts = hosts(&planned.name, status, observed).into_iter();
        hosts.map(|host| (planned.name.clone(), host))
    });
    hosts.flat_map(|(ingress, host)| of_host(checks, observed, &ingress, &host)).collect()
}

/// The hosts as they are; as they were, while the source does not show them.
fn hosts(ingress: &str, status: &NamespaceMigrationStatus, observed: &Observed) -> BTreeSet<String> {
    if let Some(facts) = observed.source.ingresses.get(ingress) {
        return facts.hosts.clone();
    }
    // Also when the source's is gone: then the target is all that its users have.
    let remembered = status.traffic.iter().filter(|traffic| traffic.ingress == ingress);
    remembered.flat_map(|traffic| traffic.hosts.iter().cloned()).collect()
}

fn of_host(checks: &[Check], observed: &Observed, ingress: &str, host: &str) -> Vec<ProbeTarget> {
    let root = |scheme| target(observed, ingress, host, scheme, "/", format!("{scheme}://{host}/"));
    let asked = checks.iter().filter(|check| check.http.host.is_empty() || check.http.host == host);
    let scheme = if has_certificate(observed, ingress, host) { Scheme::Https } else { Scheme::Http };
    let more = asked.map(|check| ProbeTarget {
        statuses: check.http.statuses.iter().filter_map(|status| u16::try_from(*status).ok()).collect(),
        ..target(observed, ingress, host, scheme, &check.http.path, format!("{} at {host}", check.name))
    });
    [root(Scheme::Http), root(Scheme::Https)].into_iter().chain(more).collect()
}

fn target(observed: &Observed, ingress: &str, host: &str, scheme: Scheme, path: &str, name: String) -> ProbeTarget {
    ProbeTarget {
        name,
        ingress: ingress.to_owned(),
        scheme,
        host: host.to_owned(),
        path: path.to_owned(),
        has_certificate: has_certificate(observed, ingress, host),
        statuses: vec![],
        source: Entrance::of(observed, ingress, Side::Source),
        target: Entrance::of(observed, ingress, Side::Target),
    }
}

fn has_certificate(observed: &Observed, ingress: &str, host: &str) -> bool {
    let wildcard = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
    let covers = |name: &String| name == host || Some(name) == wildcard.as_ref();
    let known = observed.source.ingresses.get(ingress).or_else(|| observed.target.ingresses.get(ingress));
    known.is_some_and(|facts| facts.tls_hosts.iter().any(covers))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::machine::observed::{ClusterView, IngressFacts};

    fn observed() -> Observed {
        let facts = |tls: &[&str]| IngressFacts {
            hosts: ["shop.example".to_owned(), "m.shop.example".to_owned()].into(),
            tls_hosts: tls.iter().map(ToString::to_string).collect(),
            ..IngressFacts::default()
        };
        let view = |facts| ClusterView { ingresses: [("web".to_owned(), facts)].into(), ..ClusterView::default() };
        Observed { source: view(facts(&["shop.example"])), target: view(facts(&[])), ..Observed::default() }
    }

    /// Name, scheme, path and statuses of everything that is asked of a host of the Ingress.
    fn asked(checks: &serde_json::Value, host: &str) -> Vec<(String, Scheme, String, Vec<u16>)> {
        let checks: Vec<Check> = serde_json::from_value(checks.clone()).unwrap();
        let found = of_host(&checks, &observed(), "web", host).into_iter();
        let found = found.inspect(|target| assert_eq!((target.ingress.as_str(), target.host.as_str()), ("web", host)));
        found.map(|target| (target.name, target.scheme, target.path, target.statuses)).collect()
    }

    #[test]
    fn a_check_is_asked_at_every_host_or_at_the_one_that_it_names_besides_the_root_of_each() {
        let checks = json!([
            {"name": "login", "http": {"path": "/login?x=1", "statuses": [200, 302]}},
            {"name": "api", "http": {"path": "/api", "host": "m.shop.example"}},
        ]);
        let root = |host: &str, scheme: Scheme| (format!("{scheme}://{host}/"), scheme, "/".to_owned(), vec![]);
        let login = |host: &str, scheme| (format!("login at {host}"), scheme, "/login?x=1".to_owned(), vec![200, 302]);
        let [one, other] = ["shop.example", "m.shop.example"];
        // With a certificate it is asked by HTTPS, without one by HTTP.
        let expected = vec![root(one, Scheme::Http), root(one, Scheme::Https), login(one, Scheme::Https)];
        assert_eq!(asked(&checks, one), expected);
        let api = ("api at m.shop.example".to_owned(), Scheme::Http, "/api".to_owned(), vec![]);
        let expected = vec![root(other, Scheme::Http), root(other, Scheme::Https), login(other, Scheme::Http), api];
        assert_eq!(asked(&checks, other), expected);
    }

    #[test]
    fn without_checks_the_root_of_each_host_is_asked() {
        let names: Vec<_> = asked(&json!([]), "shop.example").into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, ["http://shop.example/", "https://shop.example/"]);
    }

    #[test]
    fn a_wildcard_certificate_covers_one_label_and_no_more() {
        let facts = IngressFacts { tls_hosts: ["*.shop.example".to_owned()].into(), ..IngressFacts::default() };
        let source = ClusterView { ingresses: [("web".to_owned(), facts)].into(), ..ClusterView::default() };
        let observed = Observed { source, ..Observed::default() };
        let covered = |host| has_certificate(&observed, "web", host);
        assert!(covered("a.shop.example") && !covered("a.b.shop.example") && !covered("shop.example"));
    }
}
