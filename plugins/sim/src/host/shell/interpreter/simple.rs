use super::shell::{Dialect, Flow, Run, Shell};
use crate::host::process::{Execution, Place};
use crate::host::shell::builtins;
use crate::host::shell::grammar::{Part, Redirect, Word};
use crate::host::shell::variables::{Variable, is_name};
use crate::host::state::Node;

impl Shell<'_> {
    /// Runs a simple command: expands the words, opens the redirections, assigns the variables, and
    /// calls a function, builtin or program.
    pub(super) fn simple(&mut self, assignments: &[(String, Word)], words: &[Word], redirects: &[Redirect]) -> Run {
        self.substitution = None;
        let words = self.arguments_of(words)?;
        let name = words.first().map(String::as_str);
        let is_function = name.is_some_and(|name| self.functions.contains_key(name));
        let is_special = !is_function && name.is_some_and(builtins::is_special);
        let outer = (self.io.clone(), self.descriptors.clone());
        if let Some(status) = self.redirect(redirects)? {
            (self.io, self.descriptors) = outer;
            return if is_special && self.dialect == Dialect::Dash { Err(Flow::Abort(status)) } else { Ok(status) };
        }
        // `exec` without a command keeps its redirections.
        let keeps = words == ["exec"];
        let keeps_variables = name.is_none() || (is_special && self.dialect == Dialect::Dash);
        let outcome = self.with_assignments(assignments, keeps_variables, &words);
        if !keeps {
            (self.io, self.descriptors) = outer;
        }
        outcome
    }

    /// Assigns variables and calls the command. The variables are restored afterwards, unless
    /// `keep` is true.
    fn with_assignments(&mut self, assignments: &[(String, Word)], keep: bool, words: &[String]) -> Run {
        let mut saved = Vec::new();
        for (name, word) in assignments {
            let value = self.single_assigned(word)?;
            if !keep {
                saved.push((name.clone(), self.variables.get(name).cloned()));
            }
            self.assign(name, value)?;
            if !keep {
                self.export(name);
            }
        }
        self.trace(words)?;
        let outcome = match words.first() {
            None => Ok(self.substitution.unwrap_or(0)),
            Some(name) => self.call(name, words),
        };
        for (name, variable) in saved.into_iter().rev() {
            self.restore(&name, variable);
        }
        outcome
    }

    /// Expands the words of a command. Assignments after `export`, `readonly` and `local` are not
    /// split.
    fn arguments_of(&mut self, words: &[Word]) -> Result<Vec<String>, Flow> {
        let Some((first, rest)) = words.split_first() else { return Ok(Vec::new()) };
        let mut all = self.fields(std::slice::from_ref(first))?;
        let declares = matches!(first.0.as_slice(), [Part::Text { text, quoted: false }] if matches!(text.as_str(), "export" | "readonly" | "local"));
        for word in rest {
            if declares && is_assignment(word) {
                all.push(self.single_assigned(word)?);
            } else {
                all.extend(self.fields(std::slice::from_ref(word))?);
            }
        }
        Ok(all)
    }

    /// Prints a command if `set -x` is on.
    fn trace(&self, words: &[String]) -> Result<(), Flow> {
        if self.options.xtrace && !words.is_empty() {
            self.process.write(&self.io.error, format!("+ {}\n", words.join(" ")).as_bytes())?;
        }
        Ok(())
    }

    /// Calls a function, builtin or program.
    fn call(&mut self, name: &str, words: &[String]) -> Run {
        if let Some(function) = self.functions.get(name).cloned() {
            return self.function(&function, words);
        }
        self.command_of(words)
    }

    /// Calls a builtin or a program.
    pub(in crate::host::shell) fn command_of(&mut self, words: &[String]) -> Run {
        match self.builtin(&words[0], words) {
            Some(outcome) => outcome,
            None => self.external(words),
        }
    }

    /// Runs a program and reports one that does not exist (127) or cannot be executed (126).
    pub(in crate::host::shell) fn external(&mut self, words: &[String]) -> Run {
        let execution = match self.process.execute(&self.io, words)? {
            Execution::NotFound if self.is_directory(&words[0])? => Execution::Refused,
            execution => execution,
        };
        let missing = match self.dialect {
            Dialect::Dash => "not found",
            Dialect::Bash if words[0].contains('/') => "No such file or directory",
            Dialect::Bash => "command not found",
        };
        match execution {
            Execution::Exited(_) => {}
            Execution::NotFound => self.complain(&format!("{}: {missing}", words[0])),
            Execution::Refused => self.complain(&format!("{}: Permission denied", words[0])),
        }
        Ok(execution.status())
    }

    /// Returns true if a command name is the path of a directory.
    fn is_directory(&self, name: &str) -> Result<bool, Flow> {
        let path = self.process.path(name);
        let is_directory = |place: &mut Place<'_>| place.machine.files.get(&path).is_some_and(Node::is_directory);
        Ok(name.contains('/') && self.process.with(is_directory)?)
    }

    /// Assigns a variable; an exported variable stays exported.
    pub(in crate::host::shell) fn assign(&mut self, name: &str, value: String) -> Result<(), Flow> {
        if self.variables.get(name).is_some_and(|variable| variable.readonly) {
            return Err(self.abort(&match self.dialect {
                Dialect::Dash => format!("{name}: is read only"),
                Dialect::Bash => format!("{name}: readonly variable"),
            }));
        }
        let allexport = self.options.allexport;
        let variable = self.variables.entry(name);
        variable.value = Some(value);
        variable.exported |= allexport;
        self.update_environment(name);
        Ok(())
    }

    /// Exports a variable, now or when it is assigned.
    pub(in crate::host::shell) fn export(&mut self, name: &str) {
        self.variables.entry(name).exported = true;
        self.update_environment(name);
    }

    /// Replaces or removes a variable.
    pub(in crate::host::shell) fn restore(&mut self, name: &str, variable: Option<Variable>) {
        self.variables.replace(name, variable);
        self.process.environment.remove(name);
        self.update_environment(name);
    }

    /// Copies an exported variable to the environment of programs.
    fn update_environment(&mut self, name: &str) {
        let exported = self.variables.get(name).filter(|variable| variable.exported);
        if let Some(value) = exported.and_then(|variable| variable.value.clone()) {
            self.process.environment.insert(name.to_owned(), value);
        }
    }
}

/// Returns true if the word has the form of an assignment.
fn is_assignment(word: &Word) -> bool {
    let Some(Part::Text { text, quoted: false }) = word.0.first() else { return false };
    text.split_once('=').is_some_and(|(name, _)| is_name(name))
}
