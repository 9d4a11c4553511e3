//! Implementation of the command `validate`.
//!
//! A workflow that cannot be read is reported, and the others are validated. Exit code 65 if a
//! workflow has errors or cannot be read, 64 if there is no workflow of that name. JSON: a list of
//! `{file, valid, diagnostics, error, hint}`.

use serde_json::{Value, json};
use stargate::workflow::Diagnostics;

use crate::{
    cli::{
        Failure, Settings,
        args::{Output, ValidateArgs},
        diagnostics,
        exit::Exit,
        format, ui,
        workflow_text::WorkflowText,
    },
    wiring,
};

/// Command `validate`: reports all errors in the named workflows, with their positions.
pub(crate) fn validate(settings: &Settings, args: &ValidateArgs) -> Result<Exit, Failure> {
    let (registry, _) = wiring::build(settings)?;
    let (mut worst, mut errors, mut reports) = (Exit::Success, 0, Vec::new());
    for name in &args.workflows {
        let text = match WorkflowText::find(name) {
            Ok(text) => text,
            Err(failure) => {
                worst = worst.max(failure.exit());
                reports.push(unread(settings.output, name, &failure));
                continue;
            }
        };
        let checked = text.check(&registry);
        reports.push(report(&text, checked.as_ref().err()));
        match &checked {
            Ok(checked) if settings.output == Output::Text => {
                let steps = format::plural(checked.workflow().steps.len(), "step");
                ui::out(&format!("{}: no errors, {steps}", text.name()));
            }
            Ok(_) => {}
            Err(found) => {
                worst = worst.max(Exit::Invalid);
                errors += found.iter().count();
                if settings.output == Output::Text {
                    diagnostics::show(found);
                }
            }
        }
    }
    if settings.output == Output::Json {
        ui::out_json_pretty(&reports);
    }
    if errors > 0 {
        let workflows = format::plural(args.workflows.len(), "workflow");
        ui::err(&format!("{} in {workflows}", format::plural(errors, "error")));
        ui::hint("correct the underlined text, then run the same command again");
    }
    Ok(worst)
}

/// Returns the report on a workflow that was read.
fn report(text: &WorkflowText, found: Option<&Diagnostics>) -> Value {
    json!({ "file": text.name(), "valid": found.is_none(), "diagnostics": found.map_or(json!([]), |found| json!(found)) })
}

/// Shows a workflow that cannot be read, and returns the report on it.
fn unread(output: Output, name: &str, failure: &Failure) -> Value {
    if output == Output::Text {
        failure.show();
    }
    let (error, hint) = (failure.to_string(), failure.hint());
    json!({ "file": name, "valid": false, "diagnostics": [], "error": error, "hint": hint })
}
