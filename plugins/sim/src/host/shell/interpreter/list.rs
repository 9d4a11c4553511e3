use super::shell::{Dialect, Flow, Run, Shell};
use crate::host::io::{Io, Sink, Source};
use crate::host::shell::grammar::{AndOr, Command, CommandKind, Connector, List, Pipeline};

impl Shell<'_> {
    /// Runs the commands of a list and returns the last status.
    pub(in crate::host::shell) fn list(&mut self, list: &List) -> Run {
        for item in &list.0 {
            self.status = if item.background { self.in_background(item)? } else { self.and_or(item)? };
        }
        Ok(self.status)
    }

    /// Runs a background command to its end, without input.
    fn in_background(&mut self, item: &AndOr) -> Run {
        let io = Io { input: Source::empty(), ..self.io.clone() };
        self.background = Some(self.apart(io, |shell| shell.and_or(item))?);
        Ok(0)
    }

    /// Runs pipelines joined by `&&` and `||`.
    fn and_or(&mut self, item: &AndOr) -> Run {
        let mut status = self.pipeline(&item.first, !item.rest.is_empty())?;
        for (index, (connector, pipeline)) in item.rest.iter().enumerate() {
            if (*connector == Connector::And) == (status == 0) {
                status = self.pipeline(pipeline, index + 1 < item.rest.len())?;
            }
        }
        Ok(status)
    }

    /// Runs a pipeline and applies `!`.
    ///
    /// In a condition, or with `!`, `set -e` has no effect.
    fn pipeline(&mut self, pipeline: &Pipeline, condition: bool) -> Run {
        let exempt = usize::from(condition || pipeline.negated);
        self.conditions += exempt;
        let status = match pipeline.commands.as_slice() {
            [command] => self.command(command),
            commands => self.piped(commands).and_then(|status| self.checked(status)),
        };
        self.conditions -= exempt;
        let status = status?;
        self.status = if pipeline.negated { i32::from(status == 0) } else { status };
        Ok(self.status)
    }

    /// Ends the shell if `set -e` is on and a command has failed that is not in a condition.
    pub(super) fn checked(&self, status: i32) -> Run {
        let ends = status != 0 && self.options.errexit && self.conditions == 0;
        if ends { Err(Flow::Exit(status)) } else { Ok(status) }
    }

    /// Runs a list as a condition. Returns true for exit status 0.
    pub(super) fn condition(&mut self, list: &List) -> Result<bool, Flow> {
        self.conditions += 1;
        let status = self.list(list);
        self.conditions -= 1;
        Ok(status? == 0)
    }

    /// Runs the commands of a pipeline one after the other.
    ///
    /// Each has a subshell of its own, and its complete output is the input of the next one. In a
    /// real shell they run at the same time.
    fn piped(&mut self, commands: &[Command]) -> Run {
        let outer = self.io.clone();
        let mut input = outer.input.clone();
        let (mut status, mut failed) = (0, 0);
        for (index, command) in commands.iter().enumerate() {
            let last = index + 1 == commands.len();
            let output = if last { outer.output.clone() } else { Sink::buffer() };
            let io = Io { input, output: output.clone(), error: outer.error.clone() };
            status = self.apart(io, |shell| shell.command(command))?;
            failed = if status == 0 { failed } else { status };
            input = if last { Source::empty() } else { Source::bytes(output.taken()) };
        }
        Ok(if self.options.pipefail { failed } else { status })
    }

    /// Runs commands in a subshell and returns its exit status.
    pub(super) fn apart(&mut self, io: Io, run: impl FnOnce(&mut Shell<'_>) -> Run) -> Run {
        let mut process = self.process.clone();
        let mut inner = self.subshell(&mut process, io);
        let outcome = run(&mut inner);
        inner.finish(&outcome).map_err(Flow::from)
    }

    /// Returns the output of a command substitution without the line ends at its end.
    ///
    /// dash applies `set -e` in it even within a condition; bash does not apply it at all.
    pub(in crate::host::shell) fn substitute(&mut self, list: &List) -> Result<String, Flow> {
        let output = Sink::buffer();
        let io = Io { output: output.clone(), ..self.io.clone() };
        let is_dash = self.dialect == Dialect::Dash;
        let status = self.apart(io, |shell| {
            shell.conditions = 0;
            shell.options.errexit &= is_dash;
            shell.list(list)
        })?;
        self.substitution = Some(status);
        let text = String::from_utf8_lossy(&output.taken()).into_owned();
        Ok(text.trim_end_matches('\n').to_owned())
    }

    /// Runs one command with its redirections.
    fn command(&mut self, command: &Command) -> Run {
        self.line = command.line;
        if let CommandKind::Simple { assignments, words } = &command.kind {
            let status = self.simple(assignments, words, &command.redirects)?;
            return self.checked(status);
        }
        let outer = (self.io.clone(), self.descriptors.clone());
        let outcome = match self.redirect(&command.redirects)? {
            Some(status) => self.checked(status),
            None => self.compound(&command.kind),
        };
        (self.io, self.descriptors) = outer;
        let status = outcome?;
        self.status = status;
        if matches!(command.kind, CommandKind::Subshell(_)) { self.checked(status) } else { Ok(status) }
    }

    /// Calls a function with its own positional parameters, loops and local variables.
    pub(super) fn function(&mut self, body: &Command, words: &[String]) -> Run {
        let arguments = std::mem::replace(&mut self.arguments, words[1..].to_vec());
        let loops = std::mem::take(&mut self.loops);
        self.locals.push(std::collections::BTreeMap::new());
        let outcome = self.command(body);
        (self.arguments, self.loops) = (arguments, loops);
        for (name, variable) in self.locals.pop().unwrap_or_default() {
            self.restore(&name, variable);
        }
        match outcome {
            Err(Flow::Return(status)) => Ok(status),
            other => other,
        }
    }
}
