//! Implementation of the command `validate`.
//!
//! A workflow that cannot be read is reported, and the others are validated. Exit code 65 if a
//! workflow has errors or cannot be read, 64 if there is no workflow of that name; warnings do not
//! count. JSON: a list of `{file, valid, diagnostics, warnings, error, hint}`.

use serde_json::{Value, json};
use stargate::{plan::Checked, workflow::Diagnostics};

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
        reports.push(report(&text, &checked));
        match &checked {
            Ok(checked) if settings.output == Output::Text => show_valid(&text, checked),
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

/// Prints the warnings about a workflow without errors, and its number of steps.
fn show_valid(text: &WorkflowText, checked: &Checked) {
    diagnostics::show(checked.warnings());
    let warnings = match checked.warnings().len() {
        0 => String::new(),
        count => format!("{}, ", format::plural(count, "warning")),
    };
    let steps = format::plural(checked.workflow().steps.len(), "step");
    ui::out(&format!("{}: no errors, {warnings}{steps}", text.name()));
}

/// Returns the report on a workflow that was read.
fn report(text: &WorkflowText, checked: &Result<Checked, Diagnostics>) -> Value {
    let (diagnostics, warnings) = match checked {
        Ok(checked) => (json!([]), json!(checked.warnings())),
        Err(found) => (json!(found), json!([])),
    };
    json!({ "file": text.name(), "valid": checked.is_ok(), "diagnostics": diagnostics, "warnings": warnings })
}

/// Shows a workflow that cannot be read, and returns the report on it.
fn unread(output: Output, name: &str, failure: &Failure) -> Value {
    if output == Output::Text {
        failure.show();
    }
    let (error, hint) = (failure.to_string(), failure.hint());
    json!({ "file": name, "valid": false, "diagnostics": [], "warnings": [], "error": error, "hint": hint })
}
