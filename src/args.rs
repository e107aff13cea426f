//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::cluster::client::HomeSource;
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
