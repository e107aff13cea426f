//! Route 53's name servers: they answer from hosted zones by UDP and TCP, as
//! <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy.html> says, and keep a journal of every answer.
//!
//! For a user that asks for recursion they also do what a resolver on the way would: a CNAME to a load balancer's name is
//! followed. Nothing is remembered here; remembering is up to the users.

mod answers;
mod choice;
mod journal;
mod surroundings;
mod wire;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

pub use journal::{Answered, Journal, Outcome};
pub use surroundings::Surroundings;

use self::answers::Answers;
use self::wire::{Transport, reply};
use crate::http_server::Server;
use crate::route53::record::ServedZone;

/// What an answer about a load balancer may be remembered for, in seconds:
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-choosing-alias-non-alias.html>.
pub const BALANCER_TTL: u32 = 60;

const MOST_BYTES: usize = 4096;
/// A port that is free for TCP may be taken for UDP.
const ATTEMPTS: usize = 20;
/// A client that says nothing on its connection for so long is gone.
const IDLE: Duration = Duration::from_secs(10);

/// Where and how it answers.
#[derive(Clone, Debug)]
pub struct Options {
    /// An address in 127.0.0.0/8.
    pub address: IpAddr,
    /// The port for UDP and TCP; 0 takes one that is free for both.
    pub port: u16,
    /// The same seed and the same questions in the same order give the same answers.
    pub seed: u64,
    /// TTL of answers about load balancers, in seconds.
    pub alias_ttl: u32,
    /// Load balancers by name, and what is healthy.
    pub surroundings: Surroundings,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            seed: 1,
            alias_ttl: BALANCER_TTL,
            surroundings: Surroundings::default(),
        }
    }
}

/// A running name server. Dropping it closes its ports.
pub struct DnsServer {
    address: SocketAddr,
    answers: Arc<Answers>,
    journal: Journal,
    _tcp: Server,
    _udp: JoinSet<Infallible>,
}

impl DnsServer {
    /// Listens. It is asked in vain until it is told what to [`Self::serve`].
    pub async fn start(options: Options) -> Result<Self> {
        let (listener, socket) = bind(SocketAddr::new(options.address, options.port)).await?;
        let address = listener.local_addr().context("the address of a name server")?;
        let answers = Arc::new(Answers::new(options.surroundings, options.seed, options.alias_ttl));
        let journal = Journal::default();
        let of_connections = (Arc::clone(&answers), journal.clone());
        let tcp = Server::start_connections(listener, move |stream| {
            let (answers, journal) = of_connections.clone();
            async move {
                if let Err(error) = serve_connection(stream, &answers, &journal).await {
                    tracing::debug!("a DNS connection ended: {error:#}");
                }
            }
        })?;
        let mut udp = JoinSet::new();
        udp.spawn(serve_datagrams(socket, Arc::clone(&answers), journal.clone()));
        Ok(Self { address, answers, journal, _tcp: tcp, _udp: udp })
    }

    /// Where it answers, by UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this zone is answered too. Of zones that hold a name, the one with the longest name answers.
    pub fn serve(&self, zone: Arc<dyn ServedZone>) {
        self.answers.serve(zone);
    }

    /// The TTL of answers about load balancers from now on, in seconds.
    pub fn set_alias_ttl(&self, seconds: u32) {
        self.answers.set_alias_ttl(seconds);
    }

    /// Load balancers by name, and what is healthy.
    pub fn surroundings(&self) -> &Surroundings {
        self.answers.surroundings()
    }

    /// Every answer that was given.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }
}

/// One port for both.
async fn bind(wanted: SocketAddr) -> Result<(TcpListener, UdpSocket)> {
    for _ in 0..ATTEMPTS {
        let listener = TcpListener::bind(wanted).await.with_context(|| format!("name server: listen on {wanted}"))?;
        let address = listener.local_addr().context("the address of a name server")?;
        match UdpSocket::bind(address).await {
            Ok(socket) => return Ok((listener, socket)),
            Err(error) if wanted.port() != 0 => {
                return Err(error).with_context(|| format!("name server: receive on {address}"));
            }
            Err(error) => tracing::debug!(%address, %error, "name server: free for TCP only"),
        }
    }
    bail!("name server: no port of {} is free for UDP and TCP, after {ATTEMPTS} attempts", wanted.ip())
}

async fn serve_datagrams(socket: UdpSocket, answers: Arc<Answers>, journal: Journal) -> Infallible {
    let mut buffer = vec![0; MOST_BYTES];
    loop {
        // An error is about an earlier answer that found nobody.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        let Some(answer) = reply(&answers, &journal, &buffer[..length], Transport::Udp) else { continue };
        if let Err(error) = socket.send_to(&answer, client).await {
            tracing::debug!(%client, %error, "a DNS answer was not sent");
        }
    }
}

/// Answers one query after the other, each behind its length (RFC 1035 section 4.2.2).
async fn serve_connection(mut stream: TcpStream, answers: &Answers, journal: &Journal) -> Result<()> {
    loop {
        let length = match tokio::time::timeout(IDLE, stream.read_u16()).await {
            Ok(Ok(length)) => length,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            Ok(Err(error)) => return Err(error).context("reading the length of a query"),
            Err(_) => return Ok(()),
        };
        let mut query = vec![0; usize::from(length)];
        stream.read_exact(&mut query).await.context("reading a query")?;
        let Some(answer) = reply(answers, journal, &query, Transport::Tcp) else { return Ok(()) };
        stream.write_u16(u16::try_from(answer.len()).context("the length of an answer")?).await?;
        stream.write_all(&answer).await.context("sending an answer")?;
    }
}

#[cfg(test)]
mod tests;
