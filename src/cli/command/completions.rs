//! Implementation of the command `completions`.

use clap::CommandFactory;

use crate::cli::{Failure, args::CommandLine, exit::Exit, ui};

/// Command `completions`: prints a completion script for a shell.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "stargate", &mut script);
    let script = String::from_utf8(script).map_err(|_| Failure::internal("the script is not UTF-8"))?;
    ui::out(script.trim_end());
    Ok(Exit::Success)
}
