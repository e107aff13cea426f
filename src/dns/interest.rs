//! PURE. Who wants to know what: the hosts of a migration, how urgently, and from whom its ClusterPair has it read.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use kube::ResourceExt as _;

use super::external_dns::Affixes;
use super::schedule::{Place, Wanted, Within};
use crate::api::cluster_pair::{Dns, DnsVerification, Route53};
use crate::api::{ClusterPair, NamespaceMigrationStatus};
use crate::machine::Observed;
use crate::machine::observed::IngressFacts;
use crate::machine::urgency::Urgency;

/// The shortest time between two readings of one name.
const SHORTEST: Duration = Duration::from_millis(200);

/// Who is asked. Equal ones share one reader with one pace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// Route 53, with these credentials.
    Route53(Account),
    /// These name servers, as `address:port`; those of the zone when there are none.
    NameServers(Vec<String>),
}

/// How an AWS account is reached. Empty text is the default of the AWS SDK.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Account {
    /// The region by which requests are signed.
    pub region: String,
    /// Another address of the API.
    pub endpoint: String,
    /// The Secret with the credentials, in the operator's namespace.
    pub secret: Option<String>,
}

/// What one migration wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    /// Its ClusterPair.
    pub pair: String,
    /// How long a change takes to be served everywhere: what is quick must be looked at often.
    pub propagation: Duration,
    /// Who is asked.
    pub backend: Backend,
    /// The hosted zone, if the pair names one.
    pub zone: Option<String>,
    /// The hosts.
    pub hosts: BTreeSet<String>,
    /// Names of load balancers, whose addresses are to be known. Empty where the provider lists the names themselves.
    pub balancers: BTreeSet<String>,
    /// How the external-dns of both clusters name their ownership records.
    pub affixes: BTreeSet<Affixes>,
    /// Where the external-dns of source and target tell of themselves, if the pair says so.
    pub metrics_urls: [Option<String>; 2],
    /// How urgent it is.
    pub urgency: Urgency,
}

impl Interest {
    /// What a migration wants to know of the hosts of its plan. None when its pair has nothing verified, or there are no hosts yet.
    pub fn of(
        pair: &ClusterPair,
        status: &NamespaceMigrationStatus,
        observed: &Observed,
        urgency: Urgency,
    ) -> Option<Self> {
        let spec = &pair.spec;
        let backend = Backend::of(&spec.dns)?;
        let hosts = hosts(status, observed);
        if hosts.is_empty() {
            return None;
        }
        let balancers = match &backend {
            Backend::Route53(_) => BTreeSet::new(),
            Backend::NameServers(_) => balancers(status, observed),
        };
        let zone = spec.dns.route53.as_ref().map(|route53| route53.hosted_zone_id.clone());
        let zone = zone.filter(|zone| !zone.is_empty());
        let told = [(&spec.source, &observed.dns.source), (&spec.target, &observed.dns.target)];
        let affixes = told.map(|(side, view)| Affixes::of(&side.external_dns, view)).into();
        let propagation = spec.dns.propagation.span().map_or(Duration::ZERO, jiff::SignedDuration::unsigned_abs);
        let metrics_urls = [&spec.source, &spec.target].map(|side| side.external_dns.metrics_url.clone());
        let metrics_urls = metrics_urls.map(|url| Some(url).filter(|url| !url.is_empty()));
        let pair = pair.name_any();
        Some(Self { pair, propagation, backend, zone, hosts, balancers, affixes, metrics_urls, urgency })
    }

    /// Where its hosts are looked up.
    pub fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.hosts.iter().map(|host| self.place(host))
    }

    /// Where a name beside its hosts is looked up.
    pub fn place(&self, name: &str) -> Place {
        let within = self.zone.clone().map_or(Within::BestZone, Within::Zone);
        Place { within, name: name.to_owned() }
    }

    /// Where the addresses of a load balancer are looked up.
    pub fn balancer(name: &str) -> Place {
        Place { within: Within::Resolvers, name: name.to_owned() }
    }

    /// Whether this place is that of one of its hosts.
    pub fn has_host_at(&self, place: &Place) -> bool {
        self.hosts.contains(&place.name) && self.place(&place.name) == *place
    }

    /// How each host is to be asked about. A name server is asked once per interval, and its answers are samples: many are needed.
    pub fn wanted(&self) -> Wanted {
        let interval = match (&self.backend, self.urgency) {
            // What takes a minute to be served is seen soon enough within ten seconds, a rollback within three.
            (Backend::Route53(_), Urgency::Rollback) => (self.propagation / 20).min(Duration::from_secs(3)),
            (Backend::Route53(_), Urgency::Lowering | Urgency::Raising) => {
                (self.propagation / 6).min(Duration::from_secs(10))
            }
            (Backend::Route53(_), Urgency::Monitoring) => Duration::from_secs(60),
            (Backend::NameServers(_), Urgency::Rollback | Urgency::Lowering | Urgency::Raising) => {
                Duration::from_secs(1)
            }
            (Backend::NameServers(_), Urgency::Monitoring) => Duration::from_secs(30),
        };
        Wanted { urgency: self.urgency, interval: interval.max(SHORTEST) }
    }
}

impl Backend {
    /// Whom a pair has asked. None when nobody is.
    pub fn of(dns: &Dns) -> Option<Self> {
        match dns.verification {
            DnsVerification::AnnotationOnly => None,
            DnsVerification::Route53 => {
                let Route53 { region, endpoint, credentials_secret, .. } = dns.route53.clone().unwrap_or_default();
                let secret = credentials_secret.map(|secret| secret.name);
                Some(Self::Route53(Account { region, endpoint, secret }))
            }
            DnsVerification::AuthoritativeDns => {
                Some(Self::NameServers(dns.authoritative.clone().unwrap_or_default().name_servers))
            }
        }
    }
}

/// The hosts of the plan on both sides; as they were, while they cannot be seen.
fn hosts(status: &NamespaceMigrationStatus, observed: &Observed) -> BTreeSet<String> {
    let seen = planned(status, observed).flat_map(|facts| facts.hosts.iter().cloned());
    let remembered = status.traffic.iter().flat_map(|traffic| traffic.hosts.iter().cloned());
    seen.chain(remembered).collect()
}

fn balancers(status: &NamespaceMigrationStatus, observed: &Observed) -> BTreeSet<String> {
    let addresses = planned(status, observed).flat_map(|facts| facts.addresses.iter());
    addresses.filter(|address| address.parse::<IpAddr>().is_err()).cloned().collect()
}

fn planned<'a>(
    status: &'a NamespaceMigrationStatus,
    observed: &'a Observed,
) -> impl Iterator<Item = &'a IngressFacts> + 'a {
    let names = status.plan.iter().flat_map(|plan| &plan.ingresses).map(|planned| &planned.name);
    names.flat_map(|name| [&observed.source, &observed.target].map(|view| view.ingresses.get(name))).flatten()
}
