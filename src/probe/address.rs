//! Which addresses a probe may connect to.
//!
//! A probe goes where an Ingress' status points, and whoever can write that status could point it at the operator's
//! own surroundings. So an address is checked once, and the probe connects to that very address: [`PinnedAddress`] is
//! the only thing that it takes, and only a policy makes one.
//! Ranges: <https://www.iana.org/assignments/iana-ipv4-special-registry>,
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use thiserror::Error;

use crate::dns::Resolver;
use crate::dns::resolver::ResolveError;

/// Why an address is not probed without being allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restriction {
    /// The operator's own Pod (127.0.0.0/8, `::1`).
    Loopback,
    /// A private network (RFC 1918, RFC 6598, RFC 4193).
    Private,
    /// The link that the node is on (RFC 3927, RFC 4291).
    LinkLocal,
    /// Reserved, for documentation or for benchmarks.
    Reserved,
    /// An IPv6 address that stands for an IPv4 one behind a translator or tunnel (RFC 6052, RFC 3056, RFC 4380).
    Translated,
}

impl fmt::Display for Restriction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::Reserved => "a reserved address",
            Self::Translated => "an IPv6 address that stands for an IPv4 one",
        })
    }
}

/// Why an address is not probed.
#[derive(Debug, Error)]
pub enum AddressError {
    /// It would have to be allowed.
    #[error(
        "{address} is {restriction} and is not probed; if it is the load balancer's, add its range to the ranges that \
         the ClusterPair allows"
    )]
    Restricted {
        /// The address.
        address: IpAddr,
        /// Why.
        restriction: Restriction,
    },
    /// It can never be a load balancer's: a cloud's metadata service, which hands out credentials, or no host at all.
    #[error(
        "{address} is never probed: it is a cloud's metadata service, a multicast group or no address; correct the \
         Ingress' load balancer status"
    )]
    Never {
        /// The address.
        address: IpAddr,
    },
    /// The name has no address.
    #[error("the load balancer's host name {host} cannot be resolved; check that the load balancer exists")]
    Unresolved {
        /// The name.
        host: String,
        /// The resolver's answer.
        #[source]
        source: ResolveError,
    },
    /// The resolver did not answer.
    #[error(
        "the load balancer's host name {host} was not resolved within {after:?}; check the cluster's DNS, or the operator's --resolver"
    )]
    Timeout {
        /// The name.
        host: String,
        /// How long it was given.
        after: Duration,
    },
    /// The resolver answered with nothing.
    #[error("{resolver} know no address of the load balancer's host name {host}; check that the load balancer exists")]
    Empty {
        /// The name.
        host: String,
        /// Who was asked.
        resolver: String,
    },
}

/// An address that a policy let pass. A probe connects to it and resolves nothing again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PinnedAddress(IpAddr);

impl PinnedAddress {
    /// The address.
    pub fn ip(self) -> IpAddr {
        self.0
    }
}

impl fmt::Display for PinnedAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The addresses that may be probed: public ones, and the ranges that an administrator allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    allowed: Vec<IpNet>,
}

impl AddressPolicy {
    /// Public addresses, and also these ranges.
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Checks one address. IPv4 addresses in IPv6 form are judged as the IPv4 addresses that they are.
    pub fn pin(&self, address: IpAddr) -> Result<PinnedAddress, AddressError> {
        let address = address.to_canonical();
        if is_never_probed(address) {
            return Err(AddressError::Never { address });
        }
        match restriction(address) {
            Some(restriction) if !self.allows(address) => Err(AddressError::Restricted { address, restriction }),
            _ => Ok(PinnedAddress(address)),
        }
    }

    /// Resolves a load balancer's host name, or reads its IP address, once, and chooses one address. One that may not be probed
    /// refuses all of them: a name that answers with both is not a load balancer's.
    pub async fn resolve(
        &self,
        resolver: &Resolver,
        host: &str,
        within: Duration,
    ) -> Result<PinnedAddress, AddressError> {
        if let Ok(address) = host.parse() {
            return self.pin(address);
        }
        let found = match tokio::time::timeout(within, resolver.addresses(host)).await {
            Ok(Ok(found)) => found,
            Ok(Err(source)) => return Err(AddressError::Unresolved { host: host.into(), source }),
            Err(_) => return Err(AddressError::Timeout { host: host.into(), after: within }),
        };
        let pinned = found.into_iter().map(|found| self.pin(found)).collect::<Result<Vec<_>, _>>()?;
        let chosen = pinned.into_iter().min();
        chosen.ok_or_else(|| AddressError::Empty { host: host.into(), resolver: resolver.to_string() })
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|range| range.contains(&address))
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

/// `first:second::last/prefix`.
const fn v6(first: u16, second: u16, last: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, last), prefix)
}

const RESTRICTED_V4: [(Ipv4Net, Restriction); 12] = [
    (v4(127, 0, 0, 0, 8), Restriction::Loopback),
    (v4(10, 0, 0, 0, 8), Restriction::Private),
    (v4(172, 16, 0, 0, 12), Restriction::Private),
    (v4(192, 168, 0, 0, 16), Restriction::Private),
    (v4(100, 64, 0, 0, 10), Restriction::Private),
    (v4(169, 254, 0, 0, 16), Restriction::LinkLocal),
    (v4(192, 0, 0, 0, 24), Restriction::Reserved),
    (v4(192, 0, 2, 0, 24), Restriction::Reserved),
    (v4(198, 18, 0, 0, 15), Restriction::Reserved),
    (v4(198, 51, 100, 0, 24), Restriction::Reserved),
    (v4(203, 0, 113, 0, 24), Restriction::Reserved),
    (v4(240, 0, 0, 0, 4), Restriction::Reserved),
];

const RESTRICTED_V6: [(Ipv6Net, Restriction); 9] = [
    (v6(0, 0, 1, 128), Restriction::Loopback),
    (v6(0xfc00, 0, 0, 7), Restriction::Private),
    (v6(0xfe80, 0, 0, 10), Restriction::LinkLocal),
    (v6(0xfec0, 0, 0, 10), Restriction::Private),
    (v6(0x2001, 0xdb8, 0, 32), Restriction::Reserved),
    (v6(0x64, 0xff9b, 0, 32), Restriction::Translated),
    (v6(0x2002, 0, 0, 16), Restriction::Translated),
    (v6(0x2001, 0, 0, 32), Restriction::Translated),
    (v6(0, 0, 0, 96), Restriction::Translated),
];

/// Not hosts at all.
const NOWHERE_V4: [Ipv4Net; 3] = [v4(0, 0, 0, 0, 8), v4(224, 0, 0, 0, 4), v4(255, 255, 255, 255, 32)];
const NOWHERE_V6: [Ipv6Net; 2] = [v6(0, 0, 0, 128), v6(0xff00, 0, 0, 8)];

/// Metadata and credential services: AWS, Google Cloud and Azure; ECS; EKS Pod Identity; Alibaba; Azure's wire server;
/// Oracle.
const METADATA_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];
/// AWS; EKS Pod Identity; Google Cloud.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

fn restriction(address: IpAddr) -> Option<Restriction> {
    let in_v4 =
        |address: Ipv4Addr| RESTRICTED_V4.iter().find(|(range, _)| range.contains(&address)).map(|(_, why)| *why);
    let in_v6 =
        |address: Ipv6Addr| RESTRICTED_V6.iter().find(|(range, _)| range.contains(&address)).map(|(_, why)| *why);
    match address {
        IpAddr::V4(address) => in_v4(address),
        IpAddr::V6(address) => in_v6(address),
    }
}

fn is_never_probed(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            METADATA_V4.contains(&address) || NOWHERE_V4.iter().any(|range| range.contains(&address))
        }
        IpAddr::V6(address) => {
            METADATA_V6.contains(&address)
                || NOWHERE_V6.iter().any(|range| range.contains(&address))
                || inner_v4(address).is_some_and(|inner| METADATA_V4.contains(&inner))
        }
    }
}

/// The IPv4 address inside a translated one: the last 32 bits, but for 6to4, which has it after its prefix.
fn inner_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if restriction(address.into()) != Some(Restriction::Translated) {
        return None;
    }
    let octets = address.octets();
    let inner = if octets.starts_with(&[0x20, 0x02]) { octets.get(2..6) } else { octets.get(12..16) };
    let inner: [u8; 4] = inner?.try_into().ok()?;
    Some(inner.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(policy: &AddressPolicy, address: &str) -> Result<PinnedAddress, AddressError> {
        policy.pin(address.parse().unwrap())
    }

    fn everything() -> AddressPolicy {
        AddressPolicy::new(vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()])
    }

    #[test]
    fn public_addresses_pass() {
        for address in ["3.9.1.1", "172.15.255.255", "172.32.0.1", "100.63.0.1", "2a05:d01c::1", "2001:4860:4860::8888"]
        {
            assert_eq!(pin(&AddressPolicy::default(), address).unwrap().ip(), address.parse::<IpAddr>().unwrap());
        }
    }

    #[test]
    fn surroundings_are_refused_unless_their_range_is_allowed() {
        use Restriction::{LinkLocal, Loopback, Private, Reserved, Translated};
        for (address, expected) in [
            ("127.0.0.1", Loopback),
            ("127.255.1.2", Loopback),
            ("::1", Loopback),
            ("::ffff:127.0.0.1", Loopback),
            ("10.0.0.1", Private),
            ("172.16.0.1", Private),
            ("172.31.255.255", Private),
            ("192.168.1.1", Private),
            ("100.64.0.1", Private),
            ("::ffff:10.0.0.1", Private),
            ("fd12::1", Private),
            ("fec0::1", Private),
            ("169.254.1.1", LinkLocal),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("192.0.2.1", Reserved),
            ("198.19.0.1", Reserved),
            ("240.0.0.1", Reserved),
            ("2001:db8::1", Reserved),
            ("64:ff9b::a00:1", Translated),
            ("2002:a00:1::", Translated),
            ("2001::1", Translated),
            ("::a00:1", Translated),
        ] {
            let refused = pin(&AddressPolicy::default(), address).unwrap_err();
            let found = matches!(&refused, AddressError::Restricted { restriction, .. } if *restriction == expected);
            assert!(found, "{address}: {refused}");
            assert!(pin(&everything(), address).is_ok(), "{address}");
        }
    }

    #[test]
    fn metadata_services_and_what_is_no_host_are_never_allowed() {
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::a9fe:a9fe",
            "169.254.170.2",
            "169.254.170.23",
            "100.100.100.200",
            "168.63.129.16",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "::ffff:0.0.0.0",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
        ] {
            let refused = pin(&everything(), address).unwrap_err();
            assert!(matches!(refused, AddressError::Never { .. }), "{address}: {refused}");
        }
    }

    #[test]
    fn an_allowed_range_opens_itself_alone() {
        let policy = AddressPolicy::new(vec!["10.1.0.0/16".parse().unwrap()]);
        assert!(pin(&policy, "10.1.2.3").is_ok() && pin(&policy, "::ffff:10.1.2.3").is_ok());
        let refused = pin(&policy, "10.2.0.1").unwrap_err().to_string();
        assert!(refused.starts_with("10.2.0.1 is a private address"), "{refused}");
    }

    #[tokio::test]
    async fn names_and_addresses_are_resolved_once_and_judged() {
        let within = Duration::from_secs(5);
        let loopback = AddressPolicy::new(vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        let system = Resolver::default();
        assert_eq!(loopback.resolve(&system, "127.0.0.9", within).await.unwrap().to_string(), "127.0.0.9");
        assert!(loopback.resolve(&system, "localhost", within).await.is_ok());
        let nothing = AddressPolicy::default();
        assert!(matches!(nothing.resolve(&system, "localhost", within).await, Err(AddressError::Restricted { .. })));
        // An address in another notation, and a name that no resolver can have.
        for host in ["2130706433", "0x7f.1", "127.1"] {
            assert!(nothing.resolve(&system, host, within).await.is_err(), "{host}");
        }
        assert!(matches!(nothing.resolve(&system, "a..b.invalid", within).await, Err(AddressError::Unresolved { .. })));
    }
}
