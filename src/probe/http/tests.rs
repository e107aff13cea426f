use std::sync::Mutex;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::probe::address::AddressPolicy;

const HOST_NAME: &str = "shop.example.org";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What the server does with a connection after it has read the question.
#[derive(Clone, Copy)]
enum Behaviour {
    Say(&'static str),
    SayAndHang(&'static str),
    Flood,
    HangUp,
    Hang,
}

#[derive(Clone, Default)]
struct Seen {
    connections: usize,
    sni: Option<String>,
    question: String,
}

type Log = Arc<Mutex<Seen>>;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn authority() -> Authority {
    named_authority("ours")
}

fn named_authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { issuer: Issuer::new(params, key), pem }
}

fn acceptor(authority: &Authority, name: &str) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority.issuer).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn listen(behaviour: Behaviour, tls: Option<TlsAcceptor>) -> (u16, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, log) = (listener.local_addr().unwrap().port(), Log::default());
    tokio::spawn({
        let log = Arc::clone(&log);
        async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                log.lock().unwrap().connections += 1;
                let (log, tls) = (Arc::clone(&log), tls.clone());
                tokio::spawn(async move {
                    let Some(tls) = tls else { return converse(stream, behaviour, &log).await };
                    let Ok(stream) = tls.accept(stream).await else { return };
                    log.lock().unwrap().sni = stream.get_ref().1.server_name().map(str::to_owned);
                    converse(stream, behaviour, &log).await;
                });
            }
        }
    });
    (port, log)
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, behaviour: Behaviour, log: &Log) {
    let mut question = Vec::new();
    while !question.ends_with(b"\r\n\r\n") {
        question.push(stream.read_u8().await.unwrap());
    }
    log.lock().unwrap().question = String::from_utf8(question).unwrap();
    match behaviour {
        Behaviour::Say(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
        Behaviour::SayAndHang(beginning) => {
            stream.write_all(beginning.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        }
        Behaviour::HangUp => {}
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Flood => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            // Ends when the prober hangs up.
            while stream.write_all(&[b'a'; 4096]).await.is_ok() {}
        }
    }
    // The other side may be gone already.
    drop(stream.shutdown().await);
}

fn question(scheme: Scheme, port: u16) -> Probe {
    let policy = AddressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let address = policy.pin("127.0.0.1".parse().unwrap()).unwrap();
    Probe { scheme, host: HOST_NAME.into(), port, path: "/".into(), address }
}

fn prober(authority: &Authority) -> HttpProber {
    HttpProber::new(Some(&authority.pem), Duration::from_secs(10)).unwrap()
}

async fn http(behaviour: Behaviour) -> (Answer, Seen) {
    let (port, log) = listen(behaviour, None).await;
    let answer = prober(&authority()).probe(&question(Scheme::Http, port)).await;
    let seen = log.lock().unwrap().clone();
    (answer, seen)
}

fn failure(answer: &Answer) -> (FailureKind, &str) {
    match answer {
        Answer::Failed { kind, message } => (*kind, message),
        Answer::Response { .. } => panic!("expected a failure, found {answer:?}"),
    }
}

fn header<'a>(seen: &'a Seen, name: &str) -> Option<&'a str> {
    let named = |line: &&str| line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name));
    seen.question.lines().find(named)?.split_once(": ").map(|(_, value)| value)
}

#[tokio::test]
async fn the_server_sees_the_host_alone_and_who_asks() {
    let (answer, seen) = http(Behaviour::Say(OK)).await;
    assert!(matches!(answer, Answer::Response { status: 200, location: None, .. }), "{answer:?}");
    assert_eq!(answer.outcome(), ProbeOutcome::Answered);
    assert!(seen.question.starts_with("GET / HTTP/1.1\r\n"), "{}", seen.question);
    assert_eq!((header(&seen, "host"), header(&seen, "user-agent")), (Some(HOST_NAME), Some(USER_AGENT)));
    assert_eq!((header(&seen, "authorization"), header(&seen, "cookie")), (None, None));
}

#[tokio::test]
async fn tls_is_verified_for_the_host_and_told_by_sni() {
    let authority = authority();
    let (port, log) = listen(Behaviour::Say(OK), Some(acceptor(&authority, HOST_NAME))).await;
    let prober = prober(&authority);
    for _ in 0..2 {
        let answer = prober.probe(&question(Scheme::Https, port)).await;
        assert!(matches!(answer, Answer::Response { status: 200, .. }), "{answer:?}");
    }
    let seen = log.lock().unwrap().clone();
    assert_eq!((seen.sni.as_deref(), header(&seen, "host")), (Some(HOST_NAME), Some(HOST_NAME)));
    assert_eq!(seen.connections, 2, "each probe is a new connection");
}

#[tokio::test]
async fn a_certificate_for_another_name_or_from_another_authority_is_refused() {
    let (ours, theirs) = (authority(), named_authority("theirs"));
    for (server, what) in
        [(acceptor(&ours, "other.example.org"), "not valid for name"), (acceptor(&theirs, HOST_NAME), "UnknownIssuer")]
    {
        let (port, log) = listen(Behaviour::Say(OK), Some(server)).await;
        let answer = prober(&ours).probe(&question(Scheme::Https, port)).await;
        let (kind, message) = failure(&answer);
        assert_eq!((kind, answer.outcome()), (FailureKind::Tls, ProbeOutcome::Tls), "{message}");
        assert!(message.contains(what), "{message}");
        assert_eq!(log.lock().unwrap().question, "", "nothing was asked");
    }
}

#[tokio::test]
async fn without_private_roots_the_systems_are_asked_and_trust_no_private_authority() {
    let (port, _) = listen(Behaviour::Say(OK), Some(acceptor(&authority(), HOST_NAME))).await;
    let prober = HttpProber::new(None, Duration::from_secs(10)).unwrap();
    let answer = prober.probe(&question(Scheme::Https, port)).await;
    assert_eq!(failure(&answer).0, FailureKind::Tls, "{answer:?}");
}

#[tokio::test]
async fn plain_http_where_tls_is_expected_is_a_tls_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(OK.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    });
    let answer = prober(&authority()).probe(&question(Scheme::Https, plain)).await;
    assert_eq!(failure(&answer).0, FailureKind::Tls, "{answer:?}");
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let (answer, seen) = http(Behaviour::Say(
        "HTTP/1.1 302 Found\r\nLocation: https://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n",
    ))
    .await;
    let Answer::Response { status: 302, location: Some(location), .. } = answer else { panic!("{answer:?}") };
    assert_eq!((location.as_str(), seen.connections), ("https://169.254.169.254/latest", 1));
}

#[tokio::test]
async fn a_redirects_destination_is_cut() {
    let answer = format!("HTTP/1.1 301 Moved\r\nLocation: /{}\r\nContent-Length: 0\r\n\r\n", "a".repeat(2000));
    let (answer, _) = http(Behaviour::Say(answer.leak())).await;
    let Answer::Response { location: Some(location), .. } = answer else { panic!("{answer:?}") };
    assert_eq!(location.len(), MAX_LOCATION);
}

#[tokio::test]
async fn every_status_is_an_answer() {
    let (answer, _) = http(Behaviour::Say("HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n")).await;
    assert!(matches!(answer, Answer::Response { status: 503, .. }), "{answer:?}");
}

#[tokio::test]
async fn a_body_without_end_is_left_and_no_failure() {
    let (answer, _) = http(Behaviour::Flood).await;
    assert!(matches!(answer, Answer::Response { status: 200, .. }), "{answer:?}");
}

#[tokio::test]
async fn a_server_that_hangs_is_left_in_time_before_and_within_its_answer() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok";
    for (behaviour, tls) in [(Behaviour::Hang, false), (Behaviour::Hang, true), (Behaviour::SayAndHang(half), false)] {
        let authority = authority();
        let (port, _) = listen(behaviour, tls.then(|| acceptor(&authority, HOST_NAME))).await;
        let prober = HttpProber::new(Some(&authority.pem), Duration::from_millis(300)).unwrap();
        let scheme = if tls { Scheme::Https } else { Scheme::Http };
        let answer = prober.probe(&question(scheme, port)).await;
        let (kind, message) = failure(&answer);
        assert_eq!((kind, message), (FailureKind::Timeout, "no complete answer within 300ms"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_or_speaks_something_else_is_a_broken_connection() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok";
    for behaviour in [Behaviour::HangUp, Behaviour::Say(half), Behaviour::Say("SSH-2.0-OpenSSH_9.9\r\n")] {
        let (answer, _) = http(behaviour).await;
        assert_eq!(failure(&answer).0, FailureKind::Reset, "{answer:?}");
    }
}

#[tokio::test]
async fn a_port_where_nothing_listens_is_refused() {
    let answer = prober(&authority()).probe(&question(Scheme::Http, 1)).await;
    let (kind, message) = failure(&answer);
    assert_eq!(kind, FailureKind::Refused, "{message}");
    assert!(message.contains("refused"), "{message}");
}

#[tokio::test]
async fn a_host_that_is_an_address_is_never_connected_to() {
    let (port, log) = listen(Behaviour::Say(OK), None).await;
    let prober = prober(&authority());
    let hosts =
        ["127.0.0.1", "2130706433", "0x7f.1", "[::1]", "user@localhost", "localhost:1", "a b", "", "*.example.org"];
    for host in hosts {
        let answer = prober.probe(&Probe { host: host.into(), ..question(Scheme::Http, port) }).await;
        assert_eq!(failure(&answer).0, FailureKind::Other, "{host}: {answer:?}");
    }
    for path in ["", "x", "@127.0.0.1/"] {
        let answer = prober.probe(&Probe { path: path.into(), ..question(Scheme::Http, port) }).await;
        assert_eq!(failure(&answer).0, FailureKind::Other, "{path}: {answer:?}");
    }
    assert_eq!(log.lock().unwrap().connections, 0);
}

#[test]
fn roots_that_are_not_certificates_are_refused() {
    for pem in ["", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(matches!(HttpProber::new(Some(pem), Duration::from_secs(1)), Err(ProberError::Roots)), "{pem}");
    }
}

#[test]
fn a_probe_says_where_it_goes() {
    assert_eq!(question(Scheme::Https, 8443).to_string(), "https://shop.example.org/ at 127.0.0.1:8443");
}
