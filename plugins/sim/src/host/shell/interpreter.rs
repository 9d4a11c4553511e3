use std::collections::BTreeMap;

use super::grammar::{AndOr, Command, CommandKind, Connector, List, Pipeline, Redirect, RedirectKind, Word};
use super::parser::parse;
use super::pattern::matches;
use crate::host::io::{Io, Sink, Source};
use crate::host::process::{Execution, Exit, Halted, Process};
use crate::host::state::Node;

/// Shell whose wording the error messages have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Debian's `sh`, which is dash.
    Dash,
    /// Bash, the login shell.
    Bash,
}

/// Reason for not continuing with the next command.
pub(super) enum Flow {
    Exit(i32),
    Return(i32),
    Break,
    Continue,
    Halted,
}

impl From<Halted> for Flow {
    fn from(_: Halted) -> Self {
        Self::Halted
    }
}

/// Options `-e`, `-u` and `-x` of `set`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Options {
    pub(super) errexit: bool,
    pub(super) unset: bool,
    pub(super) trace: bool,
}

/// Shell that runs scripts on a machine.
pub(crate) struct Shell<'a> {
    pub(super) process: &'a mut Process,
    pub(super) dialect: Dialect,
    /// Name of the shell, `$0`.
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) status: i32,
    pub(super) options: Options,
    functions: BTreeMap<String, Command>,
    trap: Option<String>,
    line: usize,
    io: Io,
    /// Number of conditions around the current command, in which `set -e` has no effect.
    conditions: usize,
}

/// Exit status of a command, or the reason for not continuing.
type Run = Result<i32, Flow>;

impl<'a> Shell<'a> {
    /// Returns a shell with a name (`$0`) and arguments (`$1`, …).
    pub(crate) fn new(process: &'a mut Process, dialect: Dialect, name: &str, arguments: &[String], io: &Io) -> Self {
        Self {
            process,
            dialect,
            name: name.to_owned(),
            arguments: arguments.to_vec(),
            variables: BTreeMap::new(),
            status: 0,
            options: Options::default(),
            functions: BTreeMap::new(),
            trap: None,
            line: 1,
            io: io.clone(),
            conditions: 0,
        }
    }

    /// Sets the options whose letters are in `letters`, as `sh -eu` does.
    pub(crate) fn set_options(&mut self, letters: &str, on: bool) {
        for letter in letters.chars() {
            match letter {
                'e' => self.options.errexit = on,
                'u' => self.options.unset = on,
                'x' => self.options.trace = on,
                _ => {}
            }
        }
    }

    /// Runs a script to its end, then its exit trap, and returns the exit status.
    pub(crate) fn run(&mut self, script: &str) -> Exit {
        let outcome = self.source(script);
        let status = ended(&outcome)?;
        let Some(trap) = self.trap.take() else { return Ok(status) };
        self.status = status;
        match self.source(&trap) {
            Err(Flow::Exit(status)) => Ok(status),
            Err(Flow::Halted) => Err(Halted),
            _ => Ok(status),
        }
    }

    /// Runs one part of a script.
    ///
    /// Returns its exit status, and true if the shell must exit.
    pub(crate) fn step(&mut self, script: &str) -> Result<(i32, bool), Halted> {
        match self.source(script) {
            Err(Flow::Exit(status)) if parse(script).is_ok() => Ok((status & 0xff, true)),
            outcome => ended(&outcome).map(|status| (status, false)),
        }
    }

    /// Parses and runs a script in this shell, as `.` and `eval` do.
    fn source(&mut self, script: &str) -> Run {
        match parse(script) {
            Ok(list) => self.list(&list),
            Err(error) => {
                self.line = error.line;
                self.complain(&error.message);
                Err(Flow::Exit(2))
            }
        }
    }

    /// Prints an error message in the wording of the shell.
    pub(super) fn complain(&self, message: &str) {
        let place = match self.dialect {
            Dialect::Dash => format!("{}: {}: ", self.name, self.line),
            Dialect::Bash => format!("{}: line {}: ", self.name, self.line),
        };
        let text = format!("{place}{message}\n");
        // The next command reports a machine that went down.
        self.process.write(&self.io.error, text.as_bytes()).unwrap_or_default();
    }

    /// Reports a file that cannot be opened.
    ///
    /// For a command line, bash then prints no line number.
    fn complain_of_file(&self, dash: &str, bash: &str) {
        match self.dialect {
            Dialect::Dash => self.complain(dash),
            Dialect::Bash if self.name != "bash" => self.complain(bash),
            Dialect::Bash => {
                self.process.write(&self.io.error, format!("bash: {bash}\n").as_bytes()).unwrap_or_default();
            }
        }
    }

    /// Runs the commands of a list and returns the last status.
    fn list(&mut self, list: &List) -> Run {
        for item in &list.0 {
            self.status = self.and_or(item)?;
        }
        Ok(self.status)
    }

    /// Runs pipelines joined by `&&` and `||`.
    fn and_or(&mut self, item: &AndOr) -> Run {
        let mut last = item.rest.is_empty();
        let mut status = self.guarded(&item.first, !last)?;
        for (index, (connector, pipeline)) in item.rest.iter().enumerate() {
            let wanted = (*connector == Connector::And) == (status == 0);
            if wanted {
                last = index + 1 == item.rest.len();
                status = self.guarded(pipeline, !last)?;
                self.status = status;
            }
        }
        let exempt = !last || item.rest.last().map_or(&item.first, |(_, pipeline)| pipeline).negated;
        if status != 0 && self.options.errexit && self.conditions == 0 && !exempt {
            return Err(Flow::Exit(status));
        }
        Ok(status)
    }

    /// Runs a pipeline and applies `!`.
    ///
    /// In a condition, or with `!`, `set -e` has no effect.
    fn guarded(&mut self, pipeline: &Pipeline, condition: bool) -> Run {
        let exempt = usize::from(condition || pipeline.negated);
        self.conditions += exempt;
        let status = self.pipeline(pipeline);
        self.conditions -= exempt;
        let status = status?;
        let status = if pipeline.negated { i32::from(status == 0) } else { status };
        self.status = status;
        Ok(status)
    }

    /// Runs a list as a condition. Returns true for exit status 0.
    fn condition(&mut self, list: &List) -> Result<bool, Flow> {
        self.conditions += 1;
        let status = self.list(list);
        self.conditions -= 1;
        Ok(status? == 0)
    }

    /// Runs one command in this shell, or several commands as a pipeline.
    fn pipeline(&mut self, pipeline: &Pipeline) -> Run {
        let [command] = pipeline.commands.as_slice() else { return self.piped(&pipeline.commands) };
        self.command(command)
    }

    /// Runs the commands of a pipeline one after the other.
    ///
    /// Each has a subshell of its own, and its complete output is the input of the next one. In a
    /// real shell they run at the same time.
    fn piped(&mut self, commands: &[Command]) -> Run {
        let outer = self.io.clone();
        let mut input = outer.input.clone();
        let mut status = 0;
        for (index, command) in commands.iter().enumerate() {
            let last = index + 1 == commands.len();
            let output = if last { outer.output.clone() } else { Sink::buffer() };
            let io = Io { input, output: output.clone(), error: outer.error.clone() };
            status = self.apart(io, |shell| shell.command(command))?;
            input = if last { Source::empty() } else { Source::bytes(output.taken()) };
        }
        Ok(status)
    }

    /// Runs a subshell: its assignments have no effect on this shell.
    fn apart(&mut self, io: Io, run: impl FnOnce(&mut Shell<'_>) -> Run) -> Run {
        let mut process = self.process.clone();
        let mut inner = Shell {
            process: &mut process,
            dialect: self.dialect,
            name: self.name.clone(),
            arguments: self.arguments.clone(),
            variables: self.variables.clone(),
            status: self.status,
            options: self.options,
            functions: self.functions.clone(),
            trap: None,
            line: self.line,
            io,
            conditions: self.conditions,
        };
        let outcome = run(&mut inner);
        ended(&outcome).map_err(Flow::from)
    }

    /// Returns the output of a command substitution without the line ends at its end.
    pub(super) fn substitute(&mut self, list: &List) -> Result<String, Flow> {
        let output = Sink::buffer();
        let io = Io { output: output.clone(), ..self.io.clone() };
        self.status = self.apart(io, |shell| shell.list(list))?;
        let text = String::from_utf8_lossy(&output.taken()).into_owned();
        Ok(text.trim_end_matches('\n').to_owned())
    }

    /// Runs one command with its redirections.
    fn command(&mut self, command: &Command) -> Run {
        self.line = command.line;
        let outer = self.io.clone();
        let redirected = self.redirect(&command.redirects)?;
        let outcome = if redirected { self.redirected(command) } else { Ok(failure_of_redirect(self.dialect)) };
        self.io = outer;
        outcome
    }

    /// Runs a command whose streams are already redirected.
    fn redirected(&mut self, command: &Command) -> Run {
        match &command.kind {
            CommandKind::Simple { assignments, words } => self.simple(assignments, words),
            CommandKind::Group(list) => self.list(list),
            CommandKind::Subshell(list) => {
                let io = self.io.clone();
                self.apart(io, |shell| shell.list(list))
            }
            CommandKind::If { branches, otherwise } => self.conditional(branches, otherwise.as_ref()),
            CommandKind::While { until, condition, body } => self.repeat(*until, condition, body),
            CommandKind::For { name, words, body } => self.iterate(name, words.as_deref(), body),
            CommandKind::Case { subject, arms } => self.select(subject, arms),
            CommandKind::Function { name, body } => {
                self.functions.insert(name.clone(), (**body).clone());
                Ok(0)
            }
        }
    }

    /// Runs `if`, with its `elif` branches and `else`.
    fn conditional(&mut self, branches: &[(List, List)], otherwise: Option<&List>) -> Run {
        for (condition, body) in branches {
            if self.condition(condition)? {
                self.status = 0;
                return self.list(body);
            }
        }
        self.status = 0;
        otherwise.map_or(Ok(0), |body| self.list(body))
    }

    /// Runs the loops `while` and `until`.
    fn repeat(&mut self, until: bool, condition: &List, body: &List) -> Run {
        let mut status = 0;
        while self.condition(condition)? != until {
            match self.list(body) {
                Err(Flow::Break) => break,
                Err(Flow::Continue) => {}
                other => status = other?,
            }
        }
        Ok(status)
    }

    /// Runs the loop `for`; without words it iterates over the arguments.
    fn iterate(&mut self, name: &str, words: Option<&[Word]>, body: &List) -> Run {
        let values = match words {
            Some(words) => self.fields(words)?,
            None => self.arguments.clone(),
        };
        let mut status = 0;
        for value in values {
            self.assign(name, value);
            match self.list(body) {
                Err(Flow::Break) => break,
                Err(Flow::Continue) => {}
                other => status = other?,
            }
        }
        Ok(status)
    }

    /// Runs the command `case`: the first matching arm.
    fn select(&mut self, subject: &Word, arms: &[(Vec<Word>, List)]) -> Run {
        let subject = self.single(subject)?;
        for (patterns, body) in arms {
            for pattern in patterns {
                if matches(&self.as_pattern(pattern)?, &subject) {
                    self.status = 0;
                    return self.list(body);
                }
            }
        }
        Ok(0)
    }

    /// Assigns a variable; an exported variable stays exported.
    fn assign(&mut self, name: &str, value: String) {
        match self.process.environment.get_mut(name) {
            Some(exported) => *exported = value,
            None => drop(self.variables.insert(name.to_owned(), value)),
        }
    }

    /// Runs a simple command: assignments, then a function, builtin or program.
    fn simple(&mut self, assignments: &[(String, Word)], words: &[Word]) -> Run {
        let before = self.status;
        let words = self.fields(words)?;
        let mut values = Vec::new();
        for (name, word) in assignments {
            values.push((name.clone(), self.single(word)?));
        }
        let Some(name) = words.first().cloned() else {
            let substituted = assignments.iter().any(|(_, word)| has_substitution(word));
            for (name, value) in values {
                self.assign(&name, value);
            }
            return Ok(if substituted { self.status } else { 0 });
        };
        self.status = before;
        if self.options.trace {
            let text = format!("+ {}\n", words.join(" "));
            self.process.write(&self.io.error, text.as_bytes())?;
        }
        let outer = self.process.environment.clone();
        self.process.environment.extend(values);
        let outcome = self.call(&name, &words);
        // The builtins `export` and `cd` change the shell's environment. Assignments before a
        // command end with it.
        if !assignments.is_empty() {
            self.process.environment = outer;
        }
        outcome
    }

    /// Calls a function, builtin or program.
    fn call(&mut self, name: &str, words: &[String]) -> Run {
        if let Some(function) = self.functions.get(name).cloned() {
            return self.function(&function, words);
        }
        if let Some(outcome) = self.builtin(name, words) {
            return outcome;
        }
        self.external(words)
    }

    /// Calls a function with its own positional parameters.
    fn function(&mut self, function: &Command, words: &[String]) -> Run {
        let outer = std::mem::replace(&mut self.arguments, words[1..].to_vec());
        let outcome = self.command(function);
        self.arguments = outer;
        match outcome {
            Err(Flow::Return(status)) => Ok(status),
            other => other,
        }
    }

    /// Runs a program and reports one that does not exist (127) or cannot be executed (126).
    fn external(&mut self, words: &[String]) -> Run {
        match self.process.execute(&self.io, words)? {
            Execution::Exited(status) => Ok(status),
            Execution::NotFound => {
                let path = words[0].contains('/');
                self.complain(&match (self.dialect, path) {
                    (Dialect::Dash, _) => format!("{}: not found", words[0]),
                    (Dialect::Bash, false) => format!("{}: command not found", words[0]),
                    (Dialect::Bash, true) => format!("{}: No such file or directory", words[0]),
                });
                Ok(127)
            }
            Execution::Refused => {
                self.complain(&format!("{}: Permission denied", words[0]));
                Ok(126)
            }
        }
    }

    /// Opens the targets of redirections. Returns false if one cannot be opened.
    fn redirect(&mut self, redirects: &[Redirect]) -> Result<bool, Flow> {
        for redirect in redirects {
            let opened = match &redirect.kind {
                RedirectKind::Read(word) => self.open_input(word)?,
                RedirectKind::Document(word) => {
                    let text = self.single(word)?;
                    self.io.input = Source::bytes(text.into_bytes());
                    true
                }
                RedirectKind::Write(word) => self.open_output(redirect.descriptor, word, false)?,
                RedirectKind::Append(word) => self.open_output(redirect.descriptor, word, true)?,
                RedirectKind::Duplicate(word) => {
                    let target = self.single(word)?;
                    self.duplicate(redirect.descriptor, &target);
                    true
                }
            };
            if !opened {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Opens a file as standard input.
    fn open_input(&mut self, word: &Word) -> Result<bool, Flow> {
        let name = self.single(word)?;
        let path = self.process.path(&name);
        let actor = self.process.actor.clone();
        match self.process.with(|place| place.machine.read_file(&actor, &path))? {
            Ok(bytes) => {
                self.io.input = Source::bytes(bytes);
                Ok(true)
            }
            Err(error) => {
                self.complain_of_file(
                    &format!("cannot open {name}: {}", dash(&error.to_string(), "No such file")),
                    &format!("{name}: {error}"),
                );
                Ok(false)
            }
        }
    }

    /// Opens a file as the target of an output.
    fn open_output(&mut self, descriptor: u32, word: &Word, append: bool) -> Result<bool, Flow> {
        let name = self.single(word)?;
        let path = self.process.path(&name);
        if path == "/dev/null" {
            self.set_output(descriptor, Sink::Null);
            return Ok(true);
        }
        if path == "/dev/stderr" || path == "/dev/stdout" {
            self.duplicate(descriptor, if path == "/dev/stderr" { "2" } else { "1" });
            return Ok(true);
        }
        let (actor, mode) = (self.process.actor.clone(), 0o666 & !self.process.umask);
        let opened = self.process.change("file", |place| place.machine.write_file(&actor, &path, b"", append, mode))?;
        match opened {
            Ok(()) => {
                self.set_output(descriptor, Sink::File(path));
                Ok(true)
            }
            Err(error) => {
                self.complain_of_file(
                    &format!("cannot create {name}: {}", dash(&error.to_string(), "Directory nonexistent")),
                    &format!("{name}: {error}"),
                );
                Ok(false)
            }
        }
    }

    /// Sets the destination of standard output (1) or standard error (2).
    fn set_output(&mut self, descriptor: u32, sink: Sink) {
        match descriptor {
            1 => self.io.output = sink,
            2 => self.io.error = sink,
            _ => {}
        }
    }

    /// Duplicates a file descriptor, as `2>&1` does.
    fn duplicate(&mut self, descriptor: u32, target: &str) {
        match target {
            "1" => self.set_output(descriptor, self.io.output.clone()),
            "2" => self.set_output(descriptor, self.io.error.clone()),
            "-" if descriptor == 0 => self.io.input = Source::empty(),
            "-" => self.set_output(descriptor, Sink::Null),
            _ => {}
        }
    }

    /// Runs a builtin; `None` if no builtin has this name.
    fn builtin(&mut self, name: &str, words: &[String]) -> Option<Run> {
        let first = words.get(1).map(String::as_str);
        let number = first.and_then(|word| word.parse().ok());
        Some(match name {
            ":" | "wait" => Ok(0),
            "exit" => Err(Flow::Exit(number.unwrap_or(self.status))),
            "return" => Err(Flow::Return(number.unwrap_or(self.status))),
            "break" => Err(Flow::Break),
            "continue" => Err(Flow::Continue),
            "cd" => self.change_directory(first),
            "set" => {
                self.set(&words[1..]);
                Ok(0)
            }
            "shift" => {
                let count = number.and_then(|count| usize::try_from(count).ok()).unwrap_or(1).min(self.arguments.len());
                self.arguments.drain(..count);
                Ok(0)
            }
            "export" | "readonly" | "local" => {
                self.declare(name, &words[1..]);
                Ok(0)
            }
            "unset" => {
                for name in &words[1..] {
                    self.variables.remove(name);
                    self.process.environment.remove(name);
                }
                Ok(0)
            }
            "umask" => self.umask(first),
            "eval" => self.source(&words[1..].join(" ")),
            "exec" => match words.len() {
                1 => Ok(0),
                _ => self.external(&words[1..]).and_then(|status| Err(Flow::Exit(status))),
            },
            "command" => self.locate(&words[1..]),
            "type" => self.locate(&[&["-v".to_owned()], &words[1..]].concat()),
            "." | "source" => self.include(first.unwrap_or_default()),
            "read" => Ok(self.read(&words[1..])),
            "trap" => {
                if words.iter().skip(2).any(|signal| signal == "EXIT" || signal == "0") {
                    self.trap = first.filter(|action| *action != "-").map(str::to_owned);
                }
                Ok(0)
            }
            _ => return None,
        })
    }

    /// Runs the builtin `cd`.
    fn change_directory(&mut self, target: Option<&str>) -> Run {
        let home = self.process.environment.get("HOME").cloned().unwrap_or_else(|| "/".to_owned());
        let target = target.unwrap_or(&home).to_owned();
        let path = self.process.path(&target);
        if self.process.with(|place| place.machine.files.get(&path).is_some_and(Node::is_directory))? {
            self.process.directory = path;
            return Ok(0);
        }
        self.complain(&match self.dialect {
            Dialect::Dash => format!("cd: can't cd to {target}"),
            Dialect::Bash => format!("cd: {target}: No such file or directory"),
        });
        Ok(if self.dialect == Dialect::Dash { 2 } else { 1 })
    }

    /// Runs the builtin `set`: options and positional parameters.
    fn set(&mut self, words: &[String]) {
        for (index, word) in words.iter().enumerate() {
            match word.as_bytes() {
                b"--" => {
                    self.arguments = words[index + 1..].to_vec();
                    break;
                }
                [b'-', ..] => self.set_options(&word[1..], true),
                [b'+', ..] => self.set_options(&word[1..], false),
                // A word after `-o` is the name of an option.
                _ if index > 0 && words[index - 1].ends_with('o') => {
                    let letter = match word.as_str() {
                        "errexit" => "e",
                        "nounset" => "u",
                        "xtrace" => "x",
                        _ => "",
                    };
                    self.set_options(letter, words[index - 1].starts_with('-'));
                }
                _ => {
                    self.arguments = words[index..].to_vec();
                    break;
                }
            }
        }
    }

    /// Runs `export`, `readonly` or `local` with its assignments.
    fn declare(&mut self, kind: &str, words: &[String]) {
        for word in words.iter().filter(|word| !word.starts_with('-')) {
            let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
            let value = value.map(str::to_owned);
            if kind == "export" {
                let value = value.or_else(|| self.variables.remove(name));
                self.process.environment.extend(value.map(|value| (name.to_owned(), value)));
            } else if let Some(value) = value {
                self.assign(name, value);
            }
        }
    }

    /// Runs the builtin `umask`, with an octal mask.
    fn umask(&mut self, mask: Option<&str>) -> Run {
        match mask.map(|mask| u32::from_str_radix(mask, 8)) {
            None => self.process.print(&self.io, format!("{:04o}\n", self.process.umask))?,
            Some(Ok(mask)) => self.process.umask = mask,
            Some(Err(_)) => {
                self.complain(&format!("umask: Illegal mode: {}", mask.unwrap_or_default()));
                return Ok(2);
            }
        }
        Ok(0)
    }

    /// Runs `command -v NAME`, or `command NAME …`, which ignores functions and builtins.
    fn locate(&mut self, words: &[String]) -> Run {
        let Some(name) = words.get(1).filter(|_| words[0] == "-v" || words[0] == "-V") else {
            return if words.is_empty() { Ok(0) } else { self.external(words) };
        };
        let own = [
            "cd", "exit", "export", "set", "command", "eval", "read", "umask", "trap", "test", "[", "echo", "printf",
            "true", "false",
        ];
        let found = if own.contains(&name.as_str()) || self.functions.contains_key(name) {
            Some(name.clone())
        } else {
            self.process.program(name)?.map(|(path, _)| path)
        };
        match found {
            Some(path) => {
                self.process.print(&self.io, format!("{path}\n"))?;
                Ok(0)
            }
            None => Ok(if self.dialect == Dialect::Dash { 127 } else { 1 }),
        }
    }

    /// Runs a script file in this shell, as `.` does.
    fn include(&mut self, name: &str) -> Run {
        let (path, actor) = (self.process.path(name), self.process.actor.clone());
        let bytes = self.process.with(|place| place.machine.read_file(&actor, &path))?;
        let Ok(bytes) = bytes else {
            self.complain(&format!(".: cannot open {name}: No such file"));
            return Err(Flow::Exit(2));
        };
        self.source(&String::from_utf8_lossy(&bytes))
    }

    /// Runs the builtin `read`. Returns 1 at the end of the input.
    fn read(&mut self, words: &[String]) -> i32 {
        let names: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
        let line = self.io.input.read_line();
        let complete = line.ends_with(b"\n");
        let text = String::from_utf8_lossy(&line).into_owned();
        let mut rest = text.trim();
        for (index, name) in names.iter().enumerate() {
            let last = index + 1 == names.len();
            let (value, after) =
                if last { (rest, "") } else { rest.split_once(char::is_whitespace).unwrap_or((rest, "")) };
            self.assign(name, value.to_owned());
            rest = after.trim_start();
        }
        i32::from(!complete)
    }

    /// Evaluates an arithmetic expression.
    ///
    /// # Errors
    ///
    /// An expression that is not valid ends the script.
    pub(super) fn calculate(&mut self, text: &str) -> Result<i64, Flow> {
        let mut arithmetic = super::arithmetic::Arithmetic::new(text, |name| {
            let value = self.variables.get(name).or_else(|| self.process.environment.get(name));
            value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
        });
        let value = arithmetic.value();
        value.ok_or_else(|| {
            self.complain(&format!("arithmetic expression: expecting primary: \"{text}\""));
            Flow::Exit(2)
        })
    }
}

/// Returns true if the word contains a command substitution.
fn has_substitution(word: &Word) -> bool {
    word.0.iter().any(|part| matches!(part, super::grammar::Part::Substitution { .. }))
}

/// Returns the exit status of a shell that has ended for any reason.
fn ended(outcome: &Run) -> Exit {
    match outcome {
        Ok(status) | Err(Flow::Exit(status) | Flow::Return(status)) => Ok(status & 0xff),
        Err(Flow::Break | Flow::Continue) => Ok(0),
        Err(Flow::Halted) => Err(Halted),
    }
}

/// Returns the exit status of a redirection that failed.
fn failure_of_redirect(dialect: Dialect) -> i32 {
    if dialect == Dialect::Dash { 2 } else { 1 }
}

/// Returns dash's wording for a missing file or directory.
fn dash(error: &str, missing: &str) -> String {
    if error == "No such file or directory" { missing } else { error }.to_owned()
}
