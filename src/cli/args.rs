#[cfg(feature = "sim")]
mod sim;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use stargate::workflow::duration_ms;
use stargate_sdk::SecretRef;
use url::Url;

#[cfg(feature = "sim")]
pub(crate) use sim::{DemoArgs, ScenarioName, SimArgs};

/// Version, commit and date of this program.
const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("STARGATE_COMMIT"), ", ", env!("STARGATE_DATE"), ")");

/// Durable workflows that join datacenter machines to an AKS cluster over Tailscale.
///
/// A run that was killed at any instant goes on from its journal without doing anything twice.
#[derive(Debug, Parser)]
#[command(name = "stargate", version = VERSION, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct CommandLine {
    /// What the surroundings say.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What is wanted.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How data are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Flags that every command knows.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
#[expect(clippy::doc_markdown, reason = "the help shows these texts as they stand")]
pub(crate) struct Global {
    /// How data are shown
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: Output,
    /// Shows what steps capture on the way, such as the commands run on a host
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// File of the journal [env: STARGATE_JOURNAL] [default: ~/.local/state/stargate/journal.db]
    #[arg(long, global = true, value_name = "PATH", hide_short_help = true)]
    pub(crate) journal: Option<PathBuf>,
    /// Base of Azure Resource Manager [env: STARGATE_AZURE_ENDPOINT]
    #[arg(long, global = true, value_name = "URL", hide_short_help = true)]
    pub(crate) azure_endpoint: Option<Url>,
    /// Id of the Azure subscription [env: STARGATE_AZURE_SUBSCRIPTION, AZURE_SUBSCRIPTION_ID]
    #[arg(long, global = true, value_name = "ID", hide_short_help = true)]
    pub(crate) azure_subscription: Option<String>,
    /// A ready Azure token, as a reference such as env:NAME or file:PATH [env: STARGATE_AZURE_TOKEN]
    #[arg(long, global = true, value_name = "REFERENCE", hide_short_help = true)]
    pub(crate) azure_token: Option<SecretRef>,
    /// A certificate (PEM) to trust for Azure beside the system's [env: STARGATE_AZURE_CA]
    #[arg(long, global = true, value_name = "PATH", hide_short_help = true)]
    pub(crate) azure_ca: Option<PathBuf>,
    /// Base of the Tailscale API [env: STARGATE_TAILSCALE_ENDPOINT]
    #[arg(long, global = true, value_name = "URL", hide_short_help = true)]
    pub(crate) tailscale_endpoint: Option<Url>,
    /// The tailnet; `-` is the OAuth client's own [env: STARGATE_TAILSCALE_TAILNET] [default: -]
    #[arg(long, global = true, value_name = "NAME", allow_hyphen_values = true, hide_short_help = true)]
    pub(crate) tailscale_tailnet: Option<String>,
    /// Id of the OAuth client [env: STARGATE_TAILSCALE_CLIENT_ID] [default: env:TAILSCALE_CLIENT_ID]
    #[arg(long, global = true, value_name = "REFERENCE", hide_short_help = true)]
    pub(crate) tailscale_client_id: Option<SecretRef>,
    /// Secret of the OAuth client [env: STARGATE_TAILSCALE_CLIENT_SECRET] [default: env:TAILSCALE_CLIENT_SECRET]
    #[arg(long, global = true, value_name = "REFERENCE", hide_short_help = true)]
    pub(crate) tailscale_client_secret: Option<SecretRef>,
    /// An ssh_config file in place of the user's own [env: STARGATE_SSH_CONFIG]
    #[arg(long, global = true, value_name = "PATH", hide_short_help = true)]
    pub(crate) ssh_config: Option<PathBuf>,
    /// The cluster's kubeconfig in place of KUBECONFIG or ~/.kube/config [env: STARGATE_KUBECONFIG]
    #[arg(long, global = true, value_name = "PATH", hide_short_help = true)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context in place of its current one [env: STARGATE_KUBE_CONTEXT]
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub(crate) kube_context: Option<String>,
    /// What is traced to stderr, such as `debug` or `stargate=trace` [env: STARGATE_LOG] [default: warn]
    #[arg(long, global = true, value_name = "FILTER", hide_short_help = true)]
    pub(crate) log: Option<String>,
}

/// What is wanted.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a run
    Run {
        /// Of what.
        #[command(subcommand)]
        what: RunCommand,
    },
    /// Go on with a run that was interrupted or failed
    Resume(ResumeArgs),
    /// End a run for good
    Cancel(CancelArgs),
    /// Let a step begin that waits for a person, or refuse it
    Approve(ApproveArgs),
    /// Say whether a step in doubt took effect
    Resolve(ResolveArgs),
    /// Show the runs there are, or what happened in one
    History(HistoryArgs),
    /// Show what the steps of a run captured, such as the commands run on a host
    Logs(LogsArgs),
    /// Remove runs that ended long ago from the journal
    Prune(PruneArgs),
    /// Show whether what workflows need from their surroundings is there, changing nothing
    Doctor(DoctorArgs),
    /// Show what a run would change, changing nothing
    Plan(PlanArgs),
    /// Run workflows when they are due, or print what lets cron, systemd or Kubernetes do it
    Schedule(ScheduleArgs),
    /// Tell why a run, or a step of it, failed or waits
    Why(WhyArgs),
    /// Look for mistakes in workflows, all of them at once
    Validate(ValidateArgs),
    /// Show the steps of a workflow and what each waits for
    Graph(GraphArgs),
    /// Show the actions that workflows can use
    Actions(ActionsArgs),
    /// Print the JSON Schema of workflow files, for editors
    Schema,
    #[cfg(feature = "sim")]
    /// Run the simulated world: Azure, a tailnet and hosts on this machine
    Sim(SimArgs),
    #[cfg(feature = "sim")]
    /// Show a run being killed and resumed, in the simulated world
    Demo(DemoArgs),
    /// Print a completion script for a shell
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// What can be run.
#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// Run a workflow
    Workflow(RunArgs),
}

/// Which workflow, with which inputs.
#[derive(Debug, Args)]
pub(crate) struct WorkflowArgs {
    /// A file, or the name of a workflow in ./workflows or of one that ships with stargate
    #[arg(value_name = "NAME|FILE")]
    pub(crate) workflow: String,
    /// With what.
    #[command(flatten)]
    pub(crate) inputs: InputArgs,
}

/// What a workflow is given.
#[derive(Debug, Args)]
pub(crate) struct InputArgs {
    /// A value for an input; lists and maps as JSON, a list of texts also as a,b,c
    #[arg(short = 'i', long = "input", value_name = "NAME=VALUE", value_parser = assignment)]
    pub(crate) single: Vec<(String, String)>,
    /// A YAML or JSON file with a map of inputs; `--input` comes before it
    #[arg(long = "inputs", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("expected NAME=VALUE".into()),
    }
}

/// How many attempts go on at once.
#[derive(Debug, Args)]
pub(crate) struct ParallelArgs {
    /// Attempts of one run at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) max_parallel: u16,
}

/// What is done about locks that other runs hold.
#[derive(Debug, Args)]
pub(crate) struct LockArgs {
    /// How long locks that other runs hold are waited for, such as 10m; without it they end the command with 20
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) wait_for_locks: Option<Duration>,
}

/// How long a run may take.
#[derive(Debug, Args)]
pub(crate) struct TimeoutArgs {
    /// How long this command may take, such as 30m; what is not done by then is let go of, for `resume`, and it ends with 5
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

fn duration(text: &str) -> Result<Duration, String> {
    duration_ms(text).map(Duration::from_millis).ok_or_else(|| "expected a duration such as 30s, 10m or 1h30m".into())
}

/// `run workflow`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Which.
    #[command(flatten)]
    pub(crate) workflow: WorkflowArgs,
    /// How wide.
    #[command(flatten)]
    pub(crate) parallel: ParallelArgs,
    /// How patient.
    #[command(flatten)]
    pub(crate) locks: LockArgs,
    /// For how long.
    #[command(flatten)]
    pub(crate) limit: TimeoutArgs,
}

/// `resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// Id of a run, or @latest; without one, the latest run that has not succeeded
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// Every interrupted run that no living process holds
    #[arg(long, conflicts_with = "run")]
    pub(crate) all: bool,
    /// How wide.
    #[command(flatten)]
    pub(crate) parallel: ParallelArgs,
    /// How patient.
    #[command(flatten)]
    pub(crate) locks: LockArgs,
    /// For how long.
    #[command(flatten)]
    pub(crate) limit: TimeoutArgs,
}

/// What runs a workflow when it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScheduleFormat {
    /// A line for `crontab -e`
    Crontab,
    /// A service and a timer
    Systemd,
    /// A Kubernetes cron job, with a volume for the journal
    Cronjob,
}

/// `schedule`.
#[derive(Debug, Args)]
pub(crate) struct ScheduleArgs {
    /// Files, or names of workflows; without one, those in ./workflows that have a schedule
    #[arg(value_name = "NAME|FILE")]
    pub(crate) workflows: Vec<String>,
    /// With what; of several workflows each gets the inputs that it has.
    #[command(flatten)]
    pub(crate) inputs: InputArgs,
    /// Runs each once, now, and ends: goes on with what was interrupted, else begins anew
    #[arg(long)]
    pub(crate) once: bool,
    /// How long runs that have ended are kept, such as 30d; without it, for ever
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) keep: Option<Duration>,
    /// Prints what runs one workflow by its schedule, in place of running it
    #[arg(long, value_name = "FORMAT", conflicts_with = "once")]
    pub(crate) print: Option<ScheduleFormat>,
    /// How wide.
    #[command(flatten)]
    pub(crate) parallel: ParallelArgs,
    /// How patient.
    #[command(flatten)]
    pub(crate) locks: LockArgs,
    /// For how long.
    #[command(flatten)]
    pub(crate) limit: TimeoutArgs,
}

/// `why`.
#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// Id of a run, or @latest
    #[arg(value_name = "RUN", default_value = "@latest")]
    pub(crate) run: String,
    /// Name of a step, with its key if it has parts: join[worker-1]
    #[arg(value_name = "STEP")]
    pub(crate) step: Option<String>,
}

/// `cancel`.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// Id of a run, or @latest; without one, the only run that has not ended
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,
}

/// A step of a run of which a person says something.
#[derive(Debug, Args)]
pub(crate) struct AskedStepArgs {
    /// Id of a run, or @latest
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// Name of the step, with its key if it has parts: join[worker-1]; without one, the only step that waits for this
    #[arg(value_name = "STEP")]
    pub(crate) step: Option<String>,
}

/// `approve`.
#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// Which.
    #[command(flatten)]
    pub(crate) asked: AskedStepArgs,
    /// The step is not to begin: it fails, and is asked about again when the run is resumed
    #[arg(long)]
    pub(crate) refuse: bool,
    /// Why it is refused
    #[arg(long, value_name = "TEXT", requires = "refuse")]
    pub(crate) reason: Option<String>,
}

/// `resolve`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("outcome").required(true).args(["done", "not_done"]))]
pub(crate) struct ResolveArgs {
    /// Which.
    #[command(flatten)]
    pub(crate) asked: AskedStepArgs,
    /// It took effect: the run goes on behind it
    #[arg(long)]
    pub(crate) done: bool,
    /// What it gave, as JSON, for the steps that refer to it
    #[arg(long, value_name = "JSON", requires = "done", value_parser = json)]
    pub(crate) result: Option<serde_json::Value>,
    /// It did not take effect: it is made when the run is resumed
    #[arg(long)]
    pub(crate) not_done: bool,
}

fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("expected JSON: {error}"))
}

/// `history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Id of a run, or @latest
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// How many runs are listed
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

/// `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Id of a run, or @latest
    #[arg(value_name = "RUN", default_value = "@latest")]
    pub(crate) run: String,
    /// Name of a step, with its key; without a key, all of its parts
    #[arg(value_name = "STEP")]
    pub(crate) step: Option<String>,
    /// Shows only the last lines
    #[arg(long, value_name = "N")]
    pub(crate) tail: Option<usize>,
}

/// `prune`.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// How long ago a run has ended, such as 30d; one that waits, is in doubt or was interrupted is kept
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) older_than: Duration,
}

/// `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Which.
    #[command(flatten)]
    pub(crate) workflow: WorkflowArgs,
}

/// `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Files, or names of workflows, whose actions are meant; without one, all that ship
    #[arg(value_name = "NAME|FILE")]
    pub(crate) workflows: Vec<String>,
}

/// `validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Files, or names of workflows
    #[arg(value_name = "NAME|FILE", required = true)]
    pub(crate) workflows: Vec<String>,
}

/// How a graph is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// One line a step, for people
    Text,
    /// For Graphviz
    Dot,
    /// For Markdown pages
    Mermaid,
}

/// `graph`.
#[derive(Debug, Args)]
pub(crate) struct GraphArgs {
    /// A file, or the name of a workflow
    #[arg(value_name = "NAME|FILE")]
    pub(crate) workflow: String,
    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: GraphFormat,
}

/// `actions`.
#[derive(Debug, Args)]
pub(crate) struct ActionsArgs {
    /// Name of one, to see its input and output
    #[arg(value_name = "ACTION")]
    pub(crate) action: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <CommandLine as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn the_value_of_an_input_may_hold_an_equals_sign() {
        assert_eq!(assignment("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(assignment("a").is_err() && assignment("=b").is_err());
    }
}
