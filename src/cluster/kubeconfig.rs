//! The strict kubeconfig: an inline CA and one inline credential for one cluster, and nothing else.
//!
//! A kubeconfig can name commands to run, files to read, proxies and identities to take. One that comes from a Secret
//! was written by somebody else, so nothing of that is honoured, and nothing is ignored in silence either: what is not
//! on the list is refused. The connection is then built from the listed fields alone.
//! Format: <https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/>.

mod document;
mod error;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod texts;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use document::{Cluster, Context, Document, Sensitive, User};
pub use error::KubeconfigError;

/// No larger kubeconfig is read, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;

/// Where a cluster is and how to be let in. Has neither `Debug` nor `Serialize`: it holds credentials.
#[derive(Clone)]
pub struct RemoteKubeconfig {
    server: Uri,
    authorities: Vec<Vec<u8>>,
    credentials: Credentials,
}

#[derive(Clone)]
enum Credentials {
    Token(Zeroizing<String>),
    Certificate { chain: Sensitive, key: Sensitive },
}

impl RemoteKubeconfig {
    /// The API server's address: always https, without user information.
    pub fn server(&self) -> &Uri {
        &self.server
    }

    /// A connection built from the listed fields alone. Timeouts and retries are the client's business.
    pub fn config(&self) -> kube::Config {
        let mut config = kube::Config::new(self.server.clone());
        config.root_cert = Some(self.authorities.clone());
        match &self.credentials {
            Credentials::Token(token) => config.auth_info.token = Some(token.as_str().into()),
            Credentials::Certificate { chain, key } => {
                config.auth_info.client_certificate_data = Some(chain.reveal().to_owned());
                config.auth_info.client_key_data = Some(key.reveal().into());
            }
        }
        config
    }
}

/// Reads a kubeconfig.
///
/// Refuses everything that is not an inline CA, an https address and one inline credential; no error repeats a value.
pub fn parse(bytes: &[u8]) -> Result<RemoteKubeconfig, KubeconfigError> {
    if bytes.len() > MAX_BYTES {
        return Err(KubeconfigError::TooLarge { found: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| KubeconfigError::NotText)?;
    let document = document::read(text)?;
    document.check_header()?;
    let (cluster, user) = document.only_connection()?;
    cluster.refuse_foreign_fields()?;
    user.refuse_foreign_fields()?;
    Ok(RemoteKubeconfig {
        server: server(cluster)?,
        authorities: authorities(cluster)?,
        credentials: credentials(user)?,
    })
}

impl Document {
    fn check_header(&self) -> Result<(), KubeconfigError> {
        if self.api_version.as_deref().is_some_and(|version| version != "v1") {
            return Err(KubeconfigError::Header { field: "apiVersion", expected: "v1" });
        }
        if self.kind.as_deref().is_some_and(|kind| kind != "Config") {
            return Err(KubeconfigError::Header { field: "kind", expected: "Config" });
        }
        Ok(())
    }

    fn only_connection(&self) -> Result<(&Cluster, &User), KubeconfigError> {
        let cluster = only("clusters", &self.clusters)?;
        let user = only("users", &self.users)?;
        let context = only("contexts", &self.contexts)?;
        let Context { cluster: wanted_cluster, user: wanted_user, .. } = &context.context;
        refer("current-context", "contexts[0].name", self.current_context.as_deref(), &context.name)?;
        refer("contexts[0].context.cluster", "clusters[0].name", wanted_cluster.as_deref(), &cluster.name)?;
        refer("contexts[0].context.user", "users[0].name", wanted_user.as_deref(), &user.name)?;
        Ok((&cluster.cluster, &user.user))
    }
}

fn only<'a, T>(field: &'static str, entries: &'a [T]) -> Result<&'a T, KubeconfigError> {
    match entries {
        [entry] => Ok(entry),
        _ => Err(KubeconfigError::NotExactlyOne { field, found: entries.len() }),
    }
}

fn refer(field: &'static str, to: &'static str, reference: Option<&str>, name: &str) -> Result<(), KubeconfigError> {
    match reference {
        None => Err(KubeconfigError::Missing { field }),
        Some(reference) if reference == name => Ok(()),
        Some(_) => Err(KubeconfigError::Dangling { field, to }),
    }
}

fn server(cluster: &Cluster) -> Result<Uri, KubeconfigError> {
    let field = "clusters[0].cluster.server";
    let server = cluster.server.as_ref().ok_or(KubeconfigError::Missing { field })?;
    let server: Uri = server.parse().map_err(|_| KubeconfigError::ServerAddress)?;
    if server.scheme() != Some(&http::uri::Scheme::HTTPS) {
        return Err(KubeconfigError::NotHttps);
    }
    let authority = server.authority().ok_or(KubeconfigError::ServerAddress)?;
    if authority.host().is_empty() || authority.as_str().contains('@') || server.query().is_some() {
        return Err(KubeconfigError::ServerAddress);
    }
    Ok(server)
}

fn authorities(cluster: &Cluster) -> Result<Vec<Vec<u8>>, KubeconfigError> {
    let field = "clusters[0].cluster.certificate-authority-data";
    let data = cluster.certificate_authority_data.as_ref().ok_or(KubeconfigError::Missing { field })?;
    certificates(field, data.reveal())
}

fn certificates(field: &'static str, data: &str) -> Result<Vec<Vec<u8>>, KubeconfigError> {
    let pem = decode(field, data)?;
    let expected = "one or more PEM certificates";
    let found: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(&pem)
        .map(|certificate| certificate.map(|der| der.to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|_| KubeconfigError::NotPem { field, expected })?;
    if found.is_empty() {
        return Err(KubeconfigError::NotPem { field, expected });
    }
    Ok(found)
}

fn credentials(user: &User) -> Result<Credentials, KubeconfigError> {
    let (chain, key) = (&user.client_certificate_data, &user.client_key_data);
    match (&user.token, chain, key) {
        (Some(token), None, None) => bearer(token),
        (None, Some(chain), Some(key)) => identity(chain, key),
        (None, Some(_), None) => Err(KubeconfigError::Missing { field: "users[0].user.client-key-data" }),
        (None, None, Some(_)) => Err(KubeconfigError::Missing { field: "users[0].user.client-certificate-data" }),
        (None, None, None) => Err(KubeconfigError::NoCredentials),
        (Some(_), _, _) => Err(KubeconfigError::TwoCredentials),
    }
}

fn bearer(token: &Sensitive) -> Result<Credentials, KubeconfigError> {
    let token = token.reveal();
    // It becomes an HTTP header: a line break in it would end the header.
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(KubeconfigError::Token);
    }
    Ok(Credentials::Token(Zeroizing::new(token.to_owned())))
}

fn identity(chain: &Sensitive, key: &Sensitive) -> Result<Credentials, KubeconfigError> {
    certificates("users[0].user.client-certificate-data", chain.reveal())?;
    let field = "users[0].user.client-key-data";
    PrivateKeyDer::from_pem_slice(&decode(field, key.reveal())?)
        .map_err(|_| KubeconfigError::NotPem { field, expected: "a PEM private key" })?;
    Ok(Credentials::Certificate { chain: chain.clone(), key: key.clone() })
}

fn decode(field: &'static str, data: &str) -> Result<Zeroizing<Vec<u8>>, KubeconfigError> {
    // kube decodes these fields again, without trimming; so does this.
    STANDARD.decode(data).map(Zeroizing::new).map_err(|_| KubeconfigError::NotBase64 { field })
}
