//! Kubeconfigs with everything inline, and clients made from the same three facts.

use anyhow::{Context as _, Result};
use k8s_openapi::ByteString;
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// How to reach an API server, and as whom.
#[derive(Clone)]
pub struct Access {
    /// The API server's address, `https://` and port included.
    pub server: String,
    /// The root that signed the API server's certificate, as PEM.
    pub ca_pem: String,
    /// The bearer token.
    pub token: String,
}

impl Access {
    /// A kubeconfig (YAML) with one cluster, one user and one context, all called `name`.
    pub fn kubeconfig(&self, name: &str) -> Result<String> {
        let ca = serde_json::to_value(ByteString(self.ca_pem.clone().into_bytes()))?;
        let ca = ca.as_str().context("base64 is a string")?;
        let Self { server, token, .. } = self;
        Ok(format!(
            "apiVersion: v1
kind: Config
current-context: {name}
clusters:
- name: {name}
  cluster:
    server: {server}
    certificate-authority-data: {ca}
users:
- name: {name}
  user:
    token: {token}
contexts:
- name: {name}
  context:
    cluster: {name}
    user: {name}
"
        ))
    }

    /// A new client. Its connections live in the async runtime that is running now, so a test asks for its own.
    pub fn client(&self) -> Result<Client> {
        Client::try_from(self.config()?).context("building a Kubernetes client")
    }

    /// The same under another name and in these groups, for whoever may impersonate.
    pub fn client_as(&self, user: &str, groups: &[&str]) -> Result<Client> {
        let mut config = self.config()?;
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(groups.iter().map(|group| (*group).to_owned()).collect());
        Client::try_from(config).context("building a Kubernetes client")
    }

    fn config(&self) -> Result<Config> {
        let mut config = Config::new(self.server.parse().with_context(|| format!("{} is no URL", self.server))?);
        let roots = CertificateDer::pem_slice_iter(self.ca_pem.as_bytes());
        let roots: Result<Vec<Vec<u8>>, _> = roots.map(|root| root.map(|der| der.to_vec())).collect();
        config.root_cert = Some(roots.context("reading the API server's root certificate")?);
        config.auth_info.token = Some(self.token.clone().into());
        Ok(config)
    }
}
