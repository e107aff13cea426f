//! Record sets as data, and what a DNS server needs of a hosted zone.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use anyhow::bail;

/// The type of a record set, as Route 53 supports it:
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/ResourceRecordTypes.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// Which authorities may issue certificates.
    Caa,
    /// Another name.
    Cname,
    /// A delegation's key.
    Ds,
    /// How to connect by HTTPS.
    Https,
    /// Mail servers.
    Mx,
    /// Rewriting rules.
    Naptr,
    /// Name servers.
    Ns,
    /// The name of an address.
    Ptr,
    /// The start of a zone.
    Soa,
    /// Mail senders, before TXT was used for them.
    Spf,
    /// Hosts and ports of a service.
    Srv,
    /// Fingerprints of SSH keys.
    Sshfp,
    /// How to connect to a service.
    Svcb,
    /// Certificates of a TLS server.
    Tlsa,
    /// Text.
    Txt,
}

impl Kind {
    /// Every type, in the order of their names.
    pub const ALL: [Self; 17] = [
        Self::A,
        Self::Aaaa,
        Self::Caa,
        Self::Cname,
        Self::Ds,
        Self::Https,
        Self::Mx,
        Self::Naptr,
        Self::Ns,
        Self::Ptr,
        Self::Soa,
        Self::Spf,
        Self::Srv,
        Self::Sshfp,
        Self::Svcb,
        Self::Tlsa,
        Self::Txt,
    ];

    /// The name in the API and in zone files.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Caa => "CAA",
            Self::Cname => "CNAME",
            Self::Ds => "DS",
            Self::Https => "HTTPS",
            Self::Mx => "MX",
            Self::Naptr => "NAPTR",
            Self::Ns => "NS",
            Self::Ptr => "PTR",
            Self::Soa => "SOA",
            Self::Spf => "SPF",
            Self::Srv => "SRV",
            Self::Sshfp => "SSHFP",
            Self::Svcb => "SVCB",
            Self::Tlsa => "TLSA",
            Self::Txt => "TXT",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Self::ALL.into_iter().find(|kind| kind.name() == text) {
            Some(kind) => Ok(kind),
            None => bail!("{text:?} is no type of record: expected one of {:?}", Self::ALL.map(Self::name)),
        }
    }
}

/// How Route 53 chooses among record sets of one name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routing {
    /// There is only this one.
    Simple,
    /// In proportion to the weight, 0-255.
    Weighted(u8),
    /// By something that a migration cannot use.
    Other(Policy),
}

impl Routing {
    /// The weight, where there is one.
    pub fn weight(&self) -> Option<u8> {
        match self {
            Self::Weighted(weight) => Some(*weight),
            Self::Simple | Self::Other(_) => None,
        }
    }
}

/// A routing policy that is neither simple nor weighted, with what the API calls its parameters:
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy.html>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// By latency; the AWS region.
    Latency(String),
    /// Active and passive; `PRIMARY` or `SECONDARY`.
    Failover(String),
    /// By the user's place; `ContinentCode`, `CountryCode`, `SubdivisionCode`.
    Geolocation(BTreeMap<String, String>),
    /// By distance; `AWSRegion`, `LocalZoneGroup`, `Bias`.
    Geoproximity(BTreeMap<String, String>),
    /// Up to eight healthy ones.
    Multivalue,
    /// By the resolver's address; `CollectionId`, `LocationName`.
    Cidr(BTreeMap<String, String>),
}

/// What a record set answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// These values, as in a zone file: addresses, a name, quoted text.
    Values(Vec<String>),
    /// What another name answers at this moment.
    Alias {
        /// The hosted zone of that name; a load balancer's is its region's.
        zone_id: String,
        /// The other name, in lower case with a final dot.
        dns_name: String,
        /// Whether it is left out while what it points to is unhealthy.
        evaluate_target_health: bool,
    },
}

/// One record set: what Route 53 stores under a name, a type and an identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSet {
    /// In lower case, with a final dot; a wildcard's star is `\052`, as the API prints it.
    pub name: String,
    /// The type.
    pub kind: Kind,
    /// Tells sets of one name and type apart; a simple one has none.
    pub identifier: Option<String>,
    /// How it is chosen.
    pub routing: Routing,
    /// How long an answer may be remembered, in seconds; an alias has none of its own.
    pub ttl: Option<u32>,
    /// What it answers.
    pub target: Target,
    /// The health check that it depends on, besides its target's health.
    pub health_check: Option<String>,
}

impl RecordSet {
    /// A simple record with values.
    pub fn simple<V: Into<String>>(name: &str, kind: Kind, ttl: u32, values: impl IntoIterator<Item = V>) -> Self {
        Self {
            name: absolute(name),
            kind,
            identifier: None,
            routing: Routing::Simple,
            ttl: Some(ttl),
            target: Target::Values(values.into_iter().map(Into::into).collect()),
            health_check: None,
        }
    }

    /// A simple alias whose target's health counts, as external-dns makes them.
    pub fn alias(name: &str, kind: Kind, zone_id: &str, dns_name: &str) -> Self {
        let target =
            Target::Alias { zone_id: zone_id.to_owned(), dns_name: absolute(dns_name), evaluate_target_health: true };
        Self { ttl: None, target, ..Self::simple(name, kind, 0, Vec::<String>::new()) }
    }

    /// The same record with an identifier and a weight.
    #[must_use]
    pub fn weighted(mut self, identifier: &str, weight: u8) -> Self {
        self.identifier = Some(identifier.to_owned());
        self.routing = Routing::Weighted(weight);
        self
    }

    /// What tells record sets of a zone apart.
    pub fn key(&self) -> Key {
        Key { name: self.name.clone(), kind: self.kind, identifier: self.identifier.clone() }
    }
}

/// What tells record sets of a zone apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The name, in lower case with a final dot.
    pub name: String,
    /// The type.
    pub kind: Kind,
    /// The identifier of a set that is not simple.
    pub identifier: Option<String>,
}

/// The name as zones hold it: in lower case, with a final dot, a star as `\052`.
pub fn absolute(name: &str) -> String {
    let name = name.trim_end_matches('.').to_ascii_lowercase().replace('*', "\\052");
    format!("{name}.")
}

/// A hosted zone as its name servers see it.
pub trait ServedZone: Send + Sync {
    /// The zone's name, in lower case with a final dot.
    fn origin(&self) -> String;

    /// Every record set that is served (INSYNC) at exactly this name, in no order.
    fn served_at(&self, name: &str) -> Vec<RecordSet>;

    /// Whether something is served at this name or below it: a name of which this is not true does not exist (NXDOMAIN).
    fn exists(&self, name: &str) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_in_one_way() {
        assert_eq!(absolute("Shop.Example.COM"), "shop.example.com.");
        assert_eq!(absolute("*.example.com."), "\\052.example.com.");
    }

    #[test]
    fn every_type_is_read_from_its_name() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse::<Kind>().unwrap(), kind);
        }
        assert!("ANY".parse::<Kind>().unwrap_err().to_string().contains("expected one of"));
    }
}
