//! The deployment that a file in the working directory describes.

use std::path::{Path, PathBuf};

use stargate::workflow::{GivenInputs, Workflow};

use super::{
    Failure,
    args::{InputArgs, WorkflowArgs},
    workflow_text::WorkflowText,
};

/// Workflow that creates or completes a whole deployment.
pub(crate) const CREATION: &str = "deploy";
/// Workflow that removes a whole deployment.
pub(crate) const REMOVAL: &str = "teardown";
/// Input that only the file of a deployment has.
const SITES: &str = "sites";
/// File that describes a deployment, in the working directory.
const FILE: &str = "stargate.yaml";

/// Returns `workflow` with these inputs. Without a file of inputs, it is `stargate.yaml` in the
/// working directory.
///
/// # Errors
///
/// A usage failure if there is no such file and no input.
pub(crate) fn of_inputs(workflow: &str, inputs: InputArgs) -> Result<WorkflowArgs, Failure> {
    let workflow = workflow.to_owned();
    if inputs.file.is_some() || Path::new(FILE).exists() {
        let file = inputs.file.or_else(|| Some(PathBuf::from(FILE)));
        return Ok(WorkflowArgs { workflow, inputs: InputArgs { file, ..inputs } });
    }
    if !inputs.single.is_empty() {
        return Ok(WorkflowArgs { workflow, inputs });
    }
    let hint = format!(
        "write one with the inputs that `stargate workflows {CREATION}` lists, or name it with `--inputs FILE`"
    );
    Err(Failure::usage(format!("there is no {FILE} in this directory"), hint))
}

/// Drops the inputs in the file of a deployment that are not those of `workflow`, so that one file
/// serves each workflow. Unknown ones stay, and are reported.
///
/// # Errors
///
/// If the shipped workflow cannot be found: an error of the program.
pub(crate) fn keep_declared(given: &mut GivenInputs, workflow: &Workflow) -> Result<(), Failure> {
    if given.to_map().contains_key(SITES) {
        let of_deployment = WorkflowText::shipped(CREATION)?.inputs();
        let is_declared = |name: &str| workflow.inputs.iter().any(|input| input.name.value == name);
        given.retain(|name| is_declared(name) || !of_deployment.iter().any(|known| known == name));
    }
    Ok(())
}
