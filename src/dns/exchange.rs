//! One question to one name server: over UDP, and over TCP when the answer does not fit (RFC 1035, RFC 7766).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::trouble::ReadError;

/// Time for one answer. A datagram that is lost is sent once more.
const ANSWER: Duration = Duration::from_secs(2);
const TRIES: usize = 2;
/// The largest answer over UDP that is asked for: without EDNS, RFC 1035 section 4.2.1.
const DATAGRAM: usize = 512;

const ACTION: &str = "the DNS query";

/// A question.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// The name.
    pub(super) name: String,
    /// The kind of record.
    pub(super) kind: RecordType,
    /// Whether the server may ask others. Name servers of a zone are not asked to.
    pub(super) recursion: bool,
}

impl Question {
    /// Asks a server. The answer may say that there is no such name; a server that fails or refuses is an error.
    pub(super) async fn ask(&self, server: SocketAddr) -> Result<Message, ReadError> {
        let question = self.message().map_err(|message| self.unreachable(server, &message))?;
        for _ in 0..TRIES {
            let answer = tokio::time::timeout(ANSWER, over_udp(&question, server)).await;
            let Ok(answer) = answer else { continue };
            let answer = answer.map_err(|error| self.unreachable(server, &error.to_string()))?;
            return if answer.metadata.truncation {
                self.ask_again(&question, server).await
            } else {
                self.checked(answer, server)
            };
        }
        Err(ReadError::Timeout { action: ACTION, about: self.about(server), after: ANSWER * 2 })
    }

    async fn ask_again(&self, question: &Message, server: SocketAddr) -> Result<Message, ReadError> {
        match tokio::time::timeout(ANSWER, over_tcp(question, server)).await {
            Ok(answer) => self.checked(answer.map_err(|error| self.unreachable(server, &error.to_string()))?, server),
            Err(_) => Err(ReadError::Timeout { action: ACTION, about: self.about(server), after: ANSWER }),
        }
    }

    fn message(&self) -> Result<Message, String> {
        let mut name = Name::from_ascii(&self.name).map_err(|error| error.to_string())?;
        name.set_fqdn(true);
        let mut message = Message::query();
        message.metadata.recursion_desired = self.recursion;
        message.add_query(Query::query(name, self.kind));
        Ok(message)
    }

    /// An answer that says something about the name.
    fn checked(&self, answer: Message, server: SocketAddr) -> Result<Message, ReadError> {
        let refused = |code: String, message: &str| ReadError::Refused {
            action: ACTION,
            about: self.about(server),
            code,
            message: message.to_owned(),
        };
        match answer.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain if self.recursion || answer.metadata.authoritative => {
                Ok(answer)
            }
            ResponseCode::NoError | ResponseCode::NXDomain => Err(refused(
                "an answer without authority".to_owned(),
                "it is no name server of the zone; correct spec.dns.authoritative.nameServers of the ClusterPair",
            )),
            code => Err(refused(format!("{code:?}"), "the name server does not answer for this name")),
        }
    }

    fn about(&self, server: SocketAddr) -> String {
        format!("for {} {} at {server}", self.name, self.kind)
    }

    fn unreachable(&self, server: SocketAddr, message: &str) -> ReadError {
        ReadError::Unreachable { action: ACTION, about: self.about(server), message: message.to_owned() }
    }
}

async fn over_udp(question: &Message, server: SocketAddr) -> std::io::Result<Message> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(&encoded(question)?).await?;
    let mut buffer = [0; DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // What does not answer this question, such as a late answer to another, is passed over.
        let answer = Message::from_vec(&buffer[..length]).ok().filter(|answer| answers(question, answer));
        if let Some(answer) = answer {
            return Ok(answer);
        }
    }
}

async fn over_tcp(question: &Message, server: SocketAddr) -> std::io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let question_bytes = encoded(question)?;
    let length = u16::try_from(question_bytes.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), question_bytes.as_slice()].concat()).await?;
    let mut buffer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut buffer).await?;
    let answer = Message::from_vec(&buffer).map_err(std::io::Error::other)?;
    if answers(question, &answer) {
        Ok(answer)
    } else {
        Err(std::io::Error::other("the answer is to another question"))
    }
}

fn encoded(message: &Message) -> std::io::Result<Vec<u8>> {
    message.to_vec().map_err(std::io::Error::other)
}

fn answers(question: &Message, answer: &Message) -> bool {
    answer.metadata.message_type == MessageType::Response
        && answer.metadata.id == question.metadata.id
        && answer.queries == question.queries
}
