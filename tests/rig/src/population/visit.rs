//! One request of one user, and how it ended.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use hickory_proto::op::ResponseCode;

/// The two clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The cluster that the namespace leaves.
    Source,
    /// The cluster that it moves to.
    Target,
}

impl Side {
    /// The one that it is not.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Source => Self::Target,
            Self::Target => Self::Source,
        }
    }

    /// The name of its cluster, as the sample application says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

/// Something of each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BySide<T> {
    /// Of the source.
    pub source: T,
    /// Of the target.
    pub target: T,
}

impl<T> BySide<T> {
    /// That of a side.
    pub fn of(&self, side: Side) -> &T {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// The same, to be changed.
    pub fn of_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Source => &mut self.source,
            Side::Target => &mut self.target,
        }
    }
}

/// Why a user was shown no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// DNS: the name exists, but has no address.
    NoAddress,
    /// DNS: the name does not exist.
    NoSuchName,
    /// DNS: the name server failed or refused.
    DnsFailed(u16),
    /// DNS: no answer.
    DnsTimeout,
    /// DNS gave an address that is neither side's.
    StrangeAddress,
    /// Nobody listens there.
    Refused,
    /// The connection broke before the answer was complete.
    Broken,
    /// The TLS handshake failed: mostly a certificate that is not valid for the host.
    Tls,
    /// No page within the user's patience.
    Timeout,
    /// Another HTTP status than 200.
    Status(u16),
    /// A page, but not that of this host on this cluster.
    WrongPage,
}

impl Cause {
    /// Whether no load balancer was asked, because DNS did not say which.
    pub fn is_of_dns(self) -> bool {
        matches!(
            self,
            Self::NoAddress | Self::NoSuchName | Self::DnsFailed(_) | Self::DnsTimeout | Self::StrangeAddress
        )
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("DNS had no address"),
            Self::NoSuchName => f.write_str("DNS knew no such name"),
            Self::DnsFailed(code) => write!(f, "DNS failed ({})", <ResponseCode as From<u16>>::from(*code)),
            Self::DnsTimeout => f.write_str("DNS did not answer"),
            Self::StrangeAddress => f.write_str("DNS gave an address of neither side"),
            Self::Refused => f.write_str("connection refused"),
            Self::Broken => f.write_str("connection broken"),
            Self::Tls => f.write_str("TLS failed"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Status(status) => write!(f, "HTTP {status}"),
            Self::WrongPage => f.write_str("a page of something else"),
        }
    }
}

/// One request of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// When it began.
    pub at: SystemTime,
    /// How long it took, with what DNS and the handshake took of it.
    pub took: Duration,
    /// Which user, from 0.
    pub client: usize,
    /// The address that was asked; None when DNS gave none.
    pub address: Option<IpAddr>,
    /// Whose address that is.
    pub side: Option<Side>,
    /// Why there was no page; None: there was one.
    pub failure: Option<Cause>,
}

impl Visit {
    /// When it was over.
    pub fn ended(&self) -> SystemTime {
        self.at + self.took
    }
}
