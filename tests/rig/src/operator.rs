//! The operator under test: the shipped program as a child process, with the identity that `deploy/` gives it.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustix::process::Signal;

use crate::child::{Child, Program};
use crate::control_plane::{ControlPlane, while_alive};
use crate::deploy::{OPERATOR_ACCOUNT, OPERATOR_NAMESPACE};
use crate::guard::beside;
use crate::kubeconfig::Access;
use crate::ports::free_port;

/// Names another operator program than the one that cargo built.
pub const OPERATOR_BINARY: &str = "OPERATOR_BINARY";

const READY_LIMIT: Duration = Duration::from_secs(30);
/// A busy machine takes its time.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// How one operator process runs.
#[derive(Clone)]
pub struct Options {
    /// Distinguishes this operator's files and messages from those of others in the same world.
    pub name: String,
    /// `KEY=VALUE`: it handles only migrations and pairs with this label, so that several operators share a home.
    pub selector: Option<String>,
    /// How it reaches its home cluster, and as whom; see [`home_access`].
    pub home: Access,
    /// The Lease that it shares with others of its kind; without one it works beside them.
    pub lease: Option<Lease>,
    /// Who tells it where load balancers are (`--resolver`): the world's name server, which alone knows their names.
    pub resolver: SocketAddr,
    /// Environment variables besides the inherited ones.
    pub environment: Vec<(String, String)>,
    /// Shortest time between two of its requests to Route 53 (a Go duration); None: what it takes when it is told nothing.
    pub route53_gap: Option<&'static str>,
}

/// The account of a world is its own, and has no quota unless somebody gives it one.
pub const QUICK_GAP: &str = "20ms";

/// A Lease that decides which of several operators works. The operator's name is its identity there, so that one that is
/// killed and started again goes on at once.
#[derive(Clone)]
pub struct Lease {
    /// The Lease's name, in the operator's namespace.
    pub name: String,
    /// After so long without a sign of life another operator takes over (a Go duration).
    pub duration: &'static str,
}

impl Lease {
    fn arguments(lease: Option<&Self>, identity: &str) -> Vec<String> {
        let Some(Self { name, duration }) = lease else { return vec!["--no-lease".to_owned()] };
        ["--lease-name", name, "--lease-duration", duration, "--identity", identity].map(str::to_owned).into()
    }
}

/// What `deploy/` gives the operator on its home cluster: a token of its `ServiceAccount`. Change `server` and `ca_pem`
/// to put a fault proxy in between.
pub async fn home_access(home: &ControlPlane) -> Result<Access> {
    home.service_account(OPERATOR_NAMESPACE, OPERATOR_ACCOUNT).await
}

/// A running operator. Dropping it kills it.
pub struct Operator {
    program: Program,
    child: Child,
    port: u16,
}

impl Operator {
    /// Starts it, with its files in `folder`, and waits until it says that it is ready.
    pub async fn start(folder: &Path, options: &Options) -> Result<Self> {
        let operator = Self::spawn(folder, options)?;
        operator.wait_ready().await?;
        Ok(operator)
    }

    /// Starts it without waiting, for tests in which it cannot become ready.
    pub fn spawn(folder: &Path, options: &Options) -> Result<Self> {
        let port = free_port()?;
        let name = format!("operator-{}", options.name);
        let kubeconfig = folder.join(format!("{name}.kubeconfig"));
        write_private(&kubeconfig, &options.home.kubeconfig("home")?)?;
        let selector = options.selector.iter().flat_map(|selector| ["--selector", selector]);
        let program = Program::new(&name, operator_binary()?, folder.join(format!("{name}.log")))
            .args(["--home-kubeconfig", &kubeconfig.display().to_string()])
            .args(["--namespace", OPERATOR_NAMESPACE])
            .args(selector)
            .args(Lease::arguments(options.lease.as_ref(), &name))
            .args(["--listen", &format!("127.0.0.1:{port}"), "--log-format", "json"])
            .args(["--resolver", &options.resolver.to_string()])
            .args(options.route53_gap.iter().flat_map(|gap| ["--route53-gap", gap]));
        let program = options.environment.iter().fold(program, |program, (key, value)| program.env(key, value));
        let child = program.spawn()?;
        Ok(Self { program, child, port })
    }

    /// Waits until `/readyz` answers 200; fails at once when the operator ends.
    pub async fn wait_ready(&self) -> Result<()> {
        while_alive(&self.child, READY_LIMIT, || async { self.get("/readyz").await.is_ok() }).await
    }

    /// SIGKILL: no chance to finish anything. Returns when it is gone.
    pub async fn sigkill(&self) -> Result<()> {
        self.child.kill().await
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&self) -> Result<ExitStatus> {
        self.child.wait().await
    }

    /// SIGTERM: a drain. Returns when it is gone.
    pub async fn sigterm(&self) -> Result<ExitStatus> {
        self.child.signal(Signal::TERM)?;
        self.child.wait().await
    }

    /// SIGSTOP: a process that the machine does not get to, with its connections open.
    pub fn sigstop(&self) -> Result<()> {
        self.child.signal(Signal::STOP)
    }

    /// SIGCONT: the end of [`Self::sigstop`].
    pub fn sigcont(&self) -> Result<()> {
        self.child.signal(Signal::CONT)
    }

    /// Kills it if it still runs, starts it again with the same arguments and waits until it is ready.
    pub async fn restart(&mut self) -> Result<()> {
        self.child.kill().await?;
        self.child = self.program.spawn()?;
        self.wait_ready().await
    }

    /// Whether its process has not ended.
    pub fn is_running(&self) -> bool {
        self.child.exited().is_none()
    }

    /// The operator's process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// The address of `/livez`, `/readyz` and `/metrics`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What `/metrics` answers.
    pub async fn metrics(&self) -> Result<String> {
        self.get("/metrics").await
    }

    /// Everything that it has logged, over all restarts.
    pub fn log(&self) -> Result<String> {
        let path = self.program.log();
        fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
    }

    /// The file of [`Self::log`].
    pub fn log_path(&self) -> &Path {
        self.program.log()
    }

    async fn get(&self, path: &str) -> Result<String> {
        let address = format!("{}{path}", self.url());
        let answer = tokio::time::timeout(ANSWER_LIMIT, fetch(&address)).await;
        answer.with_context(|| format!("{address} did not answer in {} s", ANSWER_LIMIT.as_secs()))?
    }
}

/// The body of a successful answer.
pub(crate) async fn fetch(address: &str) -> Result<String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = client.get(address.parse()?).await.with_context(|| format!("asking {address}"))?;
    let status = answer.status();
    let body = answer.into_body().collect().await.with_context(|| format!("reading the answer of {address}"))?;
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    if !status.is_success() {
        bail!("{address} answered {status}: {text}");
    }
    Ok(text)
}

fn operator_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(OPERATOR_BINARY).map(PathBuf::from) {
        if !path.is_file() {
            bail!("{OPERATOR_BINARY} names {}, which is not a file: unset it or build it", path.display());
        }
        return Ok(path);
    }
    beside(&std::env::current_exe().context("finding the running executable")?, "namespace-migration")
}

fn write_private(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).with_context(|| format!("writing {}", path.display()))?;
    fs::set_permissions(path, Permissions::from_mode(0o600)).with_context(|| format!("protecting {}", path.display()))
}
