//! Definition of the command line. Doc comments of fields and variants are the help texts: they
//! name the effect and the default.
//!
//! Values are parsed as far as their syntax allows; whether a workflow or a run exists is checked
//! by the commands.

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
const VERSION: &str = stargate_version::version!();

/// Durable workflows that join datacenter machines to an AKS cluster over Tailscale.
///
/// A run that is killed at any point resumes from its journal, and nothing is done twice.
#[derive(Debug, Parser)]
#[command(name = "stargate", version = VERSION, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct CommandLine {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: CliCommand,
}

/// Format of the data that a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Output {
    /// Text and tables for people
    #[default]
    Text,
    /// JSON for programs: one value, or one line per event
    Json,
}

/// Flags that each command accepts.
///
/// A flag overrides its environment variable, and a variable overrides the default.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
#[expect(clippy::doc_markdown, reason = "the help shows these texts literally")]
pub(crate) struct GlobalArgs {
    /// Format of the output
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: Output,
    /// Show all lines that steps capture, such as the commands run on a host [default: only the
    /// last lines of a step that fails]
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Let workflows include files outside of their own folder [default: refuse them]
    #[arg(long, global = true, hide_short_help = true)]
    pub(crate) outer_includes: bool,
    /// Journal file [env: STARGATE_JOURNAL] [default: ~/.local/state/stargate/journal.db]
    #[arg(long, global = true, value_name = "PATH", hide_short_help = true)]
    pub(crate) journal: Option<PathBuf>,
    /// Base URL of Azure Resource Manager [env: STARGATE_AZURE_ENDPOINT] [default: public Azure]
    #[arg(long, global = true, value_name = "URL", hide_short_help = true)]
    pub(crate) azure_endpoint: Option<Url>,
    /// Id of the Azure subscription [env: STARGATE_AZURE_SUBSCRIPTION, AZURE_SUBSCRIPTION_ID]
    #[arg(long, global = true, value_name = "ID", hide_short_help = true)]
    pub(crate) azure_subscription: Option<String>,
    /// Reference to an Azure token, such as env:NAME or file:PATH [env: STARGATE_AZURE_TOKEN]
    /// [default: the environment's credential, a managed identity or az]
    #[arg(long, global = true, value_name = "REFERENCE", hide_short_help = true)]
    pub(crate) azure_token: Option<SecretRef>,
    /// Certificate (PEM) to trust for Azure, in addition to the system's [env: STARGATE_AZURE_CA]
    /// [default: none]
    #[arg(long, global = true, value_name = "PATH", hide_short_help = true)]
    pub(crate) azure_ca: Option<PathBuf>,
    /// Base URL of the Tailscale API [env: STARGATE_TAILSCALE_ENDPOINT] [default: Tailscale's own]
    #[arg(long, global = true, value_name = "URL", hide_short_help = true)]
    pub(crate) tailscale_endpoint: Option<Url>,
    /// Name of the tailnet; `-` is the tailnet of the OAuth client [env:
    /// STARGATE_TAILSCALE_TAILNET] [default: -]
    #[arg(long, global = true, value_name = "NAME", allow_hyphen_values = true, hide_short_help = true)]
    pub(crate) tailscale_tailnet: Option<String>,
    /// Reference to the id of the OAuth client [env: STARGATE_TAILSCALE_CLIENT_ID] [default:
    /// env:TAILSCALE_CLIENT_ID]
    #[arg(long, global = true, value_name = "REFERENCE", hide_short_help = true)]
    pub(crate) tailscale_client_id: Option<SecretRef>,
    /// Reference to the secret of the OAuth client [env: STARGATE_TAILSCALE_CLIENT_SECRET]
    /// [default: env:TAILSCALE_CLIENT_SECRET]
    #[arg(long, global = true, value_name = "REFERENCE", hide_short_help = true)]
    pub(crate) tailscale_client_secret: Option<SecretRef>,
    /// Configuration file for ssh [env: STARGATE_SSH_CONFIG] [default: ~/.ssh/config]
    #[arg(long, global = true, value_name = "PATH", hide_short_help = true)]
    pub(crate) ssh_config: Option<PathBuf>,
    /// Kubeconfig of the cluster [env: STARGATE_KUBECONFIG] [default: KUBECONFIG, or
    /// ~/.kube/config]
    #[arg(long, global = true, value_name = "PATH", hide_short_help = true)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [env: STARGATE_KUBE_CONTEXT] [default: its current context]
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub(crate) kube_context: Option<String>,
    /// Filter for diagnostics on stderr, such as `debug` or `stargate=trace` [env: STARGATE_LOG]
    /// [default: warn]
    #[arg(long, global = true, value_name = "FILTER", hide_short_help = true)]
    pub(crate) log: Option<String>,
}

/// Commands of the program.
#[derive(Debug, Subcommand)]
pub(crate) enum CliCommand {
    /// Start a run
    Run {
        #[command(subcommand)]
        what: RunCommand,
    },
    /// Create or complete the deployment that stargate.yaml describes
    Up(DeploymentArgs),
    /// Remove the deployment that stargate.yaml describes: all that is part of it, and nothing else
    Down(DeploymentArgs),
    /// Resume an interrupted or failed run
    Resume(ResumeArgs),
    /// Execute a step of a run again, with all that depends on it
    Retry(RetryArgs),
    /// End a run permanently
    Cancel(CancelArgs),
    /// Approve or refuse a step that waits for approval
    Approve(ApproveArgs),
    /// Resolve a step in doubt: confirm that it took effect, or that it did not
    Resolve(ResolveArgs),
    /// Show a run that another process executes, until it ends
    Attach(AttachArgs),
    /// List the runs in the journal, or show the entries of one run
    History(HistoryArgs),
    /// Show the lines that the steps of a run captured, such as the commands run on a host
    Logs(LogsArgs),
    /// Remove old runs from the journal
    Prune(PruneArgs),
    /// Check accounts, permissions, endpoints and tools that workflows need; changes nothing
    Doctor(DoctorArgs),
    /// Preview the changes that a run would make; changes nothing
    Plan(PlanArgs),
    /// Measure whether the pods and nodes of the cluster reach each other, with probe pods
    Verify(VerifyArgs),
    /// Trace a packet between two pods or machines through the actual state of all surfaces
    Trace(TraceArgs),
    /// Log in to a registered machine by its recorded address, jump host and pinned key
    Ssh(SshArgs),
    /// Show the state of a deployment: machines, surfaces, room, and runs
    Status(StatusArgs),
    /// Run workflows by their schedule, or print a configuration for cron, systemd or Kubernetes
    Schedule(ScheduleArgs),
    /// Explain why a run or step failed or is waiting
    Why(WhyArgs),
    /// Validate workflows and report all errors
    Validate(ValidateArgs),
    /// Show the steps of a workflow and their dependencies
    Graph(GraphArgs),
    /// List the actions that workflows can use, or describe one
    Actions(ActionsArgs),
    /// List the workflows that can be named, or describe one
    Workflows(WorkflowsArgs),
    /// Print the JSON Schema of workflow files, for editors
    Schema,
    /// Run the simulated world: Azure, a tailnet and hosts on this machine
    #[cfg(feature = "sim")]
    Sim(SimArgs),
    /// Demonstrate runs that are killed and resumed, in the simulated world
    #[cfg(feature = "sim")]
    Demo(DemoArgs),
    /// Print a completion script for a shell
    Completions {
        /// Shell that reads the script
        shell: clap_complete::Shell,
    },
}

/// Kinds of definitions that can be run.
#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// Run a workflow
    Workflow(RunArgs),
}

/// Arguments that name a workflow and its inputs.
#[derive(Debug, Args)]
pub(crate) struct WorkflowArgs {
    /// Workflow: a file, a name in ./workflows, or a name of one that ships with stargate
    #[arg(value_name = "NAME|FILE")]
    pub(crate) workflow: String,
    #[command(flatten)]
    pub(crate) inputs: InputArgs,
}

/// Inputs of a workflow.
#[derive(Debug, Clone, Args)]
pub(crate) struct InputArgs {
    /// Value of an input; lists and maps as JSON, a list of strings also as a,b,c [default: the
    /// input's default]
    #[arg(short = 'i', long = "input", value_name = "NAME=VALUE", value_parser = assignment)]
    pub(crate) single: Vec<(String, String)>,
    /// YAML or JSON file with a map of inputs; `--input` overrides it [default: none]
    #[arg(long = "inputs", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

impl InputArgs {
    /// True if no input is given.
    pub(crate) fn is_empty(&self) -> bool {
        self.single.is_empty() && self.file.is_none()
    }
}

/// Parses `NAME=VALUE`. The value may contain further equals signs.
fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("expected NAME=VALUE".into()),
    }
}

/// Limit of concurrent attempts.
#[derive(Debug, Args)]
pub(crate) struct ParallelArgs {
    /// Maximum number of concurrent attempts of each run
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) max_parallel: u16,
}

/// Behaviour for locks that other runs hold.
#[derive(Debug, Args)]
pub(crate) struct LockArgs {
    /// Maximum time to wait for locks held by other runs, such as 10m [default: do not wait, exit
    /// with 20]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) wait_for_locks: Option<Duration>,
}

/// Limit of the time that a command takes.
#[derive(Debug, Args)]
pub(crate) struct TimeoutArgs {
    /// Maximum duration of this command, such as 30m; then running steps are cancelled, the run can
    /// be resumed, and the exit code is 5 [default: no limit]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

/// Parses a duration in the syntax of workflows.
fn duration(text: &str) -> Result<Duration, String> {
    duration_ms(text).map(Duration::from_millis).ok_or_else(|| "expected a duration such as 30s, 10m or 1h30m".into())
}

/// Arguments of the commands that execute runs.
#[derive(Debug, Args)]
pub(crate) struct ExecutionArgs {
    #[command(flatten)]
    pub(crate) parallel: ParallelArgs,
    #[command(flatten)]
    pub(crate) locks: LockArgs,
    #[command(flatten)]
    pub(crate) limit: TimeoutArgs,
}

/// Arguments of `run workflow`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Workflow: a file, a name in ./workflows, or a name of one that ships with stargate [default:
    /// that of the plan]
    #[arg(value_name = "NAME|FILE", required_unless_present = "plan")]
    pub(crate) workflow: Option<String>,
    #[command(flatten)]
    pub(crate) inputs: InputArgs,
    /// File that `plan --out` has written: run exactly that plan, and refuse it if the actual
    /// state, the workflow or an input has changed [default: make a new plan]
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,
    /// Delete machines without asking [default: on a terminal, the run asks before it starts]
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) execution: ExecutionArgs,
}

/// Arguments of `resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// Id of a run, or @latest [default: the latest run that has neither succeeded nor been
    /// cancelled nor overtaken]
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// Resume each interrupted run that has no live owner and is not overtaken
    #[arg(long, conflicts_with = "run")]
    pub(crate) all: bool,
    /// Take the run from a process that exists but has let its lease expire, such as a stopped one
    #[arg(long, requires = "run")]
    pub(crate) take_over: bool,
    /// Resume the run although a later one has held one of its locks [default: exit with 21]
    #[arg(long, requires = "run")]
    pub(crate) overtaken: bool,
    #[command(flatten)]
    pub(crate) execution: ExecutionArgs,
}

/// Arguments of `retry`.
#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// Id of a run, or @latest
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// Name of a step, of an instance (join[worker-1]), or of a step that includes a workflow
    #[arg(value_name = "STEP")]
    pub(crate) step: String,
    /// Execute the steps without showing them first and asking
    #[arg(long)]
    pub(crate) yes: bool,
    /// Open the run again although a later one has held one of its locks [default: exit with 21]
    #[arg(long)]
    pub(crate) overtaken: bool,
    #[command(flatten)]
    pub(crate) execution: ExecutionArgs,
}

/// Format of a schedule for another program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScheduleFormat {
    /// A line for `crontab -e`
    Crontab,
    /// A service and a timer
    Systemd,
    /// A Kubernetes cron job, with a volume for the journal
    Cronjob,
}

/// Arguments of `schedule`.
#[derive(Debug, Args)]
pub(crate) struct ScheduleArgs {
    /// Workflows: files or names [default: those in ./workflows that have a schedule]
    #[arg(value_name = "NAME|FILE")]
    pub(crate) workflows: Vec<String>,
    #[command(flatten)]
    pub(crate) inputs: InputArgs,
    /// Run each workflow once, now, and exit: cancel its interrupted run and start a new one
    #[arg(long)]
    pub(crate) once: bool,
    /// Time for which ended runs are kept, such as 30d; older ones are removed from the journal
    /// [default: forever]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) keep: Option<Duration>,
    /// Maximum random delay before each run, such as 30s [default: none]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) jitter: Option<Duration>,
    /// Start a workflow at once if it was due since its last run, as while this program was not
    /// running [default: when it is due next]
    #[arg(long, conflicts_with = "once")]
    pub(crate) catch_up: bool,
    /// Print a configuration that runs one workflow by its schedule, instead of running it
    #[arg(long, value_name = "FORMAT", conflicts_with = "once")]
    pub(crate) print: Option<ScheduleFormat>,
    #[command(flatten)]
    pub(crate) execution: ExecutionArgs,
}

/// Arguments of `why`.
#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// Id of a run, or @latest
    #[arg(value_name = "RUN", default_value = "@latest")]
    pub(crate) run: String,
    /// Name of a step, with the key of an instance: join[worker-1] [default: the steps that are
    /// neither done nor blocked]
    #[arg(value_name = "STEP")]
    pub(crate) step: Option<String>,
}

/// Arguments of `cancel`.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// Id of a run, or @latest [default: the only run that has not ended]
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// Do not execute the steps under `finally` of a run that no process executes
    #[arg(long)]
    pub(crate) skip_finally: bool,
}

/// Arguments that name a step which needs an answer.
#[derive(Debug, Args)]
pub(crate) struct StepSelector {
    /// Id of a run, or @latest
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// Name of a step, with the key of an instance: join[worker-1] [default: the only step that
    /// needs this answer]
    #[arg(value_name = "STEP")]
    pub(crate) step: Option<String>,
}

/// Arguments of `approve`.
#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    #[command(flatten)]
    pub(crate) selector: StepSelector,
    /// Refuse the step: it fails, and requires approval again when the run is resumed
    #[arg(long)]
    pub(crate) refuse: bool,
    /// Reason for the refusal, shown with the step's error [default: none]
    #[arg(long, value_name = "TEXT", requires = "refuse")]
    pub(crate) reason: Option<String>,
}

/// Arguments of `resolve`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("outcome").required(true).args(["done", "not_done"]))]
pub(crate) struct ResolveArgs {
    #[command(flatten)]
    pub(crate) selector: StepSelector,
    /// Record that the step took effect: the run continues with the steps that depend on it
    #[arg(long)]
    pub(crate) done: bool,
    /// Output of the step as JSON, for the steps that refer to it [default: null]
    #[arg(long, value_name = "JSON", requires = "done", value_parser = json)]
    pub(crate) result: Option<serde_json::Value>,
    /// Record that the step did not take effect: it is executed when the run is resumed
    #[arg(long)]
    pub(crate) not_done: bool,
}

/// Parses any JSON value.
fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("expected JSON: {error}"))
}

/// Names of the statuses of a run.
const STATUSES: [&str; 7] =
    ["running", "interrupted", "succeeded", "failed", "in_doubt", "waiting_for_approval", "cancelled"];

/// Arguments of `attach`.
#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// Id of a run, or @latest
    #[arg(value_name = "RUN", default_value = "@latest")]
    pub(crate) run: String,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Id of a run, or @latest [default: list all runs]
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// List only runs of this workflow [default: of all]
    #[arg(long, value_name = "NAME", conflicts_with = "run")]
    pub(crate) workflow: Option<String>,
    /// List only runs with this status [default: with any]
    #[arg(long, value_name = "STATUS", conflicts_with = "run", value_parser = STATUSES)]
    pub(crate) status: Option<String>,
    /// Maximum number of runs to list, newest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Id of a run, or @latest
    #[arg(value_name = "RUN", default_value = "@latest")]
    pub(crate) run: String,
    /// Name of a step, with the key of an instance; without a key, all its instances [default: all
    /// steps]
    #[arg(value_name = "STEP")]
    pub(crate) step: Option<String>,
    /// Show only the last N lines [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) tail: Option<usize>,
    /// Show further lines as they are captured, until the run ends
    #[arg(long, short)]
    pub(crate) follow: bool,
}

/// Arguments of `prune`.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Minimum time since a run ended, such as 30d; runs that are interrupted, in doubt or waiting
    /// for approval are kept
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) older_than: Duration,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Workflow: a file, a name in ./workflows, or a name of one that ships with stargate [default:
    /// deploy with the inputs of ./stargate.yaml]
    #[arg(value_name = "NAME|FILE")]
    pub(crate) workflow: Option<String>,
    #[command(flatten)]
    pub(crate) inputs: InputArgs,
    /// File to write the plan to, for `up --plan FILE` and `run workflow --plan FILE` [default:
    /// none]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Arguments of `up` and `down`.
#[derive(Debug, Args)]
pub(crate) struct DeploymentArgs {
    #[command(flatten)]
    pub(crate) inputs: InputArgs,
    /// Make the changes without showing them first and asking
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// File that `plan --out` has written: make exactly those changes without asking, and refuse if
    /// the actual state, the workflow or an input has changed [default: make a new plan]
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) execution: ExecutionArgs,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Node of interest: only pairs with at least one of these are asked; can be repeated [default:
    /// all nodes]
    #[arg(long = "node", value_name = "NAME")]
    pub(crate) nodes: Vec<String>,
    /// Number of nodes up to which all pairs are asked; of more nodes a sample [default: 20]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) max_nodes: Option<u32>,
    /// Questions in addition to those between pods, separated by commas [default:
    /// nodes,service,dns,kubelet]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) checks: Option<Vec<String>>,
    /// Image of the probe pods: agnhost of the Kubernetes project, or a mirror of it [default:
    /// that of the workflow verify-connectivity]
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: Option<String>,
    /// Namespace of the probe pods [default: default]
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// AKS cluster in which the ways of pairs that do not answer are traced, as by `trace`
    /// [default: none is traced]
    #[arg(long, value_name = "NAME", requires = "cluster_resource_group")]
    pub(crate) cluster: Option<String>,
    /// Resource group of the AKS cluster
    #[arg(long, value_name = "NAME", requires = "cluster")]
    pub(crate) cluster_resource_group: Option<String>,
    /// File to write the result to, as XML test results for CI [default: none]
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) limit: TimeoutArgs,
}

/// Arguments of `trace`.
#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// End that sends the request: `NAMESPACE/POD`, a pod of the namespace default, a node, a
    /// registered machine, or an address of one of them
    #[arg(value_name = "FROM")]
    pub(crate) from: String,
    /// End that answers, in the same form
    #[arg(value_name = "TO")]
    pub(crate) to: String,
    /// TCP port of the connection, which rules of security groups can name [default: 80]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    #[command(flatten)]
    pub(crate) inputs: InputArgs,
    #[command(flatten)]
    pub(crate) limit: TimeoutArgs,
}

/// Arguments of `ssh`.
#[derive(Debug, Args)]
pub(crate) struct SshArgs {
    /// Name of a registered router or worker
    #[arg(value_name = "MACHINE")]
    pub(crate) machine: String,
    /// Command that the machine's shell runs, and its arguments [default: a login shell]
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) inputs: InputArgs,
    /// Time after which the state is read and shown again, such as 30s [default: it is shown once]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) watch: Option<Duration>,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Workflows whose requirements are checked: files or names [default: all that ship with
    /// stargate]
    #[arg(value_name = "NAME|FILE")]
    pub(crate) workflows: Vec<String>,
    /// Also check each registered machine: preflight, clock, certificates, end of its device's key
    #[arg(long)]
    pub(crate) hosts: bool,
}

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Workflows: files, names, folders with YAML files, or - for standard input
    #[arg(value_name = "NAME|FILE|FOLDER|-", required = true)]
    pub(crate) workflows: Vec<String>,
    /// Inputs, with which a single workflow is checked as well
    #[command(flatten)]
    pub(crate) inputs: InputArgs,
}

/// Format of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// One line per step
    Text,
    /// Input for Graphviz
    Dot,
    /// Diagram for Markdown pages
    Mermaid,
}

/// Arguments of `graph`.
#[derive(Debug, Args)]
pub(crate) struct GraphArgs {
    /// Workflow: a file or a name
    #[arg(value_name = "NAME|FILE")]
    pub(crate) workflow: String,
    /// Format of the graph; ignored with `--output json`
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: GraphFormat,
}

/// Arguments of `actions`.
#[derive(Debug, Args)]
pub(crate) struct ActionsArgs {
    /// Name of an action whose input and output are shown [default: list all actions]
    #[arg(value_name = "ACTION")]
    pub(crate) action: Option<String>,
}

/// Arguments of `workflows`.
#[derive(Debug, Args)]
pub(crate) struct WorkflowsArgs {
    /// Workflow that is described with its inputs: a name or a file [default: list all workflows]
    #[arg(value_name = "NAME|FILE")]
    pub(crate) workflow: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <CommandLine as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn an_input_value_can_contain_an_equals_sign() {
        assert_eq!(assignment("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(assignment("a").is_err() && assignment("=b").is_err());
    }
}
