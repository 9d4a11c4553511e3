use super::cursor::{Parsed, Parser};
use crate::host::shell::grammar::{AndOr, Command, CommandKind, Connector, List, Pipeline, Word};

/// Words at the start of a command that only bash reserves.
const BASH_WORDS: [&str; 4] = ["[[", "function", "select", "time"];

impl Parser {
    /// Parses a list up to a reserved word or the end.
    pub(super) fn list(&mut self) -> Parsed<List> {
        let mut items = Vec::new();
        loop {
            self.newlines()?;
            if self.peek().is_none() || self.ends_list() {
                return Ok(List(items));
            }
            let (item, is_separated) = self.item()?;
            items.push(item);
            if !is_separated && self.peek() != Some('\n') {
                return Ok(List(items));
            }
        }
    }

    /// Parses a list that has at least one command.
    fn commands(&mut self) -> Parsed<List> {
        let list = self.list()?;
        if list.0.is_empty() { Err(self.unexpected()) } else { Ok(list) }
    }

    /// Parses one item of a list. Returns true if `;` or `&` follows it, which is consumed.
    pub(super) fn item(&mut self) -> Parsed<(AndOr, bool)> {
        let mut item = self.and_or()?;
        self.blanks();
        item.background = self.peek() == Some('&');
        let is_separated = item.background || (self.peek() == Some(';') && !self.looking_at(";;"));
        if is_separated {
            self.next();
        }
        Ok((item, is_separated))
    }

    /// Parses pipelines joined by `&&` and `||`.
    fn and_or(&mut self) -> Parsed<AndOr> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            self.blanks();
            let connector = if self.take("&&") {
                Connector::And
            } else if self.take("||") {
                Connector::Or
            } else {
                return Ok(AndOr { first, rest, background: false });
            };
            self.newlines()?;
            rest.push((connector, self.pipeline()?));
        }
    }

    /// Parses commands joined by `|`.
    fn pipeline(&mut self) -> Parsed<Pipeline> {
        let negated = self.keyword("!");
        let mut commands = vec![self.command()?];
        loop {
            self.blanks();
            if self.looking_at("||") || !self.take("|") {
                return Ok(Pipeline { negated, commands });
            }
            self.newlines()?;
            commands.push(self.command()?);
        }
    }

    /// Parses one command.
    fn command(&mut self) -> Parsed<Command> {
        self.blanks();
        let line = self.line;
        let kind = self.nested(Self::compound)?;
        let Some(kind) = kind else { return self.simple(line) };
        let mut redirects = Vec::new();
        self.blanks();
        while let Some(redirect) = self.redirect()? {
            redirects.push(redirect);
            self.blanks();
        }
        Ok(Command { kind, redirects, line })
    }

    /// Parses a compound command, if one starts here.
    fn compound(&mut self) -> Parsed<Option<CommandKind>> {
        if self.looking_at("((") {
            self.refuse("((")?;
        }
        if self.take("(") {
            let list = self.commands()?;
            self.expect(")")?;
            return Ok(Some(CommandKind::Subshell(list)));
        }
        if self.keyword("{") {
            let list = self.commands()?;
            self.expect("}")?;
            return Ok(Some(CommandKind::Group(list)));
        }
        if self.keyword("if") {
            return self.conditional().map(Some);
        }
        if self.keyword("while") {
            return self.repetition(false).map(Some);
        }
        if self.keyword("until") {
            return self.repetition(true).map(Some);
        }
        if self.keyword("for") {
            return self.iteration().map(Some);
        }
        if self.keyword("case") {
            return self.selection().map(Some);
        }
        if self.refuses_bash
            && let Some(word) = BASH_WORDS.into_iter().find(|word| self.keyword(word))
        {
            self.refuse(word)?;
        }
        self.function()
    }

    /// Parses the rest of an `if` command.
    fn conditional(&mut self) -> Parsed<CommandKind> {
        let mut branches = Vec::new();
        loop {
            let condition = self.commands()?;
            self.expect("then")?;
            branches.push((condition, self.commands()?));
            self.newlines()?;
            if self.keyword("elif") {
                continue;
            }
            let otherwise = if self.keyword("else") { Some(self.commands()?) } else { None };
            self.expect("fi")?;
            return Ok(CommandKind::If { branches, otherwise });
        }
    }

    /// Parses the rest of a `while` or `until` loop.
    fn repetition(&mut self, until: bool) -> Parsed<CommandKind> {
        let condition = self.commands()?;
        self.expect("do")?;
        let body = self.commands()?;
        self.expect("done")?;
        Ok(CommandKind::While { until, condition, body })
    }

    /// Parses the rest of a `for` loop.
    fn iteration(&mut self) -> Parsed<CommandKind> {
        self.blanks();
        let name = self.name();
        if name.is_empty() {
            return Err(self.error("Syntax error: Bad for loop variable"));
        }
        self.newlines()?;
        let words = if self.keyword("in") { Some(self.words()?) } else { None };
        self.blanks();
        if !self.looking_at(";;") {
            self.take(";");
        }
        self.expect("do")?;
        let body = self.commands()?;
        self.expect("done")?;
        Ok(CommandKind::For { name, words, body })
    }

    /// Parses words up to an operator or a line end.
    fn words(&mut self) -> Parsed<Vec<Word>> {
        let mut words = Vec::new();
        loop {
            self.blanks();
            match self.word()? {
                Some(word) => words.push(word),
                None => return Ok(words),
            }
        }
    }

    /// Parses the rest of a `case` command.
    fn selection(&mut self) -> Parsed<CommandKind> {
        self.blanks();
        let subject = self.word()?.ok_or_else(|| self.unexpected())?;
        self.expect("in")?;
        let mut arms = Vec::new();
        loop {
            self.newlines()?;
            if self.keyword("esac") {
                return Ok(CommandKind::Case { subject, arms });
            }
            arms.push(self.arm()?);
        }
    }

    /// Parses one arm of a `case` command.
    fn arm(&mut self) -> Parsed<(Vec<Word>, List)> {
        self.take("(");
        let mut patterns = Vec::new();
        loop {
            self.blanks();
            patterns.push(self.word()?.ok_or_else(|| self.unexpected())?);
            self.blanks();
            if !self.take("|") {
                break;
            }
        }
        self.blanks();
        if !self.take(")") {
            return Err(self.unexpected());
        }
        let body = self.list()?;
        self.newlines()?;
        if !self.take(";;") {
            self.blanks();
            let at = self.at;
            if !self.keyword("esac") {
                return Err(self.unexpected());
            }
            self.at = at;
        }
        Ok((patterns, body))
    }

    /// Parses the definition of a function, if one starts here.
    fn function(&mut self) -> Parsed<Option<CommandKind>> {
        let start = (self.at, self.line);
        let name = self.name();
        self.blanks();
        if name.is_empty() || !self.take("(") {
            (self.at, self.line) = start;
            return Ok(None);
        }
        self.blanks();
        if !self.take(")") {
            return Err(self.unexpected());
        }
        self.newlines()?;
        let body = Box::new(self.command()?);
        Ok(Some(CommandKind::Function { name, body }))
    }

    /// Parses a simple command with its assignments and redirections.
    fn simple(&mut self, line: usize) -> Parsed<Command> {
        let (mut assignments, mut words, mut redirects) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            self.blanks();
            if let Some(redirect) = self.redirect()? {
                redirects.push(redirect);
            } else if let Some(assignment) = self.assignment(words.is_empty())? {
                assignments.push(assignment);
            } else if let Some(word) = self.word()? {
                words.push(word);
            } else {
                break;
            }
        }
        if assignments.is_empty() && words.is_empty() && redirects.is_empty() {
            return Err(self.unexpected());
        }
        Ok(Command { kind: CommandKind::Simple { assignments, words }, redirects, line })
    }

    /// Parses an assignment, if one starts here and is allowed.
    fn assignment(&mut self, allowed: bool) -> Parsed<Option<(String, Word)>> {
        let start = (self.at, self.line);
        let name = self.name();
        if allowed && !name.is_empty() && (self.looking_at("+=") || self.looking_at("[")) {
            self.refuse("assignment to an array, or with +=")?;
        }
        if !allowed || name.is_empty() || !self.take("=") {
            (self.at, self.line) = start;
            return Ok(None);
        }
        if self.looking_at("(") {
            self.refuse("array")?;
        }
        let value = self.word()?.unwrap_or_default();
        Ok(Some((name, value)))
    }
}
