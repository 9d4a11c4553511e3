use super::grammar::{Part, Word};
use super::interpreter::{Dialect, Flow, Shell};
use super::pattern::matches;
use crate::host::state::Files;

/// Field under construction: its characters, and a flag for each quoted one.
#[derive(Default)]
struct ShellField {
    characters: Vec<(char, bool)>,
}

impl ShellField {
    /// Returns the characters of the field as text.
    fn text(&self) -> String {
        self.characters.iter().map(|(c, _)| c).collect()
    }

    /// Returns the field as a pattern in which only unquoted characters are special.
    fn pattern(&self) -> String {
        let mut pattern = String::new();
        for (c, quoted) in &self.characters {
            if *quoted && "*?[]\\".contains(*c) {
                pattern.push('\\');
            }
            pattern.push(*c);
        }
        pattern
    }

    /// Returns true if an unquoted character makes the field a pattern.
    fn is_pattern(&self) -> bool {
        self.characters.iter().any(|(c, quoted)| !quoted && "*?[".contains(*c))
    }
}

impl Shell<'_> {
    /// Expands words to the arguments of a command.
    pub(super) fn fields(&mut self, words: &[Word]) -> Result<Vec<String>, Flow> {
        let mut all = Vec::new();
        for word in words {
            for field in self.split(word, true)? {
                all.extend(self.paths(&field)?);
            }
        }
        Ok(all)
    }

    /// Expands a word to one text, without splitting, as in an assignment.
    pub(super) fn single(&mut self, word: &Word) -> Result<String, Flow> {
        let fields = self.split(word, false)?;
        Ok(fields.iter().map(ShellField::text).collect::<Vec<_>>().join(" "))
    }

    /// Expands a word to a pattern, as in `case`.
    pub(super) fn as_pattern(&mut self, word: &Word) -> Result<String, Flow> {
        let fields = self.split(word, false)?;
        Ok(fields.iter().map(ShellField::pattern).collect())
    }

    /// Expands a word to fields, split at blanks if `splitting` is true.
    fn split(&mut self, word: &Word, splitting: bool) -> Result<Vec<ShellField>, Flow> {
        let mut fields = ShellFields { done: Vec::new(), current: None, splitting };
        for (index, part) in word.0.iter().enumerate() {
            match part {
                // Without arguments, `"$@"` expands to no field instead of an empty one.
                Part::Text { text, quoted: true } if text.is_empty() && is_all_arguments(word.0.get(index + 1)) => {}
                Part::Text { text, quoted } => {
                    let text = if index == 0 && !quoted { self.home(text) } else { text.clone() };
                    fields.literal(&text, *quoted);
                }
                Part::Parameter { name, operator: None, length: false, quoted } if name == "@" || name == "*" => {
                    self.positional(&mut fields, name == "@", *quoted);
                }
                Part::Parameter { name, operator, length, quoted } => {
                    let value = self.parameter(name, operator.as_ref(), *length)?;
                    fields.expanded(&value, *quoted);
                }
                Part::Substitution { list, quoted } => {
                    let output = self.substitute(list)?;
                    fields.expanded(&output, *quoted);
                }
                Part::Arithmetic { expression, quoted } => {
                    let text = self.single(expression)?;
                    let value = self.calculate(&text)?;
                    fields.expanded(&value.to_string(), *quoted);
                }
            }
        }
        fields.done.extend(fields.current);
        Ok(fields.done)
    }

    /// Expands `$@` or `$*`.
    fn positional(&mut self, fields: &mut ShellFields, each: bool, quoted: bool) {
        let values = self.arguments.clone();
        if quoted && !each {
            fields.expanded(&values.join(" "), true);
            return;
        }
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                fields.finish();
            }
            fields.expanded(value, quoted);
        }
    }

    /// Replaces a tilde at the start of the text by the home directory.
    fn home(&self, text: &str) -> String {
        let rest = text.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
        match (rest, self.process.environment.get("HOME")) {
            (Some(rest), Some(home)) => format!("{home}{rest}"),
            _ => text.to_owned(),
        }
    }

    /// Returns the value of a variable or a special parameter.
    fn value(&self, name: &str) -> Option<String> {
        match name {
            "?" => Some(self.status.to_string()),
            "#" => Some(self.arguments.len().to_string()),
            "$" => Some("4711".to_owned()),
            "!" => None,
            "-" => Some(String::new()),
            "0" => Some(self.name.clone()),
            "@" | "*" => Some(self.arguments.join(" ")),
            name => match name.parse::<usize>() {
                Ok(index) => self.arguments.get(index - 1).cloned(),
                Err(_) => self.variables.get(name).or_else(|| self.process.environment.get(name)).cloned(),
            },
        }
    }

    /// Expands a parameter with its operator, or to its length.
    fn parameter(&mut self, name: &str, operator: Option<&(String, Word)>, length: bool) -> Result<String, Flow> {
        let value = self.value(name);
        if length {
            return Ok(value.unwrap_or_default().chars().count().to_string());
        }
        let Some((operator, operand)) = operator else { return self.plain(name, value) };
        let set = value.clone().filter(|value| !operator.starts_with(':') || !value.is_empty());
        match operator.trim_start_matches(':') {
            "-" => set.map_or_else(|| self.single(operand), Ok),
            "+" => set.map_or_else(|| Ok(String::new()), |_| self.single(operand)),
            "=" => set.map_or_else(|| self.set_to(name, operand), Ok),
            "?" => set.map_or_else(|| self.refuse(name, operand), Ok),
            cut => {
                let pattern = self.as_pattern(operand)?;
                Ok(trimmed(&value.unwrap_or_default(), cut, &pattern))
            }
        }
    }

    /// Expands `${name:=word}`: assigns the word to an unset variable.
    fn set_to(&mut self, name: &str, operand: &Word) -> Result<String, Flow> {
        let value = self.single(operand)?;
        self.variables.insert(name.to_owned(), value.clone());
        Ok(value)
    }

    /// Expands `${name:?message}`: ends the script with the message if the variable is unset.
    fn refuse(&mut self, name: &str, operand: &Word) -> Result<String, Flow> {
        let message = self.single(operand)?;
        let message = if message.is_empty() { "parameter not set".to_owned() } else { message };
        self.complain(&format!("{name}: {message}"));
        Err(Flow::Exit(if self.dialect == Dialect::Dash { 2 } else { 1 }))
    }

    /// Expands a parameter without an operator.
    ///
    /// With `set -u` an unset variable is an error.
    fn plain(&mut self, name: &str, value: Option<String>) -> Result<String, Flow> {
        match value {
            Some(value) => Ok(value),
            None if self.options.unset => {
                self.complain(&match self.dialect {
                    Dialect::Dash => format!("{name}: parameter not set"),
                    Dialect::Bash => format!("{name}: unbound variable"),
                });
                Err(Flow::Exit(if self.dialect == Dialect::Dash { 2 } else { 1 }))
            }
            None => Ok(String::new()),
        }
    }

    /// Returns the paths that match a field.
    ///
    /// A field that is not a pattern, or that matches nothing, is returned unchanged.
    fn paths(&mut self, field: &ShellField) -> Result<Vec<String>, Flow> {
        if !field.is_pattern() {
            return Ok(vec![field.text()]);
        }
        let text = field.text();
        let pattern = Files::absolute(&self.process.directory, &field.pattern().replace('\\', ""));
        let paths = self.process.with(|place| {
            let depth = pattern.matches('/').count();
            let keys = place.machine.files.nodes.keys().filter(|path| path.matches('/').count() == depth);
            keys.filter(|path| same_parts(&pattern, path)).cloned().collect::<Vec<_>>()
        })?;
        Ok(if paths.is_empty() { vec![text] } else { paths })
    }
}

/// Returns true if the part of a word is `$@`.
fn is_all_arguments(part: Option<&Part>) -> bool {
    matches!(part, Some(Part::Parameter { name, operator: None, length: false, quoted: true }) if name == "@")
}

/// Matches a path with a pattern, component by component.
///
/// A name that starts with a dot needs a pattern that does, too.
fn same_parts(pattern: &str, path: &str) -> bool {
    let hidden = |pattern: &str, part: &str| part.starts_with('.') && !pattern.starts_with('.');
    pattern.split('/').zip(path.split('/')).all(|(pattern, part)| !hidden(pattern, part) && matches(pattern, part))
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

/// Fields of one word under construction.
struct ShellFields {
    done: Vec<ShellField>,
    current: Option<ShellField>,
    splitting: bool,
}

impl ShellFields {
    /// Appends literal text to the current field.
    fn literal(&mut self, text: &str, quoted: bool) {
        self.current.get_or_insert_default().characters.extend(text.chars().map(|c| (c, quoted)));
    }

    /// Appends the result of an expansion, split at blanks unless it is quoted.
    fn expanded(&mut self, value: &str, quoted: bool) {
        if quoted || !self.splitting {
            self.literal(value, quoted || !self.splitting);
            return;
        }
        for c in value.chars() {
            if matches!(c, ' ' | '\t' | '\n') {
                self.finish();
            } else {
                self.current.get_or_insert_default().characters.push((c, false));
            }
        }
    }

    /// Ends the current field.
    fn finish(&mut self) {
        self.done.extend(self.current.take());
    }
}
