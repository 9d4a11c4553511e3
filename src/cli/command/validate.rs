//! Implementation of the command `validate`.
//!
//! Exit code 65 if a workflow has errors. JSON: a list of `{file, valid, diagnostics}`.

use serde_json::{Value, json};

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
    let texts: Vec<_> = args.workflows.iter().map(|name| WorkflowText::find(name)).collect::<Result<_, _>>()?;
    let mut errors = 0;
    let mut reports = Vec::new();
    for text in &texts {
        let checked = text.check(&registry);
        errors += checked.as_ref().err().map_or(0, |found| found.iter().count());
        match (settings.output, checked) {
            (Output::Json, Ok(_)) => reports.push(report(text, &json!([]))),
            (Output::Json, Err(found)) => reports.push(report(text, &json!(found))),
            (Output::Text, Ok(checked)) => {
                ui::out(&format!(
                    "{}: no errors, {}",
                    text.name(),
                    format::plural(checked.workflow().steps.len(), "step")
                ));
            }
            (Output::Text, Err(found)) => diagnostics::show(&found),
        }
    }
    if settings.output == Output::Json {
        ui::out_json_pretty(&reports);
    }
    if errors == 0 {
        return Ok(Exit::Success);
    }
    ui::err(&format!("{} in {}", format::plural(errors, "error"), format::plural(texts.len(), "workflow")));
    ui::hint("correct the underlined text, then run the same command again");
    Ok(Exit::Invalid)
}

/// Returns the report on one file.
fn report(text: &WorkflowText, diagnostics: &Value) -> Value {
    json!({ "file": text.name(), "valid": diagnostics == &json!([]), "diagnostics": diagnostics })
}
