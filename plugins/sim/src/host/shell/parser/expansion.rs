use super::cursor::{Parsed, Parser, push};
use super::script::parse_in;
use crate::host::shell::grammar::{CommandKind, List, Part, RedirectKind, Word};

impl Parser {
    /// Parses an expansion that starts with `$` or a backquote.
    pub(super) fn expansion(&mut self, parts: &mut Vec<Part>, quoted: bool) -> Parsed<()> {
        self.nested(|parser| parser.any_expansion(parts, quoted))
    }

    fn any_expansion(&mut self, parts: &mut Vec<Part>, quoted: bool) -> Parsed<()> {
        if self.take("`") {
            return self.backquoted(parts, quoted);
        }
        self.next();
        if self.looking_at("((") {
            return self.arithmetic(parts, quoted);
        }
        if self.take("(") {
            let list = self.list()?;
            self.expect(")")?;
            if reads_a_file(&list) {
                self.refuse("$(<file)")?;
            }
            parts.push(Part::Substitution { list, quoted });
            return Ok(());
        }
        if self.take("{") {
            return self.braced(parts, quoted);
        }
        if !quoted && (self.looking_at("'") || self.looking_at("\"")) {
            self.refuse("$'…'")?;
        }
        let mut name = self.name();
        if name.is_empty() && self.peek().is_some_and(is_special) {
            name.extend(self.next());
        }
        if name.is_empty() {
            push(parts, '$', quoted);
        } else {
            parts.push(Part::Parameter { name, operator: None, length: false, quoted });
        }
        Ok(())
    }

    /// Parses a command substitution in backquotes.
    fn backquoted(&mut self, parts: &mut Vec<Part>, quoted: bool) -> Parsed<()> {
        let special = if quoted { "`\\$\"" } else { "`\\$" };
        let mut script = String::new();
        loop {
            match self.next() {
                Some('`') => break,
                Some('\\') if self.peek().is_some_and(|c| special.contains(c)) => script.extend(self.next()),
                Some(c) => script.push(c),
                None => return Err(self.error("Syntax error: EOF in backquote substitution")),
            }
        }
        parts.push(Part::Substitution { list: parse_in(&script, self.depth)?, quoted });
        Ok(())
    }

    /// Parses an arithmetic expansion, `$((…))`.
    fn arithmetic(&mut self, parts: &mut Vec<Part>, quoted: bool) -> Parsed<()> {
        self.take("((");
        let mut expression = Vec::new();
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Some(')') if depth == 0 => break,
                Some('$' | '`') => self.expansion(&mut expression, true)?,
                Some('\\') => self.escaped_in_quotes(&mut expression, "$`\\\""),
                Some(c) => {
                    depth = if c == '(' { depth + 1 } else { depth - usize::from(c == ')') };
                    self.next();
                    push(&mut expression, c, true);
                }
                None => return Err(self.error("Syntax error: Missing '))'")),
            }
        }
        if !self.take("))") {
            return Err(self.error("Syntax error: Missing '))'"));
        }
        parts.push(Part::Arithmetic { expression: Word(expression), quoted });
        Ok(())
    }

    /// Parses a parameter expansion in braces.
    fn braced(&mut self, parts: &mut Vec<Part>, quoted: bool) -> Parsed<()> {
        let length = self.looking_at("#") && !self.looking_at("#}") && self.take("#");
        let mut name = self.name();
        while name.chars().all(|c| c.is_ascii_digit()) && self.peek().is_some_and(|c| c.is_ascii_digit()) {
            name.extend(self.next());
        }
        if name.is_empty() && self.peek().is_some_and(is_special) {
            name.extend(self.next());
        }
        let operators = [":-", ":=", ":+", ":?", "-", "=", "+", "?", "%%", "%", "##", "#"];
        let operator = operators.into_iter().find(|operator| self.take(operator));
        // The pattern to remove is not quoted by double quotes around the expansion.
        let is_pattern = operator.is_some_and(|operator| operator.starts_with(['%', '#']));
        let operand = self.operand(quoted && !is_pattern)?;
        let is_valid = !name.is_empty() && if length { operator.is_none() } else { true };
        let operator = match operator {
            Some(operator) if is_valid => Some((operator.to_owned(), operand)),
            None if is_valid && operand.0.is_empty() => None,
            _ => {
                parts.push(Part::BadSubstitution);
                return Ok(());
            }
        };
        parts.push(Part::Parameter { name, operator, length, quoted });
        Ok(())
    }

    /// Parses the word between an operator and the closing brace.
    fn operand(&mut self, quoted: bool) -> Parsed<Word> {
        let mut parts = Vec::new();
        loop {
            match self.peek() {
                Some('}') => {
                    self.next();
                    return Ok(Word(parts));
                }
                None => return Err(self.error("Syntax error: Missing '}'")),
                Some('\'') if !quoted => self.single_quoted(&mut parts)?,
                Some('"') => self.quoted(&mut parts)?,
                Some('\\') if quoted => self.escaped_in_quotes(&mut parts, "$`\\\"}"),
                Some('\\') => self.escaped(&mut parts),
                Some('$' | '`') => self.expansion(&mut parts, quoted)?,
                Some(c) => {
                    self.next();
                    push(&mut parts, c, quoted);
                }
            }
        }
    }
}

/// Returns true if the character is the name of a special or positional parameter.
fn is_special(c: char) -> bool {
    c.is_ascii_digit() || "@*#?$!-".contains(c)
}

/// Returns true for the list of `$(<file)`, which bash expands to the content of the file.
fn reads_a_file(list: &List) -> bool {
    let [item] = list.0.as_slice() else { return false };
    let [command] = item.first.commands.as_slice() else { return false };
    let is_empty = matches!(&command.kind, CommandKind::Simple { assignments, words } if assignments.is_empty() && words.is_empty());
    is_empty && matches!(command.redirects.as_slice(), [only] if matches!(only.kind, RedirectKind::Read(_)))
}
