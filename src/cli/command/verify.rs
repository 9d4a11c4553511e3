//! Implementation of the command `verify`: a run of the workflow `verify-connectivity`.
//!
//! JSON: `{run, report, failures, exit}`; `report` is the output of
//! `kubernetes.connectivity.measure`, and `null` if there is none.

use serde_json::{Value, json};
use stargate::{id::RunId, workflow::GivenInputs};

use crate::cli::{
    Failure, Settings,
    args::{Output, VerifyArgs},
    connectivity::ShownReport,
    exit::Exit,
    shipped_run::{ShippedWorkflow, show_json},
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
    show(settings, &run, &output, &report, exit);
    Ok(exit)
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

fn show(settings: &Settings, run: &RunId, output: &Value, report: &ShownReport, exit: Exit) {
    if settings.output == Output::Json {
        return show_json(run, output, &json!([]), exit);
    }
    report.lines().iter().for_each(|line| ui::out(line));
    if exit != Exit::Success {
        ui::hint(
            "run `stargate plan sync-pod-routes` to see which surface differs, or `stargate trace FROM TO` for a pair",
        );
    }
}
