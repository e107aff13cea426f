//! Asks a service over HTTP or HTTPS through a load balancer's pinned address, as a user's browser would after DNS.
//!
//! Each probe is a new connection with a full handshake: a pooled one would not see a certificate that changed, and
//! a resumed TLS session does not check the chain again.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{HOST, HeaderValue, LOCATION};
use reqwest::{Client, Response, Url, redirect, retry};
use rustls::client::{ClientConfig, Resumption, WantsClientCert};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_platform_verifier::BuilderVerifierExt as _;
use thiserror::Error;

use super::address::PinnedAddress;
use crate::causes::{causes, chain};
use crate::metrics::ProbeOutcome;

/// No more of a body is read, in bytes. A longer one is not a failure.
pub const MAX_BODY: usize = 64 * 1024;
/// No more of a redirect's destination is kept, in bytes.
pub const MAX_LOCATION: usize = 512;

const USER_AGENT: &str = "namespace-migration-probe";

/// Why no probe can be made at all.
#[derive(Debug, Error)]
pub enum ProberError {
    /// The private roots are not certificates.
    #[error("the ClusterPair's root certificates are not PEM certificates that can be used; correct or remove them")]
    Roots,
    /// The system has no roots.
    #[error(
        "the system's root certificates cannot be used; install them in the image or give root certificates in the \
         ClusterPair"
    )]
    PlatformRoots {
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// How a service is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS; the chain and the name are verified.
    Https,
}

impl fmt::Display for Scheme {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Probe {
    /// With or without TLS.
    pub scheme: Scheme,
    /// The Ingress' host, a DNS name: what the Host header and SNI say, and what the certificate must be valid for.
    pub host: String,
    /// The port to connect to. The Host header does not repeat it: a user of the service would not either.
    pub port: u16,
    /// The path, from its first slash, with a query if there is one.
    pub path: String,
    /// Where to connect to.
    pub address: PinnedAddress,
}

impl fmt::Display for Probe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port, path, address } = self;
        write!(formatter, "{scheme}://{host}{path} at {}", SocketAddr::new(address.ip(), *port))
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An HTTP answer, whatever its status.
    Response {
        /// The status code.
        status: u16,
        /// Where a redirect leads, cut to [`MAX_LOCATION`]; it was not followed.
        location: Option<String>,
        /// From the start of the connection to the answer's head.
        latency: Duration,
    },
    /// No HTTP answer.
    Failed {
        /// What kind of trouble.
        kind: FailureKind,
        /// One line for a person.
        message: String,
    },
}

/// Why there was no HTTP answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Nothing listens there.
    Refused,
    /// The time was up, before or within the answer.
    Timeout,
    /// The certificate or the handshake was not acceptable.
    Tls,
    /// The connection broke, or what came was not HTTP.
    Reset,
    /// Anything else: no route, or a question that cannot be asked.
    Other,
    /// Nobody was asked, because it is not known where, or not allowed. It says nothing about the service.
    NotAsked,
}

impl Answer {
    /// The label under which it is counted.
    pub fn outcome(&self) -> ProbeOutcome {
        match self {
            Self::Response { .. } => ProbeOutcome::Answered,
            Self::Failed { kind, .. } => match kind {
                FailureKind::Refused => ProbeOutcome::Refused,
                FailureKind::Timeout => ProbeOutcome::Timeout,
                FailureKind::Tls => ProbeOutcome::Tls,
                FailureKind::Reset => ProbeOutcome::Reset,
                FailureKind::Other | FailureKind::NotAsked => ProbeOutcome::Other,
            },
        }
    }
}

/// Asks questions with one set of roots and one limit on time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpProber {
    tls: ClientConfig,
    timeout: Duration,
}

impl HttpProber {
    /// Trusts the PEM roots, or the system's when there are none. `timeout` covers a probe from its first packet to the
    /// last byte that is read.
    pub fn new(roots_pem: Option<&str>, timeout: Duration) -> Result<Self, ProberError> {
        Ok(Self { tls: tls(roots_pem)?, timeout })
    }

    /// Asks once. Never fails: what prevents an answer is an answer too.
    pub async fn probe(&self, probe: &Probe) -> Answer {
        let Some(url) = url(probe) else {
            return unanswerable(probe);
        };
        let Ok(host) = HeaderValue::from_str(&probe.host) else {
            return unanswerable(probe);
        };
        match self.ask(probe, url, host).await {
            Ok(answer) => answer,
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&self, error: &reqwest::Error) -> Answer {
        let kind = kind(error);
        let message = match kind {
            // Which part of the exchange the time ran out in is chance.
            FailureKind::Timeout => format!("no complete answer within {:?}", self.timeout),
            _ => causes(error),
        };
        Answer::Failed { kind, message }
    }

    async fn ask(&self, probe: &Probe, url: Url, host: HeaderValue) -> reqwest::Result<Answer> {
        let client = self.client(probe)?;
        let start = Instant::now();
        let response = client.get(url).header(HOST, host).send().await?;
        let latency = start.elapsed();
        let (status, location) = (response.status().as_u16(), location(&response));
        read_some(response).await?;
        Ok(Answer::Response { status, location, latency })
    }

    /// A client for this probe alone: nothing is pooled, resolved, repeated, followed or sent through a proxy.
    fn client(&self, probe: &Probe) -> reqwest::Result<Client> {
        Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .resolve_to_addrs(&probe.host, &[SocketAddr::new(probe.address.ip(), 0)])
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .referer(false)
            .pool_max_idle_per_host(0)
            .timeout(self.timeout)
            .user_agent(USER_AGENT)
            .build()
    }
}

/// TLS that trusts the PEM roots, or the system's when there are none, and resumes nothing.
pub(crate) fn tls(roots_pem: Option<&str>) -> Result<ClientConfig, ProberError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|source| ProberError::PlatformRoots { source })?;
    let mut tls = verifier(builder, roots_pem)?.with_no_client_auth();
    tls.resumption = Resumption::disabled();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

fn verifier(
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    roots_pem: Option<&str>,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, ProberError> {
    let Some(pem) = roots_pem else {
        return builder.with_platform_verifier().map_err(|source| ProberError::PlatformRoots { source });
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(|_| ProberError::Roots)?).map_err(|_| ProberError::Roots)?;
    }
    if roots.is_empty() { Err(ProberError::Roots) } else { Ok(builder.with_root_certificates(roots)) }
}

/// The URL, if its host is the DNS name that is meant: an IP address, in whatever notation, would be connected to as it
/// is, and the pinned address would not count.
fn url(probe: &Probe) -> Option<Url> {
    let Probe { scheme, host, port, path, .. } = probe;
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if !path.starts_with('/') || !host.bytes().all(is_host) {
        return None;
    }
    let url = Url::parse(&format!("{scheme}://{host}:{port}{path}")).ok()?;
    (url.domain() == Some(host.to_ascii_lowercase().as_str())).then_some(url)
}

fn unanswerable(probe: &Probe) -> Answer {
    let message = format!(
        "{:?} and {:?} cannot be asked for: expected a DNS name as host and a path that begins with a slash",
        probe.host, probe.path
    );
    Answer::Failed { kind: FailureKind::Other, message }
}

fn location(response: &Response) -> Option<String> {
    let location = response.headers().get(LOCATION)?.as_bytes();
    let kept = location.get(..MAX_LOCATION).unwrap_or(location);
    Some(String::from_utf8_lossy(kept).into_owned())
}

async fn read_some(mut response: Response) -> reqwest::Result<()> {
    let mut read = 0;
    while let Some(chunk) = response.chunk().await? {
        read += chunk.len();
        if read >= MAX_BODY {
            break;
        }
    }
    Ok(())
}

fn kind(error: &reqwest::Error) -> FailureKind {
    if error.is_timeout() {
        return FailureKind::Timeout;
    }
    if let Some(kind) = chain(error).find_map(io_kind) {
        return kind;
    }
    // A connection that came about and brought no answer: it was closed too early, or something else than HTTP came.
    if error.is_connect() || error.is_builder() { FailureKind::Other } else { FailureKind::Reset }
}

fn io_kind(cause: &(dyn std::error::Error + 'static)) -> Option<FailureKind> {
    if cause.is::<rustls::Error>() {
        return Some(FailureKind::Tls);
    }
    let error = cause.downcast_ref::<io::Error>()?;
    // An io::Error that carries another error does not name that one as its source, only what is below it.
    if let Some(kind) = error.get_ref().and_then(|inner| io_kind(inner)) {
        return Some(kind);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Some(FailureKind::Refused),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Some(FailureKind::Reset),
        _ => None,
    }
}
