//! Who is asked for the addresses of a name that is not of the migration's own zone, such as a load balancer's: the machine's
//! resolvers, or those of `--resolver`.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::{fmt, io};

use futures::FutureExt as _;
use futures::future::select_ok;
use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, RecordType};

use super::exchange::Question;
use super::external_dns::plain_name;
use super::trouble::ReadError;

/// Where the system's resolvers are named.
const RESOLVERS: &str = "/etc/resolv.conf";
const DNS_PORT: u16 = 53;
/// Names that an answer may lead to one after the other; more are a circle.
const MOST_NAMES: usize = 8;

/// Who is asked. Clones are cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Empty: the machine's own, in every way that it is set up (hosts file, search list, DNS).
    servers: Arc<[SocketAddr]>,
}

/// Why a name has no addresses.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// What the machine's resolvers say.
    #[error("the system's resolvers say: {0}")]
    System(#[from] io::Error),
    /// None of the servers has answered; this is what became of the last.
    #[error(transparent)]
    Unanswered(#[from] ReadError),
    /// Each name leads to another one.
    #[error("{name} leads from name to name, over more than {MOST_NAMES}")]
    Circle {
        /// The first name.
        name: String,
    },
}

impl Resolver {
    /// These servers and nobody else; the machine's own resolvers when there are none.
    pub fn new(servers: &[SocketAddr]) -> Self {
        Self { servers: servers.into() }
    }

    /// The addresses of a name, IPv4 ones first; none when servers say that there are none. How long that may take is up to
    /// the caller.
    pub async fn addresses(&self, name: &str) -> Result<BTreeSet<IpAddr>, ResolveError> {
        match &*self.servers {
            [] => Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect()),
            servers => asked(name, servers).await,
        }
    }

    /// Who answers what the system's own interface has no words for, such as the name servers of a zone. At least one.
    pub(super) fn servers(&self) -> Result<Arc<[SocketAddr]>, String> {
        if self.servers.is_empty() { of_the_system() } else { Ok(Arc::clone(&self.servers)) }
    }
}

impl fmt::Display for Resolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.servers {
            [] => formatter.write_str("the system's resolvers"),
            servers => {
                let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
                formatter.write_str(&servers.join(" and "))
            }
        }
    }
}

fn of_the_system() -> Result<Arc<[SocketAddr]>, String> {
    let text = std::fs::read_to_string(RESOLVERS).map_err(|error| format!("{RESOLVERS} cannot be read: {error}"))?;
    let named = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let addresses = named.filter_map(|address| address.trim().parse().ok());
    let servers: Arc<[_]> = addresses.map(|address| SocketAddr::new(address, DNS_PORT)).collect();
    if servers.is_empty() { Err(format!("{RESOLVERS} names no resolver")) } else { Ok(servers) }
}

/// The addresses of both kinds. One kind that is not answered does not take the other away.
async fn asked(name: &str, servers: &[SocketAddr]) -> Result<BTreeSet<IpAddr>, ResolveError> {
    let (v4, v6) = futures::join!(of_kind(name, RecordType::A, servers), of_kind(name, RecordType::AAAA, servers));
    match (v4, v6) {
        (Ok(v4), Ok(v6)) => Ok(v4.into_iter().chain(v6).collect()),
        (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.is_empty() => Ok(found),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

/// Follows the names that a name leads to, also those that the servers leave to us.
async fn of_kind(name: &str, kind: RecordType, servers: &[SocketAddr]) -> Result<BTreeSet<IpAddr>, ResolveError> {
    let mut current = plain_name(name);
    for _ in 0..MOST_NAMES {
        let question = Question { name: current.clone(), kind, recursion: true };
        let answer = first_answer(&question, servers).await?;
        let (last, addresses) = end_of_chain(&answer, &current, kind);
        if !addresses.is_empty() || last == current {
            return Ok(addresses);
        }
        current = last;
    }
    Err(ResolveError::Circle { name: name.to_owned() })
}

/// The last name that an answer leads to, and its addresses as far as the answer has them.
fn end_of_chain(answer: &Message, name: &str, kind: RecordType) -> (String, BTreeSet<IpAddr>) {
    let mut current = name.to_owned();
    for _ in 0..MOST_NAMES {
        let leads_to = answer.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(next) if text(&record.name) == current => Some(text(&next.0)),
            _ => None,
        });
        let Some(next) = leads_to else { break };
        current = next;
    }
    let at_end = answer.answers.iter().filter(|record| record.record_type() == kind && text(&record.name) == current);
    let addresses = at_end.filter_map(|record| record.data.ip_addr()).collect();
    (current, addresses)
}

/// The first answer of any of the servers, of which there is at least one; when all fail, the last failure.
pub(super) async fn first_answer(question: &Question, servers: &[SocketAddr]) -> Result<Message, ReadError> {
    let (answer, _) = select_ok(servers.iter().map(|server| question.ask(*server).boxed())).await?;
    Ok(answer)
}

fn text(name: &Name) -> String {
    plain_name(&name.to_ascii())
}
