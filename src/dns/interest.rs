//! PURE. Who wants to know what: the hosts of a migration, how urgently, and from whom its ClusterPair has it read.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::ResourceExt as _;

use super::external_dns::Affixes;
use super::schedule::{Place, Priority, Wanted};
use crate::api::ClusterPair;
use crate::api::cluster_pair::DnsVerification;

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
    /// Who is asked.
    pub backend: Backend,
    /// The hosted zone, if the pair names one.
    pub zone: Option<String>,
    /// The hosts, in lower case.
    pub hosts: BTreeSet<String>,
    /// How the external-dns of both clusters name their ownership records.
    pub affixes: BTreeSet<Affixes>,
    /// How urgent it is.
    pub priority: Priority,
}

impl Interest {
    /// What a migration of this pair wants to know of these hosts. None when the pair has nothing verified.
    pub fn of(pair: &ClusterPair, hosts: BTreeSet<String>, priority: Priority) -> Option<Self> {
        let (dns, route53) = (&pair.spec.dns, pair.spec.dns.route53.clone().unwrap_or_default());
        let backend = match dns.verification {
            DnsVerification::AnnotationOnly => return None,
            DnsVerification::Route53 => Backend::Route53(Account {
                region: route53.region,
                endpoint: route53.endpoint,
                secret: route53.credentials_secret.map(|secret| secret.name),
            }),
            DnsVerification::AuthoritativeDns => {
                Backend::NameServers(dns.authoritative.clone().unwrap_or_default().name_servers)
            }
        };
        let zone = (!route53.hosted_zone_id.is_empty()).then_some(route53.hosted_zone_id);
        let affixes = [&pair.spec.source, &pair.spec.target].map(|side| Affixes::of(&side.external_dns)).into();
        let hosts = hosts.into_iter().map(|host| host.to_lowercase()).collect();
        Some(Self { pair: pair.name_any(), backend, zone, hosts, affixes, priority })
    }

    /// Where a host is looked up.
    pub fn place(&self, host: &str) -> Place {
        Place { zone: self.zone.clone(), name: host.to_owned() }
    }

    /// How each host is to be asked about. A name server is asked once per interval, and its answers are samples: many are needed.
    pub fn wanted(&self) -> Wanted {
        let seconds = match (&self.backend, self.priority) {
            (Backend::Route53(_), Priority::Rollback) => 3,
            (Backend::Route53(_), Priority::Lowering | Priority::Raising) => 10,
            (Backend::Route53(_), Priority::Monitoring) => 60,
            (Backend::NameServers(_), Priority::Rollback | Priority::Lowering | Priority::Raising) => 1,
            (Backend::NameServers(_), Priority::Monitoring) => 30,
        };
        Wanted { priority: self.priority, interval: Duration::from_secs(seconds) }
    }
}
