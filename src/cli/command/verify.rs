//! Implementation of the command `verify`: a run of the workflow `verify-connectivity`.
//!
//! JSON: `{run, report, failures, traces, exit}`; `report` is the output of
//! `kubernetes.connectivity.measure`, and `null` if there is none. `traces` are outputs of
//! `routes.path.trace`, of pairs that did not answer.

use serde_json::{Value, json};
use stargate::{id::RunId, workflow::GivenInputs};

use super::trace::{self, Trace};
use crate::cli::{
    Failure, Settings,
    args::{Output, VerifyArgs},
    connectivity::ShownReport,
    exit::Exit,
    shipped_run::ShippedWorkflow,
    ui,
};

/// Workflow that is run. It has one step that takes time.
const WORKFLOW: ShippedWorkflow = ShippedWorkflow { name: "verify-connectivity", step: "measurement", max_parallel: 1 };

/// Command `verify`: runs probe pods and shows which pairs answer. The exit code is 3 if a question
/// was not answered as it should be.
pub(crate) async fn verify(settings: &Settings, args: &VerifyArgs) -> Result<Exit, Failure> {
    let run = WORKFLOW.run(settings, |_| Ok(inputs(args)), &args.limit).await?;
    let (run, output) = match run.output_or_exit(settings.output) {
        Ok(result) => result,
        Err(exit) => return Ok(exit),
    };
    let report: ShownReport = serde_json::from_value(output.clone())
        .map_err(|error| Failure::internal(format!("read the report of run {run}: {error}")))?;
    write_junit(args, &report)?;
    let exit = if report.failures() == 0 { Exit::Success } else { Exit::Failed };
    match settings.output {
        Output::Json => {
            let mut traces = Vec::new();
            for trace in traces_of(settings, args, &report).await? {
                traces.push(trace.output);
            }
            show_json(&run, &output, &traces, exit);
        }
        Output::Text => {
            report.lines().iter().for_each(|line| ui::out(line));
            for trace in traces_of(settings, args, &report).await? {
                trace.shown.show();
            }
            if exit != Exit::Success {
                ui::hint(&next(args));
            }
        }
    }
    Ok(exit)
}

/// Traces one pair of each two sites between which packets do not arrive, if the cluster is given.
async fn traces_of(settings: &Settings, args: &VerifyArgs, report: &ShownReport) -> Result<Vec<Trace>, Failure> {
    let (Some(cluster), Some(group)) = (&args.cluster, &args.cluster_resource_group) else { return Ok(Vec::new()) };
    let mut traces = Vec::new();
    for ends in report.dead_pairs() {
        let given = |_: &_| {
            let mut given = GivenInputs::default();
            for (name, value) in [("cluster", cluster), ("cluster_resource_group", group)] {
                given.set_argument(name, value, value.as_str().into());
            }
            Ok(given)
        };
        // A trace that fails prints its error on stderr.
        traces.extend(trace::run(settings, ends, given, (&args.limit, Output::Text)).await?.ok());
    }
    Ok(traces)
}

/// The command that shows more about a pair that does not answer.
fn next(args: &VerifyArgs) -> String {
    let surfaces = "run `stargate plan sync-pod-routes` to see which surface differs";
    match args.cluster {
        Some(_) => surfaces.to_owned(),
        None => format!("{surfaces}, or `stargate trace FROM TO` for the way between two nodes"),
    }
}

fn show_json(run: &RunId, report: &Value, traces: &[Value], exit: Exit) {
    ui::out_json_pretty(
        &json!({ "run": run, "report": report, "failures": [], "traces": traces, "exit": exit.code() }),
    );
}

/// Inputs of the workflow. The run succeeds whatever is measured: there is nothing to resume.
fn inputs(args: &VerifyArgs) -> GivenInputs {
    let mut inputs = GivenInputs::default();
    let mut set = |name: &str, value: Value| inputs.set_argument(name, &value.to_string(), value);
    set("fail", json!(false));
    set("nodes", json!(args.nodes));
    let given = [
        ("max_nodes", args.max_nodes.map(Value::from)),
        ("checks", args.checks.as_ref().map(|checks| json!(checks))),
        ("image", args.image.as_deref().map(Value::from)),
        ("namespace", args.namespace.as_deref().map(Value::from)),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            set(name, value);
        }
    }
    inputs
}

fn write_junit(args: &VerifyArgs, report: &ShownReport) -> Result<(), Failure> {
    let Some(path) = &args.junit else { return Ok(()) };
    std::fs::write(path, report.junit()).map_err(|error| {
        let message = format!("cannot write {}: {error}", path.display());
        Failure::new(Exit::Internal, message, "use the path of a file that can be written")
    })
}
