//! A zone's own name servers, asked directly: no cache stands between them and the answer.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use futures::StreamExt as _;
use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, RecordType};
use jiff::SignedDuration;
use tokio::time::Instant;

use super::answers::Answer;
use super::book::Reading;
use super::exchange::Question;
use super::external_dns::plain_name;
use super::resolver::{Resolver, first_answer};
use super::schedule::{Place, Within};
use super::trouble::ReadError;
use crate::machine::records::RecordKind;
use crate::metrics::{DnsAction, DnsOutcome, DnsRequestLabels, Metrics};
use crate::mutex::locked;

/// The name servers of a zone are looked up again after this time.
const SERVERS_LAST: Duration = Duration::from_secs(600);
/// Route 53 gives a zone four name servers; more than this are not asked.
const MOST_SERVERS: usize = 8;
const DNS_PORT: u16 = 53;
/// Time for one lookup by the resolvers.
const LOOKUP: Duration = Duration::from_secs(5);

/// Whom to ask.
pub(super) struct NameServers {
    listed: Result<Vec<SocketAddr>, String>,
    found: Mutex<HashMap<String, (Instant, Vec<SocketAddr>)>>,
    resolver: Resolver,
    metrics: Metrics,
}

impl NameServers {
    /// These, or those of the zone when none are listed. Other names are looked up by the resolver.
    pub(super) fn new(listed: &[String], resolver: Resolver, metrics: Metrics) -> Self {
        let parsed = |text: &String| {
            text.parse()
                .map_err(|_| format!("{text} in spec.dns.authoritative.nameServers is not an address with a port"))
        };
        Self { listed: listed.iter().map(parsed).collect(), found: Mutex::default(), resolver, metrics }
    }

    /// What there is at a place.
    pub(super) async fn read(&self, place: &Place) -> Result<Reading, ReadError> {
        match place.within {
            Within::Resolvers => resolved(&self.resolver, &place.name).await,
            Within::BestZone | Within::Zone(_) => self.sample(&place.name).await,
        }
    }

    /// One answer of each server for each kind. Servers that do not answer are told of, as long as one does.
    async fn sample(&self, host: &str) -> Result<Reading, ReadError> {
        let servers = self.servers(host).await?;
        let questions =
            servers.into_iter().flat_map(|server| [RecordType::A, RecordType::AAAA].map(|kind| (server, kind)));
        let asked = questions.map(|(server, kind)| self.ask(host, server, kind));
        let results: Vec<_> = futures::stream::iter(asked).buffer_unordered(MOST_SERVERS * 2).collect().await;
        let (mut answers, mut failure) = (vec![], None);
        for result in results {
            match result {
                Ok(answer) => answers.extend(answer),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if answers.is_empty() => Err(error),
            failure => Ok(Reading::Answered { answers, trouble: failure.map(|error| error.to_string()) }),
        }
    }

    async fn ask(
        &self,
        host: &str,
        server: SocketAddr,
        kind: RecordType,
    ) -> Result<Option<(String, RecordKind, Answer)>, ReadError> {
        let answer = Question { name: host.to_owned(), kind, recursion: false }.ask(server).await;
        let outcome = answer.as_ref().map_or_else(ReadError::outcome, |_| DnsOutcome::Success);
        self.metrics.dns.requests.get_or_create(&DnsRequestLabels { action: DnsAction::Query, outcome }).inc();
        Ok(understood(&answer?, host, kind).map(|(kind, answer)| (server.to_string(), kind, answer)))
    }

    async fn servers(&self, host: &str) -> Result<Vec<SocketAddr>, ReadError> {
        let failed = |message: String| ReadError::NoNameServers { host: host.to_owned(), message };
        let listed = self.listed.clone().map_err(failed)?;
        if !listed.is_empty() {
            return Ok(listed);
        }
        let known = locked(&self.found).get(host).filter(|(read, _)| read.elapsed() < SERVERS_LAST).cloned();
        if let Some((_, servers)) = known {
            return Ok(servers);
        }
        let servers = found(&self.resolver, host).await.map_err(failed)?;
        locked(&self.found).insert(host.to_owned(), (Instant::now(), servers.clone()));
        Ok(servers)
    }
}

/// The addresses of a load balancer.
async fn resolved(resolver: &Resolver, name: &str) -> Result<Reading, ReadError> {
    let (action, about) = ("the lookup of the load balancer", name.to_owned());
    let addresses = match tokio::time::timeout(LOOKUP, resolver.addresses(name)).await {
        Ok(Ok(addresses)) if addresses.is_empty() => {
            return Err(ReadError::Unreachable { action, about, message: format!("{resolver} know no address") });
        }
        Ok(Ok(addresses)) => addresses.iter().map(ToString::to_string).collect(),
        Ok(Err(error)) => return Err(ReadError::Unreachable { action, about, message: error.to_string() }),
        Err(_) => return Err(ReadError::Timeout { action, about, after: LOOKUP }),
    };
    Ok(Reading::Resolved(addresses))
}

/// What an answer says about the host. A CNAME is told by the answer to the question for A only: it is in both.
fn understood(answer: &Message, host: &str, asked: RecordType) -> Option<(RecordKind, Answer)> {
    let at_host = answer.answers.iter().filter(|record| text(&record.name) == host);
    let mut found = Answer::default();
    let mut kind = if asked == RecordType::A { RecordKind::A } else { RecordKind::Aaaa };
    for record in at_host {
        let leads_to = match &record.data {
            RData::A(address) if asked == RecordType::A => address.to_string(),
            RData::AAAA(address) if asked == RecordType::AAAA => address.to_string(),
            RData::CNAME(_) if asked == RecordType::AAAA => return None,
            RData::CNAME(name) => {
                kind = RecordKind::Cname;
                text(&name.0)
            }
            _ => continue,
        };
        found.leads_to.insert(leads_to);
        found.ttl = found.ttl.max(Some(SignedDuration::from_secs(record.ttl.into())));
    }
    Some((kind, found))
}

fn text(name: &Name) -> String {
    plain_name(&name.to_ascii())
}

/// The name servers of the zone that the host is in.
async fn found(resolver: &Resolver, host: &str) -> Result<Vec<SocketAddr>, String> {
    let names = zone_servers(host, &resolver.servers()?).await?;
    let mut servers = BTreeSet::new();
    for name in names.into_iter().take(MOST_SERVERS) {
        let addresses = tokio::time::timeout(LOOKUP, resolver.addresses(&name)).await;
        let addresses = addresses.map_err(|_| format!("{name} was not resolved within {LOOKUP:?}"))?;
        let addresses = addresses.map_err(|error| format!("{name} has no address: {error}"))?;
        // Not an IPv6 one while there is another, because not every Pod can reach it.
        servers.extend(addresses.first().map(|address| SocketAddr::new(*address, DNS_PORT)));
    }
    if servers.is_empty() { Err("they have no addresses".to_owned()) } else { Ok(servers.into_iter().collect()) }
}

async fn zone_servers(host: &str, resolvers: &[SocketAddr]) -> Result<Vec<String>, String> {
    let mut name = host;
    loop {
        let question = Question { name: name.to_owned(), kind: RecordType::NS, recursion: true };
        let answer = first_answer(&question, resolvers).await.map_err(|error| error.to_string())?;
        let named =
            answer.answers.iter().filter(|record| text(&record.name) == name).filter_map(|record| match &record.data {
                RData::NS(server) => Some(text(&server.0)),
                _ => None,
            });
        let named: Vec<_> = named.collect();
        if !named.is_empty() {
            return Ok(named);
        }
        name = name.split_once('.').map(|(_, parent)| parent).ok_or("no zone that it is in has an NS record")?;
    }
}
