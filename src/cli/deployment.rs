//! The deployment that a file in the working directory describes.

use std::path::{Path, PathBuf};

use super::{
    Failure,
    args::{InputArgs, WorkflowArgs},
};

/// Workflow that makes a whole deployment.
const WORKFLOW: &str = "deploy";
/// File that describes a deployment, in the working directory.
const FILE: &str = "stargate.yaml";

/// Returns the workflow of a whole deployment with these inputs. Without a file of inputs, it is
/// `stargate.yaml` in the working directory.
///
/// # Errors
///
/// A usage failure if there is no such file and no input.
pub(crate) fn of_inputs(inputs: InputArgs) -> Result<WorkflowArgs, Failure> {
    let workflow = WORKFLOW.to_owned();
    if inputs.file.is_some() || Path::new(FILE).exists() {
        let file = inputs.file.or_else(|| Some(PathBuf::from(FILE)));
        return Ok(WorkflowArgs { workflow, inputs: InputArgs { file, ..inputs } });
    }
    if !inputs.single.is_empty() {
        return Ok(WorkflowArgs { workflow, inputs });
    }
    let hint = format!(
        "write one with the inputs that `stargate workflows {WORKFLOW}` lists, or name it with `--inputs FILE`"
    );
    Err(Failure::usage(format!("there is no {FILE} in this directory"), hint))
}
