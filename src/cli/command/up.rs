//! Implementation of the command `up`: the workflow `deploy` with the inputs of `stargate.yaml`.

use std::io::{BufRead as _, IsTerminal as _};

use super::{plan, run};
use crate::cli::{
    Failure, Settings,
    args::{PlanArgs, RunArgs, UpArgs},
    deployment,
    exit::Exit,
    ui,
};

/// Command `up`: shows what would change, asks on a terminal, and runs the workflow.
///
/// # Errors
///
/// Those of `plan` and `run`, and a usage failure without a file, or where nobody can be asked.
pub(crate) async fn up(settings: &Settings, args: UpArgs) -> Result<Exit, Failure> {
    let UpArgs { inputs, yes, parallel, locks, limit } = args;
    let workflow = deployment::of_inputs(inputs)?;
    if !yes {
        if !std::io::stdin().is_terminal() {
            let message = "standard input is not a terminal: nobody can be asked";
            return Err(Failure::usage(message, "look at `stargate plan`, then add `--yes`"));
        }
        let planned = plan::plan(settings, &PlanArgs { workflow: None, inputs: workflow.inputs.clone() }).await?;
        if planned == Exit::Success {
            return Ok(planned);
        }
        if !is_confirmed() {
            ui::err("nothing was changed");
            return Ok(Exit::Cancelled);
        }
    }
    run::workflow(settings, &RunArgs { workflow, parallel, locks, limit }).await
}

/// Asks on the terminal whether the changes are to be made.
fn is_confirmed() -> bool {
    ui::err("Make these changes? Type yes:");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).is_ok() && answer.trim() == "yes"
}
