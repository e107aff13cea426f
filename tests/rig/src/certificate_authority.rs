//! The rig's own certificate authority: every TLS server of the rig shows a certificate that it issued, so that
//! chains are really verified in tests.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A certificate authority that lives as long as its process: its key is never written anywhere.
#[derive(Debug)]
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its private key, as PEM for programs and parsed for rustls.
#[derive(Clone, Debug)]
pub struct IssuedCertificate {
    /// The certificate without its issuer, PEM.
    pub certificate_pem: String,
    /// The private key, PKCS#8 PEM.
    pub key_pem: String,
    /// Both, ready for a rustls server.
    pub certified_key: Arc<CertifiedKey>,
}

impl CertificateAuthority {
    /// A new authority with a key of its own; `name` is the common name in its root certificate. Two authorities that
    /// one client trusts need different names.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new()).context("make the parameters of a root certificate")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        name_and_date(&mut params, name, &Validity::Current);
        let key = KeyPair::generate().context("generate the key of the certificate authority")?;
        let pem = params.self_signed(&key).context("sign the root certificate")?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// The root certificate, PEM: what a client has to trust.
    pub fn pem(&self) -> String {
        self.pem.clone()
    }

    /// A server certificate for these host names and IP addresses, valid from yesterday for a year.
    pub fn issue<S: AsRef<str>>(&self, hosts: &[S]) -> anyhow::Result<IssuedCertificate> {
        self.sign(hosts, &Validity::Current)
    }

    /// A server certificate whose validity ended yesterday.
    pub fn issue_expired<S: AsRef<str>>(&self, hosts: &[S]) -> anyhow::Result<IssuedCertificate> {
        self.sign(hosts, &Validity::Expired)
    }

    fn sign<S: AsRef<str>>(&self, hosts: &[S], validity: &Validity) -> anyhow::Result<IssuedCertificate> {
        let mut params = server_params(hosts, validity)?;
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().context("generate the key of a server certificate")?;
        let certificate = params.signed_by(&key, &self.issuer).context("sign a server certificate")?;
        IssuedCertificate::new(&certificate, &key)
    }
}

/// A certificate that no authority signed, as an ingress controller shows for hosts that it does not know.
pub fn self_signed<S: AsRef<str>>(hosts: &[S]) -> anyhow::Result<IssuedCertificate> {
    let key = KeyPair::generate().context("generate the key of a self-signed certificate")?;
    let certificate = server_params(hosts, &Validity::Current)?.self_signed(&key).context("self-sign a certificate")?;
    IssuedCertificate::new(&certificate, &key)
}

/// A rustls server that chooses its certificate with `certificates` and offers HTTP/2 and HTTP/1.1.
pub fn server_config(certificates: Arc<dyn ResolvesServerCert>) -> anyhow::Result<Arc<ServerConfig>> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("choose the TLS versions of a server")?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A resumed session shows no certificate: one that went wrong would go unnoticed.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// A rustls client that trusts the roots in `ca` (PEM, one or more) and nobody else.
pub fn client_config(ca: &str) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.context("read a root certificate from PEM")?).context("trust a root certificate")?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("choose the TLS versions of a client")?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

impl IssuedCertificate {
    fn new(certificate: &rcgen::Certificate, key: &KeyPair) -> anyhow::Result<Self> {
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let private_key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let signing_key = ring::sign::any_supported_type(&private_key).context("load the key of a new certificate")?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certified_key: Arc::new(CertifiedKey::new(chain, signing_key)),
        })
    }

    /// A rustls server that shows this certificate to everybody.
    pub fn server_config(&self) -> anyhow::Result<Arc<ServerConfig>> {
        server_config(Arc::new(SingleCertAndKey::from(Arc::clone(&self.certified_key))))
    }
}

enum Validity {
    Current,
    Expired,
}

fn server_params<S: AsRef<str>>(hosts: &[S], validity: &Validity) -> anyhow::Result<CertificateParams> {
    let names: Vec<String> = hosts.iter().map(|host| host.as_ref().to_owned()).collect();
    let first = names.first().context("a server certificate needs at least one host name or IP address, found none")?;
    let mut params = CertificateParams::new(names.clone())
        .with_context(|| format!("server certificate: {names:?} are not all host names or IP addresses"))?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    name_and_date(&mut params, first, validity);
    Ok(params)
}

fn name_and_date(params: &mut CertificateParams, name: &str, validity: &Validity) {
    let yesterday = SystemTime::now() - DAY;
    let (begin, end) = match validity {
        Validity::Current => (yesterday, yesterday + 366 * DAY),
        Validity::Expired => (yesterday - 90 * DAY, yesterday),
    };
    params.not_before = begin.into();
    params.not_after = end.into();
    params.distinguished_name.push(DnType::CommonName, name);
}

#[cfg(test)]
mod tests {
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::{ServerName, UnixTime};

    use super::*;

    fn verify(authority: &CertificateAuthority, issued: &IssuedCertificate, host: &str) -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let certificate = &issued.certified_key.cert[0];
        verifier.verify_server_cert(certificate, &[], &name, &[], UnixTime::now()).map(|_| ())
    }

    #[test]
    fn an_issued_certificate_is_trusted_for_its_names_and_addresses_only() {
        let authority = CertificateAuthority::new("rig").unwrap();
        let issued = authority.issue(&["shop.example.com", "127.0.0.1"]).unwrap();
        assert_eq!(verify(&authority, &issued, "shop.example.com"), Ok(()));
        assert_eq!(verify(&authority, &issued, "127.0.0.1"), Ok(()));
        assert!(verify(&authority, &issued, "other.example.com").is_err());
    }

    #[test]
    fn an_expired_certificate_is_refused() {
        let authority = CertificateAuthority::new("rig").unwrap();
        let issued = authority.issue_expired(&["shop.example.com"]).unwrap();
        let refusal = verify(&authority, &issued, "shop.example.com").unwrap_err();
        assert!(refusal.to_string().contains("expired"), "{refusal}");
    }

    #[test]
    fn certificates_of_another_authority_or_of_none_are_refused() {
        let authority = CertificateAuthority::new("rig").unwrap();
        let other = CertificateAuthority::new("other").unwrap();
        assert!(verify(&authority, &other.issue(&["shop.example.com"]).unwrap(), "shop.example.com").is_err());
        assert!(verify(&authority, &self_signed(&["shop.example.com"]).unwrap(), "shop.example.com").is_err());
    }

    #[test]
    fn a_certificate_for_nobody_is_refused_when_it_is_asked_for() {
        let none: [&str; 0] = [];
        assert!(CertificateAuthority::new("rig").unwrap().issue(&none).is_err());
    }
}
