use std::net::SocketAddr;

use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::*;
use crate::route53::record::{Kind, RecordSet, absolute};

/// A zone with one name of many addresses, and one of a single address.
struct Zone;

impl ServedZone for Zone {
    fn origin(&self) -> String {
        "example.com.".to_owned()
    }

    fn served_at(&self, name: &str) -> Vec<RecordSet> {
        let many = (1..=40).map(|last| format!("127.0.2.{last}"));
        match name {
            "many.example.com." => vec![RecordSet::simple(name, Kind::A, 60, many)],
            "shop.example.com." => vec![RecordSet::simple(name, Kind::A, 60, ["127.0.1.1"]).weighted("blue", 100)],
            _ => vec![],
        }
    }

    fn exists(&self, name: &str) -> bool {
        name == self.origin() || !self.served_at(name).is_empty()
    }
}

async fn server() -> DnsServer {
    let server = DnsServer::start(Options::default()).await.unwrap();
    server.serve(Arc::new(Zone));
    server
}

fn query(name: &str) -> Message {
    let mut query = Message::query();
    query.add_query(Query::query(Name::from_ascii(absolute(name)).unwrap(), RecordType::A));
    query
}

async fn by_udp(server: SocketAddr, query: &[u8]) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(query, server).await.unwrap();
    let mut buffer = [0; MOST_BYTES];
    let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
    assert_eq!(from, server);
    Message::from_vec(&buffer[..length]).unwrap()
}

async fn by_tcp(stream: &mut TcpStream, query: &Message) -> Message {
    let query = query.to_vec().unwrap();
    stream.write_u16(u16::try_from(query.len()).unwrap()).await.unwrap();
    stream.write_all(&query).await.unwrap();
    let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut answer).await.unwrap();
    Message::from_vec(&answer).unwrap()
}

#[tokio::test]
async fn it_answers_by_udp_with_authority_and_repeats_the_question() {
    let server = server().await;
    let query = query("shop.example.com");
    let answer = by_udp(server.address(), &query.to_vec().unwrap()).await;
    assert_eq!((answer.metadata.id, answer.metadata.authoritative), (query.metadata.id, true));
    assert_eq!(answer.queries, query.queries);
    assert_eq!(answer.answers[0].data.ip_addr(), Some("127.0.1.1".parse().unwrap()));
}

/// RFC 1035 section 4.2.1: messages by UDP are cut at 512 bytes; RFC 7766: the client asks again by TCP.
#[tokio::test]
async fn an_answer_that_does_not_fit_is_cut_and_complete_by_tcp() {
    let server = server().await;
    let cut = by_udp(server.address(), &query("many.example.com").to_vec().unwrap()).await;
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    for _ in 0..2 {
        let answer = by_tcp(&mut stream, &query("many.example.com")).await;
        assert_eq!((answer.metadata.truncation, answer.answers.len()), (false, 40));
    }
}

/// RFC 6891 section 6.2.3: a client says how much it can take.
#[tokio::test]
async fn a_client_that_takes_more_gets_more_by_udp() {
    let server = server().await;
    let mut query = query("many.example.com");
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    query.set_edns(edns);
    let answer = by_udp(server.address(), &query.to_vec().unwrap()).await;
    assert_eq!((answer.metadata.truncation, answer.answers.len(), answer.edns.is_some()), (false, 40, true));
}

#[tokio::test]
async fn negative_answers_have_their_codes_on_the_wire() {
    let server = server().await;
    let code = async |name: &str| {
        let answer = by_udp(server.address(), &query(name).to_vec().unwrap()).await;
        (answer.metadata.response_code, answer.authorities.len())
    };
    assert_eq!(code("nothing.example.com").await, (ResponseCode::NXDomain, 1));
    assert_eq!(code("example.com").await, (ResponseCode::NoError, 1));
    assert_eq!(code("example.net").await, (ResponseCode::Refused, 0));
}

#[tokio::test]
async fn what_is_no_question_is_refused() {
    let server = server().await;
    let mut update = query("shop.example.com");
    update.metadata.op_code = OpCode::Update;
    let answer = by_udp(server.address(), &update.to_vec().unwrap()).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NotImp);
    let answer = by_udp(server.address(), &[7, 7, 1]).await;
    assert_eq!((answer.metadata.id, answer.metadata.response_code), (0x0707, ResponseCode::FormErr));
}

#[tokio::test]
async fn the_journal_holds_every_answer_with_what_was_chosen() {
    let server = server().await;
    by_udp(server.address(), &query("shop.example.com").to_vec().unwrap()).await;
    let mark = server.journal().mark();
    by_udp(server.address(), &query("nothing.example.com").to_vec().unwrap()).await;
    let answers = server.journal().answers();
    assert_eq!(answers[0].addresses, ["127.0.1.1".parse::<IpAddr>().unwrap()]);
    assert_eq!((answers[0].outcome, answers[0].identifier.as_deref()), (Outcome::Answered, Some("blue")));
    assert_eq!(server.journal().since(mark)[0].outcome, Outcome::NoSuchName);
    assert_eq!(server.journal().counts("shop.example.com")[&(Some(Kind::A), Outcome::Answered)], 1);
}
