//! From the bytes of a query to the bytes of its answer (RFC 1035, RFC 6891).

use std::time::SystemTime;

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, ResponseCode};

use super::answers::{Answer, Answers, Question};
use super::journal::{Answered, Journal, Outcome};

/// The largest answer that is sent by UDP, whatever the client would take: <https://dnsflagday.net/2020/>.
const MOST_BY_UDP: u16 = 1232;

/// How the query came, and the answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// A datagram; what does not fit is cut off, and the client asks again by TCP.
    Udp,
    /// A connection; everything fits.
    Tcp,
}

/// The answer to a query. None: this is none, and it is left without an answer.
pub(super) fn reply(answers: &Answers, journal: &Journal, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let response = match Message::from_vec(query) {
        Ok(query) if query.metadata.message_type != MessageType::Query => return None,
        Ok(query) => respond(answers, journal, &query, transport),
        Err(_) => {
            let id = query.get(..2)?;
            Message::error_msg(u16::from_be_bytes([id[0], id[1]]), OpCode::Query, ResponseCode::FormErr)
        }
    };
    response.to_vec().inspect_err(|error| tracing::warn!(%error, "a DNS answer cannot be encoded")).ok()
}

fn respond(answers: &Answers, journal: &Journal, query: &Message, transport: Transport) -> Message {
    let error = |code| Message::error_msg(query.metadata.id, query.metadata.op_code, code);
    if query.metadata.op_code != OpCode::Query {
        return error(ResponseCode::NotImp);
    }
    let [asked] = query.queries.as_slice() else {
        return error(ResponseCode::FormErr);
    };
    let recursive = query.metadata.recursion_desired;
    let question = Question { name: asked.name.clone(), record_type: asked.query_type, recursive };
    let answer = answers.answer(&question);
    journal.add(entry(&question, &answer));
    let response = message(query, answer);
    let limit = usize::from(query.max_payload().min(MOST_BY_UDP));
    let is_too_long = |response: &Message| response.to_vec().is_ok_and(|bytes| bytes.len() > limit);
    if transport == Transport::Udp && is_too_long(&response) { response.truncate() } else { response }
}

fn message(query: &Message, answer: Answer) -> Message {
    let mut response = Message::response(query.metadata.id, OpCode::Query);
    response.metadata = Metadata::response_from_request(&query.metadata);
    response.metadata.authoritative = answer.outcome != Outcome::NotOurs;
    response.metadata.response_code = match answer.outcome {
        Outcome::Answered | Outcome::NoData => ResponseCode::NoError,
        Outcome::NoSuchName => ResponseCode::NXDomain,
        Outcome::NotOurs => ResponseCode::Refused,
        Outcome::Failed => ResponseCode::ServFail,
    };
    response.add_queries(query.queries.iter().cloned());
    response.add_answers(answer.records);
    response.add_authorities(answer.soa);
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(MOST_BY_UDP).set_version(0);
        response.set_edns(edns);
    }
    response
}

fn entry(question: &Question, answer: &Answer) -> Answered {
    Answered {
        at: SystemTime::now(),
        name: question.key(),
        kind: question.kind(),
        outcome: answer.outcome,
        addresses: answer.addresses(),
        identifier: answer.identifier.clone(),
    }
}
