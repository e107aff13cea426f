//! Asks a name server as a user's machine does: by UDP, again when nothing comes, by TCP when the answer is cut.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::memory::{Found, Missing};
use super::visit::Cause;

/// How long one attempt waits.
const WAIT: Duration = Duration::from_secs(1);
/// A busy machine takes its time; a name server that is silent for longer than this is none.
const ATTEMPTS: usize = 5;
const MOST_BYTES: usize = 4096;

/// Which addresses a user's machine asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// IPv4 only.
    #[default]
    V4,
    /// Both; IPv6 is preferred.
    Both,
}

/// Where a host is, or why that is not known.
pub async fn resolve(server: SocketAddr, host: &str, family: Family) -> Result<Found, Missing> {
    match family {
        Family::V4 => ask(server, host, RecordType::A).await,
        Family::Both => {
            let (v4, v6) = tokio::join!(ask(server, host, RecordType::A), ask(server, host, RecordType::AAAA));
            prefer(v6, v4)
        }
    }
}

/// The first answer, unless it only says that there is no such address.
fn prefer(first: Result<Found, Missing>, second: Result<Found, Missing>) -> Result<Found, Missing> {
    match first {
        Err(Missing { cause: Cause::NoAddress, .. }) => second,
        first => first,
    }
}

async fn ask(server: SocketAddr, host: &str, kind: RecordType) -> Result<Found, Missing> {
    let failed = |cause| Missing { cause, ttl: Duration::ZERO };
    let mut query = Message::query();
    query.metadata.recursion_desired = true;
    let name = Name::from_ascii(host).map_err(|_| failed(Cause::NoSuchName))?;
    query.add_query(Query::query(name, kind));
    query.queries.iter_mut().for_each(|query| query.name.set_fqdn(true));
    for _ in 0..ATTEMPTS {
        match tokio::time::timeout(WAIT, exchange(server, &query)).await {
            Ok(Ok(answer)) => return read(&answer, kind),
            Ok(Err(error)) => tracing::debug!(host, "a question to {server}: {error:#}"),
            Err(_) => tracing::debug!(host, %server, "a question without an answer"),
        }
    }
    Err(failed(Cause::DnsTimeout))
}

async fn exchange(server: SocketAddr, query: &Message) -> Result<Message> {
    let bytes = query.to_vec().context("encoding a question")?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.context("opening a socket")?;
    socket.connect(server).await.context("connecting a socket")?;
    socket.send(&bytes).await.context("sending a question")?;
    let mut buffer = vec![0; MOST_BYTES];
    let length = socket.recv(&mut buffer).await.context("waiting for an answer")?;
    let answer = verified(query, &buffer[..length])?;
    if answer.metadata.truncation { exchange_by_tcp(server, query, &bytes).await } else { Ok(answer) }
}

async fn exchange_by_tcp(server: SocketAddr, query: &Message, bytes: &[u8]) -> Result<Message> {
    let mut stream = TcpStream::connect(server).await.context("connecting")?;
    stream.write_u16(u16::try_from(bytes.len()).context("the length of a question")?).await?;
    stream.write_all(bytes).await.context("sending a question")?;
    let mut answer = vec![0; usize::from(stream.read_u16().await.context("waiting for an answer")?)];
    stream.read_exact(&mut answer).await.context("reading an answer")?;
    verified(query, &answer)
}

fn verified(query: &Message, answer: &[u8]) -> Result<Message> {
    let answer = Message::from_vec(answer).context("reading an answer")?;
    let is_answer = answer.metadata.message_type == MessageType::Response
        && answer.metadata.id == query.metadata.id
        && answer.queries == query.queries;
    ensure!(is_answer, "an answer to another question");
    Ok(answer)
}

fn read(answer: &Message, kind: RecordType) -> Result<Found, Missing> {
    let negative = |cause| Missing { cause, ttl: shortest(&answer.authorities) };
    match answer.metadata.response_code {
        ResponseCode::NoError => {}
        ResponseCode::NXDomain => return Err(negative(Cause::NoSuchName)),
        code => return Err(Missing { cause: Cause::DnsFailed(code.into()), ttl: Duration::ZERO }),
    }
    let of_kind = answer.answers.iter().filter(|record| record.record_type() == kind);
    let addresses: Vec<IpAddr> = of_kind.filter_map(|record| record.data.ip_addr()).collect();
    if addresses.is_empty() {
        return Err(negative(Cause::NoAddress));
    }
    Ok(Found { addresses, ttl: shortest(&answer.answers) })
}

/// A chain of records may be remembered as long as its shortest part.
fn shortest(records: &[Record]) -> Duration {
    Duration::from_secs(records.iter().map(|record| record.ttl).min().unwrap_or_default().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_is_preferred_unless_there_is_none() {
        let found = |address: &str| Ok(Found { addresses: vec![address.parse().unwrap()], ttl: Duration::ZERO });
        let missing = |cause| Err(Missing { cause, ttl: Duration::ZERO });
        assert_eq!(prefer(found("::1"), found("127.0.1.1")), found("::1"));
        assert_eq!(prefer(missing(Cause::NoAddress), found("127.0.1.1")), found("127.0.1.1"));
        assert_eq!(prefer(missing(Cause::NoSuchName), found("127.0.1.1")), missing(Cause::NoSuchName));
        assert_eq!(prefer(found("::1"), missing(Cause::NoAddress)), found("::1"));
    }
}
