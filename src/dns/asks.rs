//! The backends behind one face.

use std::time::Duration;

use tokio::time::Instant;

use super::authoritative::NameServers;
use super::book::Reading;
use super::interest::Backend;
use super::pace::Paces;
use super::resolver::Resolver;
use super::route53::Route53;
use super::schedule::Place;
use super::trouble::ReadError;
use crate::cluster::connection::HomeAccess;
use crate::metrics::DnsBackend;

/// Name servers that are asked about at a time: one that is silent must not delay the others.
const NAMES_AT_A_TIME: usize = 16;

/// Whoever is asked.
pub(super) enum Asks {
    /// The API of Route 53.
    Route53(Box<Route53>),
    /// Name servers.
    NameServers(Box<NameServers>),
}

impl Asks {
    pub(super) fn new(backend: &Backend, home: &HomeAccess, paces: &Paces, resolver: &Resolver) -> Self {
        match backend {
            Backend::Route53(account) => {
                let pace = paces.of(&account.endpoint);
                Self::Route53(Box::new(Route53::new(account.clone(), home.clone(), pace)))
            }
            Backend::NameServers(listed) => {
                Self::NameServers(Box::new(NameServers::new(listed, resolver.clone(), home.metrics.clone())))
            }
        }
    }

    /// How many readings may be in progress.
    pub(super) fn at_a_time(&self) -> usize {
        if self.is_name_servers() { NAMES_AT_A_TIME } else { 1 }
    }

    /// Until when no request may be made. None: one may be made now.
    pub(super) fn busy_until(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::Route53(route53) => Some(route53.ready_at()).filter(|ready| *ready > now),
            Self::NameServers(_) => None,
        }
    }

    /// The time from one request to the next when all goes well.
    pub(super) fn pace(&self) -> Duration {
        match self {
            Self::Route53(route53) => route53.gap(),
            Self::NameServers(_) => Duration::ZERO,
        }
    }

    /// Reads one place. Always ends.
    pub(super) async fn read(&self, place: &Place) -> Result<Reading, ReadError> {
        match self {
            Self::Route53(route53) => route53.read(place).await,
            Self::NameServers(servers) => servers.read(place).await,
        }
    }

    /// The label of metrics.
    pub(super) fn backend(&self) -> DnsBackend {
        if self.is_name_servers() { DnsBackend::NameServers } else { DnsBackend::Route53 }
    }

    fn is_name_servers(&self) -> bool {
        matches!(self, Self::NameServers(_))
    }
}
