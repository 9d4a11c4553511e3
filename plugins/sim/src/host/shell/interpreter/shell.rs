use std::collections::BTreeMap;

use crate::host::io::{Io, Sink, Source};
use crate::host::process::{Exit, Halted, Process};
use crate::host::shell::grammar::Command;
use crate::host::shell::parser::ScriptLines;
use crate::host::shell::variables::{Variable, Variables};

/// Shell whose wording the error messages have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::host) enum Dialect {
    /// Debian's `sh`, which is dash.
    Dash,
    /// Bash, the login shell.
    Bash,
}

/// Reason for not continuing with the next command.
#[derive(Debug)]
pub(in crate::host::shell) enum Flow {
    /// The shell exits.
    Exit(i32),
    /// An error ends the shell, unless it is interactive.
    Abort(i32),
    Return(i32),
    /// The given number of loops ends.
    Break(usize),
    /// The given number of loops ends, except that the last one continues.
    Continue(usize),
    Halted,
}

impl From<Halted> for Flow {
    fn from(_: Halted) -> Self {
        Self::Halted
    }
}

/// Exit status of a command, or the reason for not continuing.
pub(in crate::host::shell) type Run = Result<i32, Flow>;

/// Options of `set` that are on.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are the shell's own switches")]
pub(in crate::host::shell) struct Options {
    /// `-e`: a command that fails ends the shell.
    pub(in crate::host::shell) errexit: bool,
    /// `-u`: a parameter that is not set is an error.
    pub(in crate::host::shell) nounset: bool,
    /// `-x`: each simple command is printed.
    pub(in crate::host::shell) xtrace: bool,
    /// `-f`: patterns are not expanded to paths.
    pub(in crate::host::shell) noglob: bool,
    /// `-a`: assigned variables are exported.
    pub(in crate::host::shell) allexport: bool,
    /// `-o pipefail` of bash: each command of a pipeline counts.
    pub(in crate::host::shell) pipefail: bool,
}

/// Open file descriptor other than the standard ones.
#[derive(Debug, Clone)]
pub(in crate::host::shell) enum Descriptor {
    Input(Source),
    Output(Sink),
}

/// Shell that runs scripts on a machine.
pub(in crate::host) struct Shell<'a> {
    pub(in crate::host::shell) process: &'a mut Process,
    pub(in crate::host::shell) dialect: Dialect,
    /// Name of the shell, `$0`.
    pub(in crate::host::shell) name: String,
    pub(in crate::host::shell) arguments: Vec<String>,
    pub(in crate::host::shell) variables: Variables,
    pub(in crate::host::shell) status: i32,
    /// Exit status of the last command substitution of the current command.
    pub(in crate::host::shell) substitution: Option<i32>,
    pub(in crate::host::shell) options: Options,
    pub(in crate::host::shell) functions: BTreeMap<String, Command>,
    /// Commands that run when the shell exits.
    pub(in crate::host::shell) trap: Option<String>,
    pub(in crate::host::shell) line: usize,
    pub(in crate::host::shell) io: Io,
    /// Open descriptors from 3 on.
    pub(in crate::host::shell) descriptors: BTreeMap<u32, Descriptor>,
    /// Number of conditions around the current command, in which `set -e` has no effect.
    pub(in crate::host::shell) conditions: usize,
    /// Number of loops around the current command, within the current function.
    pub(in crate::host::shell) loops: usize,
    /// Variables that each running function restores at its end.
    pub(in crate::host::shell) locals: Vec<BTreeMap<String, Option<Variable>>>,
    /// Exit status of the last background command.
    pub(in crate::host::shell) background: Option<i32>,
}

impl<'a> Shell<'a> {
    /// Returns a shell with a name (`$0`) and arguments (`$1`, …).
    pub(in crate::host) fn new(
        process: &'a mut Process,
        dialect: Dialect,
        name: &str,
        arguments: &[String],
        io: &Io,
    ) -> Self {
        let mut variables = Variables::of_environment(&process.environment);
        variables.entry("PWD").value = Some(process.directory.clone());
        Self {
            variables,
            process,
            dialect,
            name: name.to_owned(),
            arguments: arguments.to_vec(),
            status: 0,
            substitution: None,
            options: Options::default(),
            functions: BTreeMap::new(),
            trap: None,
            line: 1,
            io: io.clone(),
            descriptors: BTreeMap::new(),
            conditions: 0,
            loops: 0,
            locals: Vec::new(),
            background: None,
        }
    }

    /// Runs a script to its end, then its exit trap, and returns the exit status.
    pub(in crate::host) fn run(&mut self, script: &str) -> Exit {
        let outcome = self.source(script);
        self.finish(&outcome)
    }

    /// Runs the exit trap and returns the exit status of the shell.
    pub(in crate::host::shell) fn finish(&mut self, outcome: &Run) -> Exit {
        let status = ended(outcome)?;
        let Some(trap) = self.trap.take() else { return Ok(status) };
        self.status = status;
        match self.source(&trap) {
            Err(Flow::Exit(status)) => Ok(status & 0xff),
            Err(Flow::Halted) => Err(Halted),
            _ => Ok(status),
        }
    }

    /// Runs one part of a script of an interactive shell.
    ///
    /// Returns its exit status, and true if the shell must exit.
    pub(in crate::host) fn step(&mut self, script: &str) -> Result<(i32, bool), Halted> {
        match self.source(script) {
            Err(Flow::Exit(status)) => self.finish(&Err(Flow::Exit(status))).map(|status| (status, true)),
            outcome => {
                self.status = ended(&outcome)?;
                Ok((self.status, false))
            }
        }
    }

    /// Parses and runs a script in this shell, as `.` and `eval` do.
    pub(in crate::host::shell) fn source(&mut self, text: &str) -> Run {
        let mut script = ScriptLines::new(text, self.dialect == Dialect::Bash);
        let mut status = 0;
        while let Some(list) = script.next() {
            match list {
                Ok(list) => status = self.list(&list)?,
                Err(error) => {
                    self.line = error.line;
                    self.complain(&error.message);
                    return Err(Flow::Abort(2));
                }
            }
        }
        Ok(status)
    }

    /// Returns a subshell with other streams, whose changes have no effect on this shell.
    pub(in crate::host::shell) fn subshell<'b>(&self, process: &'b mut Process, io: Io) -> Shell<'b> {
        Shell {
            process,
            dialect: self.dialect,
            name: self.name.clone(),
            arguments: self.arguments.clone(),
            variables: self.variables.clone(),
            status: self.status,
            substitution: None,
            options: self.options,
            functions: self.functions.clone(),
            trap: None,
            line: self.line,
            io,
            descriptors: self.descriptors.clone(),
            conditions: self.conditions,
            loops: self.loops,
            locals: self.locals.clone(),
            background: None,
        }
    }

    /// Prints an error message in the wording of the shell.
    pub(in crate::host::shell) fn complain(&self, message: &str) {
        let prefix = match self.dialect {
            Dialect::Dash => format!("{}: {}: ", self.name, self.line),
            Dialect::Bash => format!("{}: line {}: ", self.name, self.line),
        };
        let text = format!("{prefix}{message}\n");
        // The next command reports a machine that went down.
        self.process.write(&self.io.error, text.as_bytes()).unwrap_or_default();
    }

    /// Reports an error that ends a script: exit status 2 in dash, 1 in bash.
    pub(in crate::host::shell) fn abort(&self, message: &str) -> Flow {
        self.complain(message);
        Flow::Abort(if self.dialect == Dialect::Dash { 2 } else { 1 })
    }

    /// Reports a construct that is not simulated, which ends the script.
    pub(in crate::host::shell) fn refuse(&self, construct: &str) -> Flow {
        self.complain(&format!("{construct}: not simulated"));
        Flow::Abort(2)
    }

    /// Reports an error of a special builtin: it ends a script of dash, but not one of bash.
    pub(in crate::host::shell) fn builtin_error(&self, message: &str) -> Run {
        self.complain(message);
        if self.dialect == Dialect::Dash { Err(Flow::Abort(2)) } else { Ok(1) }
    }
}

/// Returns the exit status of a shell that has ended for any reason.
fn ended(outcome: &Run) -> Exit {
    match outcome {
        Ok(status) | Err(Flow::Exit(status) | Flow::Abort(status) | Flow::Return(status)) => Ok(status & 0xff),
        Err(Flow::Break(_) | Flow::Continue(_)) => Ok(0),
        Err(Flow::Halted) => Err(Halted),
    }
}
