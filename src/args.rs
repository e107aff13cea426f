//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::api::DurationText;
use crate::cluster::client::HomeSource;
use crate::lease::{self, Candidacy, Times};
use crate::telemetry::LogFormat;

/// Moves one namespace's service from a source cluster to a target cluster without downtime.
#[derive(Debug, Parser)]
#[command(name = "namespace-migration", version, args_conflicts_with_subcommands = true)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

/// What the process was started for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator (what happens when no sub-command is given)
    Run(RunArgs),
    /// Print the custom resource definitions as YAML, or write them to files, and exit
    Crds(CrdsArgs),
    /// Print the reference of stages, conditions and reasons as Markdown, and exit
    Reference,
}

/// Where the definitions go.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct CrdsArgs {
    /// Folder that gets one file for each definition; standard output when absent
    #[arg(long, value_name = "FOLDER")]
    pub directory: Option<PathBuf>,
}

/// How the operator runs.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct RunArgs {
    /// Kubeconfig of the cluster that holds the migration objects; the cluster that the operator runs in when absent
    #[arg(long, value_name = "FILE")]
    pub home_kubeconfig: Option<PathBuf>,
    /// Namespace on the home cluster that holds the kubeconfig Secrets
    #[arg(long, default_value = "namespace-migration")]
    pub namespace: String,
    /// Label selector of the migrations and cluster pairs that this process handles; all when absent
    #[arg(long, value_name = "LABELS")]
    pub selector: Option<String>,
    /// Address of /livez, /readyz and /metrics
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Form of the log lines
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Shortest time between two requests to Route 53 with the same credentials: an account has 5 requests a second for all its users
    #[arg(long, value_name = "DURATION", default_value = "550ms", value_parser = route53_gap)]
    pub route53_gap: Duration,
    /// DNS server that is asked for the addresses of load balancers and for the name servers of zones, and for nothing else; may be given several times; the system's resolvers when absent
    #[arg(long = "resolver", value_name = "ADDRESS:PORT")]
    pub resolvers: Vec<SocketAddr>,
    /// How one of several operators is chosen.
    #[command(flatten)]
    pub lease: LeaseArgs,
}

/// How one of several operators is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct LeaseArgs {
    /// Lease in the operator's namespace; of the operators that share it, one works and the others stand by
    #[arg(long, value_name = "NAME", default_value = "namespace-migration")]
    pub lease_name: String,
    /// After so long without a sign of life from the leader another operator takes over (whole seconds, 3s to 1h)
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = lease_duration)]
    pub lease_duration: Duration,
    /// What this operator calls itself in the Lease; the host's name and chance when absent
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub identity: Option<String>,
    /// Work without a Lease, beside whatever other operators there are: safe, but everything is done twice
    #[arg(long)]
    pub no_lease: bool,
}

fn route53_gap(text: &str) -> Result<Duration, String> {
    let span = DurationText::from(text).span().map_err(|error| error.to_string())?;
    let gap = span.unsigned_abs();
    if gap < Duration::from_millis(10) || gap > Duration::from_secs(60) {
        return Err(format!("{text} is not between 10ms and 1m"));
    }
    Ok(gap)
}

fn lease_duration(text: &str) -> Result<Duration, String> {
    let span = DurationText::from(text).span().map_err(|error| error.to_string())?;
    let whole = (3..=3600).contains(&span.as_secs()) && span.subsec_nanos() == 0;
    if !whole {
        return Err(format!("{text} is not a number of whole seconds from 3s to 1h"));
    }
    Ok(span.unsigned_abs())
}

impl CommandLine {
    /// Reads the process's arguments; prints help, the version or what is wrong and ends the process where that fits.
    pub fn from_process() -> Self {
        Self::parse()
    }

    /// What to do; running the operator is the default.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Run(self.run))
    }
}

impl RunArgs {
    /// Where the migration objects live.
    pub fn home(&self) -> HomeSource {
        self.home_kubeconfig.clone().map_or(HomeSource::InCluster, HomeSource::File)
    }

    /// Which Lease decides who works, and as whom this process asks for it. None when it works without.
    pub fn candidacy(&self) -> Option<Candidacy> {
        let LeaseArgs { lease_name, lease_duration, identity, no_lease } = &self.lease;
        let identity = identity.clone().filter(|identity| !identity.is_empty());
        (!no_lease).then(|| Candidacy {
            namespace: self.namespace.clone(),
            name: lease_name.clone(),
            identity: identity.unwrap_or_else(lease::own_identity),
            times: Times::of(*lease_duration),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn run(arguments: &[&str]) -> RunArgs {
        let line = ["namespace-migration"].iter().chain(arguments);
        match CommandLine::try_parse_from(line).unwrap().into_command() {
            Command::Run(run) => run,
            other => panic!("expected the operator to run, not {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn running_is_the_default_and_every_option_has_its_documented_default() {
        let expected = RunArgs {
            home_kubeconfig: None,
            namespace: "namespace-migration".into(),
            selector: None,
            listen: "0.0.0.0:8080".parse().unwrap(),
            log_format: LogFormat::Text,
            route53_gap: Duration::from_millis(550),
            resolvers: vec![],
            lease: LeaseArgs {
                lease_name: "namespace-migration".into(),
                lease_duration: Duration::from_secs(15),
                identity: std::env::var("POD_NAME").ok(),
                no_lease: false,
            },
        };
        assert_eq!(run(&[]), expected);
        assert_eq!(run(&["run"]), expected);
    }

    #[test]
    fn options_work_with_and_without_the_sub_command() {
        let options = ["--home-kubeconfig", "/k", "--namespace", "ops", "--selector", "run=a", "--log-format", "json"];
        let plain = run(&[&options[..], &["--listen", "127.0.0.1:0"]].concat());
        assert_eq!((plain.home(), run(&[]).home()), (HomeSource::File("/k".into()), HomeSource::InCluster));
        assert_eq!((plain.namespace.as_str(), plain.selector.as_deref()), ("ops", Some("run=a")));
        assert_eq!(plain.log_format, LogFormat::Json);
        assert_eq!(run(&[&["run"], &options[..], &["--listen", "127.0.0.1:0"]].concat()), plain);
    }

    #[test]
    fn resolvers_are_addresses_with_ports_and_there_may_be_several() {
        let two = run(&["--resolver", "10.0.0.2:53", "--resolver=[fd00::53]:5353"]);
        assert_eq!(two.resolvers, ["10.0.0.2:53".parse().unwrap(), "[fd00::53]:5353".parse().unwrap()]);
        for text in ["dns.example.com:53", "10.0.0.2", ""] {
            let line = ["namespace-migration", "--resolver", text];
            let error = CommandLine::try_parse_from(line).unwrap_err().to_string();
            assert!(error.contains("--resolver <ADDRESS:PORT>"), "{error}");
        }
    }

    #[test]
    fn an_operator_asks_for_its_lease_under_its_own_name_unless_it_works_without() {
        let named = run(&["--lease-name", "l", "--lease-duration", "3s", "--identity", "pod-a", "--namespace", "ops"]);
        let times = Times::of(Duration::from_secs(3));
        let expected = Candidacy { namespace: "ops".into(), name: "l".into(), identity: "pod-a".into(), times };
        assert_eq!(named.candidacy(), Some(expected));
        let unnamed = || run(&["--identity", ""]).candidacy().unwrap().identity;
        assert_ne!(unnamed(), unnamed(), "two processes on one host are two candidates");
        assert_eq!(run(&["--no-lease"]).candidacy(), None);
    }

    #[test]
    fn a_duration_that_a_lease_cannot_have_is_refused_in_words() {
        for text in ["0s", "2s", "3500ms", "61m", "15", "-15s"] {
            let line = ["namespace-migration", &format!("--lease-duration={text}")];
            let error = CommandLine::try_parse_from(line).unwrap_err().to_string();
            assert!(error.contains("whole seconds") || error.contains("not a duration"), "{error}");
        }
    }

    #[test]
    fn crds_takes_a_folder_and_none_of_the_operators_options() {
        let folder = |arguments: &[&str]| {
            let line = ["namespace-migration", "crds"].iter().chain(arguments);
            match CommandLine::try_parse_from(line).unwrap().into_command() {
                Command::Crds(args) => args.directory,
                other => panic!("expected the definitions to be wanted, not {other:?}"),
            }
        };
        assert_eq!((folder(&[]), folder(&["--directory", "crds"])), (None, Some("crds".into())));
        assert!(CommandLine::try_parse_from(["namespace-migration", "crds", "--namespace", "x"]).is_err());
    }
}
