use super::shell::{Flow, Run, Shell};
use crate::host::shell::grammar::{CommandKind, List, Word};
use crate::host::shell::pattern::matches;

impl Shell<'_> {
    /// Runs a compound command, or defines a function.
    pub(super) fn compound(&mut self, kind: &CommandKind) -> Run {
        match kind {
            CommandKind::Simple { assignments, words } => self.simple(assignments, words, &[]),
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
                return self.list(body);
            }
        }
        otherwise.map_or(Ok(0), |body| self.list(body))
    }

    /// Runs the loops `while` and `until`.
    fn repeat(&mut self, until: bool, condition: &List, body: &List) -> Run {
        self.loops += 1;
        let mut status = Ok(0);
        loop {
            let outcome = match self.condition(condition) {
                Ok(holds) if holds == until => break,
                Ok(_) => self.list(body),
                Err(flow) => Err(flow),
            };
            let (outcome, ends) = after_body(outcome);
            status = outcome;
            if ends {
                break;
            }
        }
        self.loops -= 1;
        status
    }

    /// Runs the loop `for`; without words it iterates over the arguments.
    fn iterate(&mut self, name: &str, words: Option<&[Word]>, body: &List) -> Run {
        let values = match words {
            Some(words) => self.fields(words)?,
            None => self.arguments.clone(),
        };
        self.loops += 1;
        let mut status = Ok(0);
        for value in values {
            let outcome = self.assign(name, value).and_then(|()| self.list(body));
            let (outcome, ends) = after_body(outcome);
            status = outcome;
            if ends {
                break;
            }
        }
        self.loops -= 1;
        status
    }

    /// Runs the command `case`: the first matching arm.
    fn select(&mut self, subject: &Word, arms: &[(Vec<Word>, List)]) -> Run {
        let subject = self.single(subject)?;
        for (patterns, body) in arms {
            for pattern in patterns {
                if matches(&self.as_pattern(pattern)?, &subject) {
                    return if body.0.is_empty() { Ok(0) } else { self.list(body) };
                }
            }
        }
        Ok(0)
    }
}

/// Applies `break` and `continue` to a loop. Returns its outcome so far, and true if it ends.
fn after_body(outcome: Run) -> (Run, bool) {
    match outcome {
        Err(Flow::Break(1)) => (Ok(0), true),
        Err(Flow::Continue(1)) => (Ok(0), false),
        Err(Flow::Break(levels)) => (Err(Flow::Break(levels - 1)), true),
        Err(Flow::Continue(levels)) => (Err(Flow::Continue(levels - 1)), true),
        Err(flow) => (Err(flow), true),
        Ok(status) => (Ok(status), false),
    }
}
