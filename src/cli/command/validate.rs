//! Implementation of the command `validate`.
//!
//! A workflow that cannot be read is reported, and the others are validated; of a folder, each
//! YAML file. Exit code 65 if a workflow has errors or cannot be read, 64 if there is no workflow
//! of that name; warnings do not count. JSON: a list of `{file, valid, diagnostics, warnings,
//! error, hint}`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stargate::{plan::Checked, workflow::Diagnostics};

use crate::{
    cli::{
        Failure, Settings,
        args::{InputArgs, Output, ValidateArgs},
        diagnostics,
        exit::Exit,
        format, inputs,
        text_file::STANDARD_INPUT,
        ui,
        workflow_text::WorkflowText,
        yaml_files::{self, UnreadableFolder},
    },
    wiring,
};

/// Command `validate`: reports all errors in the named workflows, with their positions.
pub(crate) fn validate(settings: &Settings, args: &ValidateArgs) -> Result<Exit, Failure> {
    if args.workflows.len() > 1 && !args.inputs.is_empty() {
        let message = "inputs can be given for one workflow only";
        return Err(Failure::usage(message, "validate the workflows one after the other"));
    }
    let (registry, _) = wiring::build(settings)?;
    let (mut worst, mut errors, mut reports) = (Exit::Success, 0, Vec::new());
    for (name, source) in args.workflows.iter().flat_map(|name| sources(name)) {
        let text = match source.and_then(TextSource::read) {
            Ok(text) => text.with_includes(settings.includes),
            Err(failure) => {
                worst = worst.max(failure.exit());
                reports.push(unread(settings.output, &name, &failure));
                continue;
            }
        };
        let checked = match text.check(&registry) {
            Ok(checked) if !args.inputs.is_empty() => with_inputs(checked, &args.inputs)?,
            checked => checked,
        };
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
        let workflows = format::plural(reports.len(), "workflow");
        ui::err(&format!("{} in {workflows}", format::plural(errors, "error")));
        ui::hint("correct the underlined text, then run the same command again");
    }
    Ok(worst)
}

/// Checks a workflow with inputs as well.
fn with_inputs(checked: Checked, args: &InputArgs) -> Result<Result<Checked, Diagnostics>, Failure> {
    let given = inputs::read(args, checked.workflow())?;
    let errors = match checked.plan_given(&given) {
        Ok(plan) => checked.errors_before_run(&plan, &given),
        Err(errors) => Some(errors),
    };
    Ok(errors.map_or(Ok(checked), Err))
}

/// Place of the text of a workflow.
enum TextSource {
    /// Standard input, which `-` names.
    StandardInput,
    /// A file, or a name.
    Named(String),
    /// A file of a folder.
    File(PathBuf),
}

impl TextSource {
    fn read(self) -> Result<WorkflowText, Failure> {
        match self {
            Self::StandardInput => WorkflowText::from_standard_input(),
            Self::Named(name) => WorkflowText::find(&name),
            Self::File(path) => WorkflowText::read(&path),
        }
    }
}

/// Returns the workflows that an argument names, each with the name for its report.
fn sources(name: &str) -> Vec<(String, Result<TextSource, Failure>)> {
    if name == "-" {
        return vec![(STANDARD_INPUT.to_owned(), Ok(TextSource::StandardInput))];
    }
    let folder = Path::new(name);
    // A workflow that ships has precedence over a folder of its name.
    if !folder.is_dir() || WorkflowText::find(name).is_ok() {
        return vec![(name.to_owned(), Ok(TextSource::Named(name.to_owned())))];
    }
    let shown = |path: &Path| path.display().to_string();
    let found = yaml_files::below(folder);
    if found.is_empty() {
        let message = format!("there is no YAML file below the folder {name}");
        let failure = Failure::usage(message, "use a folder with files that end in .yaml or .yml");
        return vec![(name.to_owned(), Err(failure))];
    }
    let source = |entry: Result<PathBuf, UnreadableFolder>| match entry {
        Ok(path) => (shown(&path), Ok(TextSource::File(path))),
        Err(UnreadableFolder { path, error }) => {
            let message = format!("cannot read the folder {}: {error}", path.display());
            (shown(&path), Err(Failure::new(Exit::Invalid, message, "make the folder readable")))
        }
    };
    found.into_iter().map(source).collect()
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
