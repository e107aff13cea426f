//! Which certificate a load balancer shows, by server name: issued on the fly, wrong on demand.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Shared;
use crate::certificate_authority::{CertificateAuthority, self_signed};
use crate::sample_app::Fault;

/// The name in the certificate of a host whose fault is `WrongCertificate`.
const WRONG_NAME: &str = "wrong-host.invalid";
/// The name in the certificate for hosts that no Ingress gives TLS.
const DEFAULT_NAME: &str = "ingress.local";

/// Chooses and caches certificates for one load balancer.
pub(super) struct Certificates {
    shared: Arc<Shared>,
    authority: Arc<CertificateAuthority>,
    default: Arc<CertifiedKey>,
    issued: Mutex<HashMap<(String, Kind), Arc<CertifiedKey>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Correct,
    WrongName,
    Expired,
}

impl Certificates {
    pub(super) fn new(shared: Arc<Shared>, authority: Arc<CertificateAuthority>) -> anyhow::Result<Self> {
        let default = self_signed(&[DEFAULT_NAME])?.certified_key;
        Ok(Self { shared, authority, default, issued: Mutex::default() })
    }

    fn of_host(&self, host: &str) -> anyhow::Result<Arc<CertifiedKey>> {
        if !self.shared.routes().has_tls(host) {
            return Ok(Arc::clone(&self.default));
        }
        let kind = match self.shared.application.fault(&self.shared.cluster, host) {
            Fault::WrongCertificate => Kind::WrongName,
            Fault::ExpiredCertificate => Kind::Expired,
            _ => Kind::Correct,
        };
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = issued.get(&(host.to_owned(), kind)) {
            return Ok(Arc::clone(known));
        }
        let certificate = self.issue(host, kind)?;
        issued.insert((host.to_owned(), kind), Arc::clone(&certificate));
        Ok(certificate)
    }

    fn issue(&self, host: &str, kind: Kind) -> anyhow::Result<Arc<CertifiedKey>> {
        let certificate = match kind {
            Kind::Correct => self.authority.issue(&[host])?,
            Kind::WrongName => self.authority.issue(&[WRONG_NAME])?,
            Kind::Expired => self.authority.issue_expired(&[host])?,
        };
        Ok(certificate.certified_key)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let Some(host) = hello.server_name().map(str::to_ascii_lowercase) else {
            return Some(Arc::clone(&self.default));
        };
        match self.of_host(&host) {
            Ok(certificate) => Some(certificate),
            Err(error) => {
                tracing::error!(host, "no certificate can be issued: {error:#}");
                None
            }
        }
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("cluster", &self.shared.cluster).finish_non_exhaustive()
    }
}
