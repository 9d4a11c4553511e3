/// Field under construction: its characters, and a flag for each quoted one.
#[derive(Debug, Clone, Default)]
pub(super) struct ShellField {
    pub(super) characters: Vec<(char, bool)>,
}

impl ShellField {
    /// Returns the characters of the field as text.
    pub(super) fn text(&self) -> String {
        self.characters.iter().map(|(c, _)| c).collect()
    }

    /// Returns the field as a pattern in which only unquoted characters are special.
    pub(super) fn pattern(&self) -> String {
        pattern(&self.characters)
    }

    /// Returns true if an unquoted character makes the field a pattern.
    pub(super) fn is_pattern(&self) -> bool {
        is_pattern(&self.characters)
    }
}

/// Returns characters as a pattern in which only unquoted ones are special.
pub(super) fn pattern(characters: &[(char, bool)]) -> String {
    let mut pattern = String::new();
    for (c, quoted) in characters {
        if *quoted && "*?[]\\!-^".contains(*c) {
            pattern.push('\\');
        }
        pattern.push(*c);
    }
    pattern
}

/// Returns true if an unquoted character is special in a pattern.
pub(super) fn is_pattern(characters: &[(char, bool)]) -> bool {
    characters.iter().any(|(c, quoted)| !quoted && "*?[".contains(*c))
}

/// Delimiter that ended the last field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Delimiter {
    /// No delimiter since the last character of a field.
    #[default]
    None,
    Blank,
    /// Character of `IFS` that is not a blank. Two of them make an empty field.
    Character,
}

/// Fields of one word under construction.
pub(super) struct ShellFields {
    done: Vec<ShellField>,
    current: Option<ShellField>,
    delimiter: Delimiter,
    /// Value of `IFS`; `None` if expansions are not split.
    separators: Option<String>,
}

impl ShellFields {
    /// Creates an empty list of fields, split at the characters of `separators`.
    pub(super) fn new(separators: Option<String>) -> Self {
        Self { done: Vec::new(), current: None, delimiter: Delimiter::None, separators }
    }

    /// Returns true if the results of expansions are split.
    pub(super) fn splits(&self) -> bool {
        self.separators.is_some()
    }

    /// Returns the fields.
    pub(super) fn into_fields(mut self) -> Vec<ShellField> {
        self.finish();
        self.done
    }

    /// Appends literal text to the current field.
    pub(super) fn literal(&mut self, text: &str, quoted: bool) {
        self.delimiter = Delimiter::None;
        self.current.get_or_insert_default().characters.extend(text.chars().map(|c| (c, quoted)));
    }

    /// Appends the result of an expansion, split unless it is quoted.
    pub(super) fn expanded(&mut self, value: &str, quoted: bool) {
        let Some(separators) = self.separators.clone().filter(|_| !quoted) else {
            return self.literal(value, quoted);
        };
        for c in value.chars() {
            if !separators.contains(c) {
                self.delimiter = Delimiter::None;
                self.current.get_or_insert_default().characters.push((c, false));
            } else if matches!(c, ' ' | '\t' | '\n') {
                self.delimiter = if self.current.is_some() { Delimiter::Blank } else { self.delimiter };
                self.finish();
            } else {
                if self.current.is_none() && self.delimiter != Delimiter::Blank {
                    self.current = Some(ShellField::default());
                }
                self.finish();
                self.delimiter = Delimiter::Character;
            }
        }
    }

    /// Ends the current field.
    pub(super) fn finish(&mut self) {
        self.done.extend(self.current.take());
    }
}
