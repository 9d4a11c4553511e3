use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_client::SecretText;
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, FindResult, Nature, Preview, Recovery, RequiredPermissions,
    SecretRef,
};

use crate::{
    SshHost,
    client::{CommandOutput, ConnectionPool, Remote, RemoteCommand},
    operations::file,
};

/// Runs a program by its name, so that a name that is a word of the shell is still a program.
const ENV: &str = "/usr/bin/env";
/// Maximum size of each of the two outputs in the step's output, in bytes. The log has all of them.
const MAX_OUTPUT_BYTES: usize = 64 << 10;
/// Exit code of `env` for a program that does not exist.
const NOT_FOUND: i32 = 127;

/// A program with its arguments.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Program {
    /// Name or absolute path of the program.
    pub program: String,
    /// Arguments, each as it is: no shell sees them.
    #[serde(default)]
    pub args: Vec<String>,
}

/// The program to run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProgramRunInput {
    /// Host to connect to.
    pub host: SshHost,
    /// Name or absolute path of the program.
    pub program: String,
    /// Arguments, each as it is: no shell sees them. They are shown, and must not contain a secret.
    #[serde(default)]
    pub args: Vec<String>,
    /// Standard input. `{{name}}` is replaced by the secret of that name.
    #[serde(default)]
    pub stdin: Option<String>,
    /// Secrets by the name of their placeholder in `stdin`. With secrets, the output is not logged.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretRef>,
    /// If true, the program runs as root; otherwise as the user of the login.
    #[serde(default)]
    pub as_root: bool,
    /// Absolute path of a file or directory that the program makes. If it exists, the program does
    /// not run.
    #[serde(default)]
    pub creates: Option<String>,
    /// Program that only reads, and that succeeds if there is nothing to do.
    #[serde(default)]
    pub unless: Option<Program>,
    /// Exit codes that count as success; 0 if it is empty.
    #[serde(default)]
    pub success_codes: Vec<i32>,
}

/// Result of the program.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ProgramRunOutput {
    /// False if there was nothing to do.
    pub ran: bool,
    /// Exit code; `null` if the program did not run.
    pub exit_code: Option<i32>,
    /// Standard output, without what is beyond 64 KiB.
    pub stdout: String,
    /// Standard error, without what is beyond 64 KiB.
    pub stderr: String,
}

/// Action `ssh.program.run`: runs a program with arguments on a host.
///
/// With `creates` or `unless` it is a desired state: a program that has nothing to do does not run,
/// and one whose end was not seen runs again only if there still is something to do. Without them,
/// a lost connection leaves the step in doubt.
pub(crate) struct ProgramRun {
    pool: Arc<ConnectionPool>,
}

impl ProgramRun {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for ProgramRun {}

impl Action for ProgramRun {
    type Input = ProgramRunInput;
    type Output = ProgramRunOutput;
    const NAME: &'static str = "ssh.program.run";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Once;
    const RECOVERY: Recovery = Recovery::Find;
    const SUMMARY: &'static str = "Runs a program with arguments on a host, unless its result is there already.";

    async fn run(&self, cx: &ActionContext, input: &ProgramRunInput) -> Result<ProgramRunOutput, ActionError> {
        let remote = self.pool.remote(cx, &input.host)?;
        if is_done(&remote, input).await? == Some(true) {
            return Ok(nothing_to_do());
        }
        let command = command(cx, input).await?;
        let output = remote.run(&command).await?;
        cx.changed(format!("ran {} on {}", input.program, input.host.address));
        check_exit_code(input, &output).map_err(|error| remote.context(error))?;
        if is_done(&remote, input).await? == Some(false) {
            let message = format!("{} has succeeded, and there still is something to do", input.program);
            return Err(remote.context(ActionError::permanent(message).with_hint("correct `creates` or `unless`")));
        }
        Ok(ProgramRunOutput {
            ran: true,
            exit_code: Some(output.code),
            stdout: shortened(cx, &output.stdout),
            stderr: shortened(cx, &output.stderr),
        })
    }

    async fn find(
        &self,
        cx: &ActionContext,
        input: &ProgramRunInput,
    ) -> Result<FindResult<ProgramRunOutput>, ActionError> {
        Ok(match is_done(&self.pool.remote(cx, &input.host)?, input).await? {
            Some(true) => FindResult::Present(nothing_to_do()),
            Some(false) => FindResult::Absent,
            None => FindResult::Unclear(format!(
                "{} may have run on {}, and the step has neither `creates` nor `unless`",
                input.program, input.host.address
            )),
        })
    }

    async fn preview(&self, cx: &ActionContext, input: &ProgramRunInput) -> Result<Preview, ActionError> {
        Ok(match is_done(&self.pool.remote(cx, &input.host)?, input).await? {
            Some(true) => return Preview::unchanged(&nothing_to_do()),
            Some(false) => Preview::changes(vec![Difference::new(input.program.clone(), "not run", "run")]),
            None => Preview::Opaque,
        })
    }
}

fn nothing_to_do() -> ProgramRunOutput {
    ProgramRunOutput { ran: false, exit_code: None, stdout: String::new(), stderr: String::new() }
}

/// True if the result of the program is there; `None` if the step does not say how to know.
async fn is_done(remote: &Remote<'_>, input: &ProgramRunInput) -> Result<Option<bool>, ActionError> {
    if let Some(path) = &input.creates {
        file::check_path(path)?;
        if file::attributes(remote, path).await?.is_some() {
            return Ok(Some(true));
        }
    }
    let Some(unless) = &input.unless else { return Ok(input.creates.as_ref().map(|_| false)) };
    let command = RemoteCommand::read(ENV).args(words(unless.program.as_str(), &unless.args)?);
    let command = if input.as_root { command.with_root() } else { command };
    let output = remote.run(&command).await?;
    if output.code == NOT_FOUND {
        let message = format!("`unless` cannot be judged: the host has no program {}", unless.program);
        return Err(remote.context(ActionError::permanent(message)));
    }
    Ok(Some(output.is_success()))
}

/// Returns the command of the step.
async fn command(cx: &ActionContext, input: &ProgramRunInput) -> Result<RemoteCommand, ActionError> {
    let words = words(&input.program, &input.args)?;
    let command = if input.as_root { RemoteCommand::change(ENV) } else { RemoteCommand::change_as_user(ENV) };
    let mut command = command.args(words).with_step_timeout();
    if !input.secrets.is_empty() {
        command = command.confidential();
    }
    let text = input.stdin.as_deref().unwrap_or_default();
    let filled = SecretText::parse(text, &input.secrets)?.fill(cx).await?;
    Ok(if input.stdin.is_some() { command.stdin(filled) } else { command })
}

/// Returns program and arguments as arguments of `env`.
///
/// # Errors
/// `Permanent` for a name that `env` would not take for a program.
fn words(program: &str, args: &[String]) -> Result<Vec<String>, ActionError> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+');
    if program.is_empty() || program.starts_with('-') || !program.chars().all(is_name) {
        let message = format!("{program:?} is neither the name nor the path of a program");
        return Err(ActionError::permanent(message).with_hint("write its arguments as `args`, one item each"));
    }
    Ok([program.to_owned()].into_iter().chain(args.iter().cloned()).collect())
}

fn check_exit_code(input: &ProgramRunInput, output: &CommandOutput) -> Result<(), ActionError> {
    let is_success =
        if input.success_codes.is_empty() { output.is_success() } else { input.success_codes.contains(&output.code) };
    if is_success {
        return Ok(());
    }
    let CommandOutput { code, stderr, .. } = output;
    let text = if input.secrets.is_empty() { stderr.trim() } else { "" };
    let message = format!("{} ended with exit code {code}", input.program);
    let message = if text.is_empty() { message } else { format!("{message}: {}", stargate_client::excerpt(text)) };
    Err(ActionError::permanent(message).with_code(format!("exit_{code}")))
}

/// An output for the step's own, with masked secrets.
fn shortened(cx: &ActionContext, text: &str) -> String {
    let text = cx.redactor().redact(text);
    text[..text.floor_char_boundary(MAX_OUTPUT_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_a_name_and_never_a_line_of_a_shell() {
        for program in ["", "-S", "a b", "A=1", "sh -c x", "$(id)", "ls;id"] {
            words(program, &[]).expect_err(program);
        }
        let args = ["-c".to_owned(), "$HOME; id".to_owned()];
        assert_eq!(words("/usr/bin/printf", &args).expect("a path"), ["/usr/bin/printf", "-c", "$HOME; id"]);
        let line = RemoteCommand::read(ENV).args(words("if", &args).expect("a name")).line("root");
        assert_eq!(line, "/usr/bin/env if -c '$HOME; id'");
    }
}
