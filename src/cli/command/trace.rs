//! Implementation of the command `trace`: a run of the workflow `trace-path`.
//!
//! JSON: `{run, report, failures, exit}`; `report` is the output of `routes.path.trace`, and `null`
//! if there is none.

use serde::Deserialize;
use serde_json::json;

use crate::cli::{
    Failure, Settings,
    args::{Output, TraceArgs},
    exit::Exit,
    inputs,
    shipped_run::{ShippedWorkflow, show_json},
    ui::{self, Tone},
};

/// Workflow that is run.
const WORKFLOW: ShippedWorkflow = ShippedWorkflow { name: "trace-path", step: "trace", max_parallel: 8 };

/// The parts of a trace that are shown.
#[derive(Debug, Deserialize)]
struct ShownTrace {
    from: String,
    to: String,
    verdict: ShownVerdict,
    request: Vec<ShownHop>,
    reply: Vec<ShownHop>,
    fault: Option<ShownFault>,
    unread: Vec<String>,
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

/// Command `trace`: shows the way of a request and its reply. The exit code is 3 unless both pass.
pub(crate) async fn trace(settings: &Settings, args: &TraceArgs) -> Result<Exit, Failure> {
    let given = |workflow: &_| {
        let mut given = inputs::read(&args.inputs, workflow)?;
        given.set_argument("from", &args.from, args.from.as_str().into());
        given.set_argument("to", &args.to, args.to.as_str().into());
        if let Some(port) = args.port {
            given.set_argument("port", &port.to_string(), port.into());
        }
        Ok(given)
    };
    let run = WORKFLOW.run(settings, given, &args.limit).await?;
    let (run, output) = match run.output_or_exit(settings.output) {
        Ok(result) => result,
        Err(exit) => return Ok(exit),
    };
    let trace: ShownTrace = serde_json::from_value(output.clone())
        .map_err(|error| Failure::internal(format!("read the trace of run {run}: {error}")))?;
    let exit = if trace.verdict == ShownVerdict::Passes { Exit::Success } else { Exit::Failed };
    match settings.output {
        Output::Json => show_json(&run, &output, &json!([]), exit),
        Output::Text => show(&trace),
    }
    Ok(exit)
}

/// Prints both ways, what could not be read, and the fault.
fn show(trace: &ShownTrace) {
    ui::out(&format!("request from {} to {}", trace.from, trace.to));
    show_hops(&trace.request, trace.fault.as_ref().filter(|fault| !fault.of_reply));
    if !trace.reply.is_empty() {
        ui::out(&format!("reply from {} to {}", trace.to, trace.from));
        show_hops(&trace.reply, trace.fault.as_ref().filter(|fault| fault.of_reply));
    }
    for unread in &trace.unread {
        ui::out(&format!("{} {unread}", ui::paint_out(Tone::Notable, "not read:")));
    }
    let (tone, text) = match trace.verdict {
        ShownVerdict::Passes => (Tone::Good, "request and reply pass"),
        ShownVerdict::Blocked => (Tone::Bad, "blocked"),
        ShownVerdict::Unknown => (Tone::Notable, "not known: what was read lets both pass"),
    };
    ui::out(&ui::paint_out(tone, text));
    if let Some(ShownFault { command, .. }) = &trace.fault {
        ui::hint(command);
    }
}

fn show_hops(hops: &[ShownHop], fault: Option<&ShownFault>) {
    for (number, ShownHop { at, text }) in hops.iter().enumerate() {
        let colon = if text.is_empty() { "" } else { ": " };
        ui::out(&format!("  hop {}: {at}{colon}{text}", number + 1));
    }
    if let Some(ShownFault { object, expected, found, .. }) = fault {
        let label = ui::paint_out(Tone::Bad, "blocked by");
        ui::out(&format!("  {label} {object}: expected {expected}, found {found}"));
    }
}
