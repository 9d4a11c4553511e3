//! Implementation of the command `verify`: a run of the workflow `verify-connectivity`.
//!
//! JSON: `{run, report, failures, exit}`; `report` is the output of
//! `kubernetes.connectivity.measure`, and `null` if there is none.

use serde_json::{Value, json};
use stargate::{engine::RunReport, id::RunId, workflow::GivenInputs};

use crate::{
    cli::{
        Failure, Settings,
        args::{Output, VerifyArgs},
        connectivity::ShownReport,
        exit::Exit,
        final_report, hint, reporter, runs,
        session::{RunResult, Session},
        ui,
        workflow_text::WorkflowText,
    },
    wiring,
};

/// Workflow that is run.
const WORKFLOW: &str = "verify-connectivity";
/// Step of the workflow whose output is the report.
const MEASUREMENT: &str = "measurement";
/// Maximum number of concurrent attempts: the workflow has one step that takes time.
const MAX_PARALLEL: u16 = 1;

/// Command `verify`: runs probe pods and shows which pairs answer. The exit code is 3 if a question
/// was not answered as it should be.
pub(crate) async fn verify(settings: &Settings, args: &VerifyArgs) -> Result<Exit, Failure> {
    let text = WorkflowText::shipped(WORKFLOW)?;
    let actions = wiring::build(settings)?;
    let checked = text.validate(&actions.0)?;
    let plan = WorkflowText::plan(&checked, &inputs(args))?;
    let session = Session::open(settings, actions, MAX_PARALLEL).await?.with_timeout(&args.limit);
    let view = reporter::for_people(settings);
    let result = session.run_to_end(view, |engine| async move { engine.run(plan).await }).await?;
    let RunResult { value, summary, timed_out } = result;
    let finished = value?;
    let Some(output) = measurement(&session, &finished.run).await? else {
        return Ok(match settings.output {
            Output::Text => final_report::conclude(Output::Text, finished, &summary, timed_out),
            Output::Json => without_report(&finished, timed_out),
        });
    };
    let report: ShownReport = serde_json::from_value(output.clone())
        .map_err(|error| Failure::internal(format!("read the report of run {}: {error}", finished.run)))?;
    write_junit(args, &report)?;
    let exit = if report.failures() == 0 { Exit::Success } else { Exit::Failed };
    show(settings, &finished.run, &output, &report, exit);
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

/// Output of the measurement; `None` if it has not succeeded.
async fn measurement(session: &Session, run: &RunId) -> Result<Option<Value>, Failure> {
    let stored = session.journal.load(run.clone()).await?;
    let plan = runs::plan_of(&stored)?;
    let step = plan.steps.iter().position(|step| step.name == MEASUREMENT);
    Ok(step.and_then(|step| runs::state_of(&stored, &plan).ok()?.output(step).cloned()))
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
        return ui::out_json_pretty(&json!({ "run": run, "report": output, "failures": [], "exit": exit.code() }));
    }
    report.lines().iter().for_each(|line| ui::out(line));
    if exit != Exit::Success {
        ui::hint("run `stargate plan sync-pod-routes` to see which surface differs");
    }
}

/// Prints the errors of a run without a report as JSON and returns the exit code.
fn without_report(finished: &RunReport, timed_out: bool) -> Exit {
    let exit = final_report::exit_of(finished.ending, timed_out);
    let failures = final_report::failures_json(finished);
    let (run, code) = (&finished.run, exit.code());
    ui::out_json_pretty(&json!({ "run": run, "report": null, "failures": failures, "exit": code }));
    ui::hint(&hint::history(run));
    exit
}
