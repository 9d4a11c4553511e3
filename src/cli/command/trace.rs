//! Implementation of the command `trace`: a run of the workflow `trace-path`.
//!
//! JSON: `{run, report, failures, exit}`; `report` is the output of `routes.path.trace`, and `null`
//! if there is none.

use serde::Deserialize;
use serde_json::{Value, json};
use stargate::{
    id::RunId,
    workflow::{GivenInputs, Workflow},
};

use crate::cli::{
    Failure, Settings,
    args::{Output, TimeoutArgs, TraceArgs},
    exit::Exit,
    inputs,
    shipped_run::{ShippedWorkflow, show_json},
    ui::{self, Tone},
};

/// Workflow that is run.
const WORKFLOW: ShippedWorkflow = ShippedWorkflow { name: "trace-path", step: "trace", max_parallel: 8 };

/// The parts of a trace that are shown.
#[derive(Debug, Deserialize)]
pub(crate) struct ShownTrace {
    from: String,
    to: String,
    verdict: ShownVerdict,
    request: Vec<ShownHop>,
    reply: Vec<ShownHop>,
    fault: Option<ShownFault>,
    unread: Vec<String>,
    #[serde(default)]
    deviations: Vec<ShownDeviation>,
}

#[derive(Debug, Deserialize)]
struct ShownDeviation {
    object: String,
    expected: String,
    found: String,
    command: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ShownVerdict {
    Passes,
    Blocked,
    Unknown,
}

#[derive(Debug, Deserialize)]
struct ShownHop {
    at: String,
    text: String,
}

#[derive(Debug, Deserialize)]
struct ShownFault {
    of_reply: bool,
    object: String,
    expected: String,
    found: String,
    command: String,
}

/// Result of a trace.
pub(crate) struct Trace {
    run: RunId,
    /// Output of `routes.path.trace`.
    pub(crate) output: Value,
    pub(crate) shown: ShownTrace,
}

/// Command `trace`: shows the way of a request and its reply. The exit code is 3 unless both pass.
pub(crate) async fn trace(settings: &Settings, args: &TraceArgs) -> Result<Exit, Failure> {
    let given = |workflow: &_| {
        let mut given = inputs::read(&args.inputs, workflow)?;
        if let Some(port) = args.port {
            given.set_argument("port", &port.to_string(), port.into());
        }
        Ok(given)
    };
    let trace = match run(settings, [&args.from, &args.to], given, (&args.limit, settings.output)).await? {
        Ok(trace) => trace,
        Err(exit) => return Ok(exit),
    };
    let exit = if trace.shown.verdict == ShownVerdict::Passes { Exit::Success } else { Exit::Failed };
    match settings.output {
        Output::Json => show_json(&trace.run, &trace.output, &json!([]), exit),
        Output::Text => trace.shown.show(),
    }
    if let Some(ShownFault { command, .. }) = trace.shown.fault.as_ref().filter(|_| settings.output == Output::Text) {
        ui::hint(command);
    }
    Ok(exit)
}

/// Runs the workflow for two ends. If it fails, its end has been shown in the format `failure`, and
/// the exit code is returned.
pub(crate) async fn run(
    settings: &Settings,
    [from, to]: [&str; 2],
    given: impl FnOnce(&Workflow) -> Result<GivenInputs, Failure>,
    (limit, failure): (&TimeoutArgs, Output),
) -> Result<Result<Trace, Exit>, Failure> {
    let given = |workflow: &Workflow| {
        let mut given = given(workflow)?;
        given.set_argument("from", from, from.into());
        given.set_argument("to", to, to.into());
        Ok(given)
    };
    let (run, output) = match WORKFLOW.run(settings, given, limit).await?.output_or_exit(failure) {
        Ok(result) => result,
        Err(exit) => return Ok(Err(exit)),
    };
    let shown = serde_json::from_value(output.clone())
        .map_err(|error| Failure::internal(format!("read the trace of run {run}: {error}")))?;
    Ok(Ok(Trace { run, output, shown }))
}

impl ShownTrace {
    /// Prints both ways, what could not be read, and the fault.
    pub(crate) fn show(&self) {
        ui::out(&format!("request from {} to {}", self.from, self.to));
        show_hops(&self.request, self.fault.as_ref().filter(|fault| !fault.of_reply));
        if !self.reply.is_empty() {
            ui::out(&format!("reply from {} to {}", self.to, self.from));
            show_hops(&self.reply, self.fault.as_ref().filter(|fault| fault.of_reply));
        }
        for unread in &self.unread {
            ui::out(&format!("{} {unread}", ui::paint_out(Tone::Notable, "not read:")));
        }
        for ShownDeviation { object, expected, found, command } in &self.deviations {
            let label = ui::paint_out(Tone::Notable, "differs, and drops nothing:");
            ui::out(&format!("{label} {object}: expected {expected}, found {found}; {command}"));
        }
        let (tone, text) = match self.verdict {
            ShownVerdict::Passes => (Tone::Good, "request and reply pass"),
            ShownVerdict::Blocked => (Tone::Bad, "blocked"),
            ShownVerdict::Unknown => (Tone::Notable, "not known: what was read lets both pass"),
        };
        ui::out(&ui::paint_out(tone, text));
    }
}

fn show_hops(hops: &[ShownHop], fault: Option<&ShownFault>) {
    for (number, ShownHop { at, text }) in hops.iter().enumerate() {
        let colon = if text.is_empty() { "" } else { ": " };
        ui::out(&format!("  hop {}: {at}{colon}{text}", number + 1));
    }
    if let Some(ShownFault { object, expected, found, command, .. }) = fault {
        let label = ui::paint_out(Tone::Bad, "blocked by");
        ui::out(&format!("  {label} {object}: expected {expected}, found {found}; {command}"));
    }
}
