//! The files that a control plane's programs read: keys, certificates, tokens, policies.

use std::fs::{self, Permissions};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::KeyPair;

use crate::certificate_authority::CertificateAuthority;
use crate::kubeconfig::Access;

const AUDIT_POLICY: &str = include_str!("../../config/audit-policy.yaml");
const KWOK_STAGES: &str = include_str!("../../config/kwok-stages.yaml");

/// Who talks to the API server on the rig's behalf. Each has a name of its own, so that a recording tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    Administrator,
    ControllerManager,
    Scheduler,
    Kwok,
    Kubelet,
}

impl Identity {
    const ALL: [Self; 5] = [Self::Administrator, Self::ControllerManager, Self::Scheduler, Self::Kwok, Self::Kubelet];

    fn user(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::ControllerManager => "controller-manager",
            Self::Scheduler => "scheduler",
            Self::Kwok => "kwok",
            Self::Kubelet => "kubelet",
        }
    }
}

/// The written files and the credentials in them.
pub(super) struct Files {
    folder: PathBuf,
    server: String,
    ca_pem: String,
    secret: String,
}

impl Files {
    /// Writes everything that needs no running program into `folder`.
    pub(super) fn write(folder: &Path, cluster: &str, server: String) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        let ca_pem = write_certificates(folder, cluster)?;
        let files = Self { folder: folder.to_owned(), server, ca_pem, secret: random_hex()? };
        write_service_account_key(folder)?;
        files.put("audit-policy.yaml", AUDIT_POLICY)?;
        files.put("kwok-stages.yaml", KWOK_STAGES)?;
        files.put("tokens.csv", &files.tokens())?;
        for identity in Identity::ALL {
            files.put(&kubeconfig_name(identity), &files.access(identity).kubeconfig(cluster)?)?;
        }
        Ok(files)
    }

    /// The full path of a file that is here, or that a program will write here.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The kubeconfig file of one of the rig's identities.
    pub(super) fn kubeconfig_path(&self, identity: Identity) -> PathBuf {
        self.path(&kubeconfig_name(identity))
    }

    pub(super) fn access(&self, identity: Identity) -> Access {
        Access { server: self.server.clone(), ca_pem: self.ca_pem.clone(), token: self.token(identity) }
    }

    /// Tokens are derived from one random secret: a token is its user's name and the secret.
    fn token(&self, identity: Identity) -> String {
        format!("{}-{}", identity.user(), self.secret)
    }

    /// <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#static-token-file>
    fn tokens(&self) -> String {
        Identity::ALL.map(|id| format!("{},{1},{1},system:masters\n", self.token(id), id.user())).concat()
    }

    fn put(&self, name: &str, content: &str) -> Result<()> {
        put(&self.folder, name, content)
    }
}

fn kubeconfig_name(identity: Identity) -> String {
    format!("{}.kubeconfig", identity.user())
}

/// Readable by its owner only: most of these files hold a credential.
fn put(folder: &Path, name: &str, content: &str) -> Result<()> {
    let path = folder.join(name);
    fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
    fs::set_permissions(&path, Permissions::from_mode(0o600)).with_context(|| format!("protecting {}", path.display()))
}

/// A root of the cluster's own and the API server's certificate signed by it; returns the root as PEM.
fn write_certificates(folder: &Path, cluster: &str) -> Result<String> {
    let authority = CertificateAuthority::new(&format!("{cluster} cluster root"))?;
    let certificate = authority.issue(&["127.0.0.1", "localhost", "kubernetes.default.svc"])?;
    put(folder, "ca.pem", &authority.pem())?;
    put(folder, "server.pem", &certificate.certificate_pem)?;
    put(folder, "server-key.pem", &certificate.key_pem)?;
    Ok(authority.pem())
}

fn write_service_account_key(folder: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    put(folder, "service-account-key.pem", &key.serialize_pem())?;
    put(folder, "service-account.pem", &key.public_key_pem())
}

fn random_hex() -> Result<String> {
    let mut bytes = [0_u8; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("reading randomness")?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
