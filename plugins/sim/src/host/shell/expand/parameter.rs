use super::field::ShellFields;
use crate::host::shell::grammar::Word;
use crate::host::shell::interpreter::{Dialect, Flow, Shell};
use crate::host::shell::pattern::matches;
use crate::host::shell::variables::is_name;

impl Shell<'_> {
    /// Returns the value of a variable or a special parameter.
    fn value(&self, name: &str) -> Option<String> {
        match name {
            "?" => Some(self.status.to_string()),
            "#" => Some(self.arguments.len().to_string()),
            "$" => Some("4711".to_owned()),
            "!" => self.background.map(|_| "4712".to_owned()),
            "-" => Some(self.letters()),
            "@" | "*" => (!self.arguments.is_empty()).then(|| self.arguments.join(" ")),
            "LINENO" => Some(self.line.to_string()),
            "PPID" => Some("4710".to_owned()),
            name => match name.parse::<usize>() {
                Ok(0) => Some(self.name.clone()),
                Ok(index) => self.arguments.get(index - 1).cloned(),
                Err(_) => self.variables.value(name).map(str::to_owned),
            },
        }
    }

    /// Returns the letters of the options that are on.
    fn letters(&self) -> String {
        let options = &self.options;
        let all = [
            (options.errexit, 'e'),
            (options.noglob, 'f'),
            (options.xtrace, 'x'),
            (options.allexport, 'a'),
            (options.nounset, 'u'),
        ];
        all.into_iter().filter(|(on, _)| *on).map(|(_, letter)| letter).collect()
    }

    /// Expands a parameter without an operator, or to its length.
    ///
    /// With `set -u` an unset variable is an error.
    pub(super) fn plain(&mut self, name: &str, length: bool) -> Result<String, Flow> {
        if length && (name == "@" || name == "*") {
            return Ok(self.arguments.len().to_string());
        }
        let value = self.value(name);
        let value = self.set_or_refused(name, value)?;
        Ok(if length { value.chars().count().to_string() } else { value })
    }

    /// Returns the value, or an empty text, unless `set -u` makes an unset variable an error.
    fn set_or_refused(&mut self, name: &str, value: Option<String>) -> Result<String, Flow> {
        match value {
            Some(value) => Ok(value),
            None if self.options.nounset && name != "@" && name != "*" => Err(self.abort(&match self.dialect {
                Dialect::Dash => format!("{name}: parameter not set"),
                Dialect::Bash => format!("{name}: unbound variable"),
            })),
            None => Ok(String::new()),
        }
    }

    /// Expands a parameter with its operator.
    pub(super) fn parameter(
        &mut self,
        fields: &mut ShellFields,
        name: &str,
        (operator, operand): (&str, &Word),
        quoted: bool,
    ) -> Result<(), Flow> {
        let value = self.value(name);
        let is_set = value.as_ref().is_some_and(|value| !operator.starts_with(':') || !value.is_empty());
        match operator.trim_start_matches(':') {
            "-" | "=" | "?" if is_set => self.expanded_value(fields, name, value, quoted),
            "-" => return self.parts(operand, fields, true),
            "+" if is_set => return self.parts(operand, fields, true),
            "+" => {
                if quoted {
                    fields.literal("", true);
                }
            }
            "=" => {
                let value = self.set_to(name, operand)?;
                fields.expanded(&value, quoted);
            }
            "?" => return Err(self.refuse_unset(name, operand)?),
            cut => {
                let value = self.set_or_refused(name, value)?;
                let pattern = self.as_pattern(operand)?;
                fields.expanded(&trimmed(&value, cut, &pattern), quoted);
            }
        }
        Ok(())
    }

    /// Appends the value of a parameter that is set.
    fn expanded_value(&mut self, fields: &mut ShellFields, name: &str, value: Option<String>, quoted: bool) {
        if name == "@" || name == "*" {
            self.positional(fields, name == "@", quoted);
        } else {
            fields.expanded(&value.unwrap_or_default(), quoted);
        }
    }

    /// Expands `${name:=word}`: assigns the word to an unset variable.
    fn set_to(&mut self, name: &str, operand: &Word) -> Result<String, Flow> {
        if !is_name(name) {
            return Err(self.abort(&format!("{name}: bad variable name")));
        }
        let value = self.single(operand)?;
        self.assign(name, value.clone())?;
        Ok(value)
    }

    /// Expands `${name:?message}` of an unset variable: ends the script with the message.
    fn refuse_unset(&mut self, name: &str, operand: &Word) -> Result<Flow, Flow> {
        let message = self.single(operand)?;
        let message = if message.is_empty() { "parameter not set".to_owned() } else { message };
        Ok(self.abort(&format!("{name}: {message}")))
    }
}

/// Removes a prefix or suffix that matches a pattern, as in `${name%pattern}`.
fn trimmed(value: &str, cut: &str, pattern: &str) -> String {
    let ends: Vec<usize> = value.char_indices().map(|(at, _)| at).chain([value.len()]).collect();
    let found = match cut {
        "%" => ends.iter().rev().find(|at| matches(pattern, &value[**at..])).map(|at| &value[..*at]),
        "%%" => ends.iter().find(|at| matches(pattern, &value[**at..])).map(|at| &value[..*at]),
        "#" => ends.iter().find(|at| matches(pattern, &value[..**at])).map(|at| &value[*at..]),
        _ => ends.iter().rev().find(|at| matches(pattern, &value[..**at])).map(|at| &value[*at..]),
    };
    found.unwrap_or(value).to_owned()
}
