use super::field::{ShellField, ShellFields};
use crate::host::shell::arithmetic::{Arithmetic, ArithmeticVariables};
use crate::host::shell::grammar::{Part, Word};
use crate::host::shell::interpreter::{Flow, Shell};
use crate::host::shell::variables::Variables;

impl Shell<'_> {
    /// Expands words to the arguments of a command.
    pub(in crate::host::shell) fn fields(&mut self, words: &[Word]) -> Result<Vec<String>, Flow> {
        let mut all = Vec::new();
        for word in words {
            let separators = self.variables.value("IFS").unwrap_or(" \t\n").to_owned();
            for field in self.expand(word, Some(separators))? {
                all.extend(self.paths(&field)?);
            }
        }
        Ok(all)
    }

    /// Expands a word to one text, without splitting.
    pub(in crate::host::shell) fn single(&mut self, word: &Word) -> Result<String, Flow> {
        let fields = self.expand(word, None)?;
        Ok(fields.iter().map(ShellField::text).collect::<Vec<_>>().join(" "))
    }

    /// Expands the value of an assignment, in which a tilde may follow a colon.
    pub(in crate::host::shell) fn single_assigned(&mut self, word: &Word) -> Result<String, Flow> {
        let mut word = word.clone();
        for (index, part) in word.0.iter_mut().enumerate() {
            if let Part::Text { text, quoted: false } = part {
                let pieces: Vec<String> = text.split_inclusive([':', '=']).map(|piece| self.home(piece)).collect();
                let first = text.split_inclusive([':', '=']).next().unwrap_or_default().to_owned();
                *text = pieces.concat();
                if index > 0 && first.starts_with('~') {
                    *text = format!("{first}{}", pieces[1..].concat());
                }
            }
        }
        self.single(&word)
    }

    /// Expands a word to a pattern, as in `case`.
    pub(in crate::host::shell) fn as_pattern(&mut self, word: &Word) -> Result<String, Flow> {
        let fields = self.expand(word, None)?;
        Ok(fields.iter().map(ShellField::pattern).collect::<Vec<_>>().join(" "))
    }

    /// Expands a word to fields, split at the characters of `separators`, if there are any.
    fn expand(&mut self, word: &Word, separators: Option<String>) -> Result<Vec<ShellField>, Flow> {
        let mut fields = ShellFields::new(separators);
        self.parts(word, &mut fields, false)?;
        Ok(fields.into_fields())
    }

    /// Expands the parts of a word. The unquoted text of an operand is split like its expansions.
    pub(super) fn parts(&mut self, word: &Word, fields: &mut ShellFields, is_operand: bool) -> Result<(), Flow> {
        for (index, part) in word.0.iter().enumerate() {
            match part {
                // Without arguments, `"$@"` expands to no field instead of an empty one.
                Part::Text { text, quoted: true }
                    if text.is_empty() && self.arguments.is_empty() && is_all_arguments(word.0.get(index + 1)) => {}
                Part::Text { text, quoted: true } => fields.literal(text, true),
                Part::Text { text, quoted: false } => {
                    let text = if index == 0 { self.home_of_word(text, word.0.len() == 1) } else { text.clone() };
                    if is_operand { fields.expanded(&text, false) } else { fields.literal(&text, false) }
                }
                Part::Parameter { name, operator: None, length: false, quoted } if name == "@" || name == "*" => {
                    self.positional(fields, name == "@", *quoted);
                }
                Part::Parameter { name, operator: None, length, quoted } => {
                    let value = self.plain(name, *length)?;
                    fields.expanded(&value, *quoted);
                }
                Part::Parameter { name, operator: Some((operator, operand)), quoted, .. } => {
                    self.parameter(fields, name, (operator, operand), *quoted)?;
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
                Part::BadSubstitution => return Err(self.abort("Bad substitution")),
            }
        }
        Ok(())
    }

    /// Expands `$@` or `$*`.
    pub(super) fn positional(&mut self, fields: &mut ShellFields, each: bool, quoted: bool) {
        let values = self.arguments.clone();
        let separators = self.variables.value("IFS").unwrap_or(" \t\n");
        let separator = separators.chars().next().map(String::from).unwrap_or_default();
        if !each && (quoted || !fields.splits()) {
            return fields.expanded(&values.join(&separator), quoted);
        }
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                fields.finish();
            }
            fields.expanded(value, quoted);
        }
    }

    /// Replaces a tilde at the start of a word. It must end the text or be followed by a slash.
    fn home_of_word(&self, text: &str, is_whole: bool) -> String {
        if text == "~" && !is_whole { text.to_owned() } else { self.home(text) }
    }

    /// Replaces a tilde at the start of the text by the home directory.
    fn home(&self, text: &str) -> String {
        let rest = text.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with(['/', ':']));
        match (rest, self.variables.value("HOME")) {
            (Some(rest), Some(home)) => format!("{home}{rest}"),
            _ => text.to_owned(),
        }
    }

    /// Evaluates an arithmetic expression.
    ///
    /// # Errors
    ///
    /// An expression that is not valid ends the script.
    fn calculate(&mut self, text: &str) -> Result<i64, Flow> {
        let mut variables = Assigned { variables: &self.variables, assigned: Vec::new() };
        let value = Arithmetic::new(text, &mut variables).value();
        for (name, value) in variables.assigned {
            self.assign(&name, value.to_string())?;
        }
        value.map_err(|error| self.abort(&error))
    }
}

/// Variables of a shell, with those that an expression has assigned.
struct Assigned<'a> {
    variables: &'a Variables,
    assigned: Vec<(String, i64)>,
}

impl ArithmeticVariables for Assigned<'_> {
    fn value(&self, name: &str) -> Option<String> {
        let assigned = self.assigned.iter().rev().find(|(assigned, _)| assigned == name);
        assigned.map_or_else(|| self.variables.value(name).map(str::to_owned), |(_, value)| Some(value.to_string()))
    }

    fn assign(&mut self, name: &str, value: i64) {
        self.assigned.push((name.to_owned(), value));
    }
}

/// Returns true if the part of a word is `$@` in double quotes.
fn is_all_arguments(part: Option<&Part>) -> bool {
    matches!(part, Some(Part::Parameter { name, operator: None, length: false, quoted: true }) if name == "@")
}
