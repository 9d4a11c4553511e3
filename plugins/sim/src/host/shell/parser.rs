use super::grammar::{AndOr, Command, CommandKind, Connector, List, Part, Pipeline, Redirect, RedirectKind, Word};

/// Syntax error of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParseError {
    /// Line on which the error was found, from 1.
    pub(crate) line: usize,
    /// Message in dash's wording.
    pub(crate) message: String,
    /// True if more lines could complete the script.
    pub(crate) incomplete: bool,
}

/// Parses a script into a list of commands.
pub(crate) fn parse(script: &str) -> Result<List, ParseError> {
    let mut parser = Parser { text: script.chars().collect(), at: 0, line: 1, documents: Vec::new() };
    let list = parser.list()?;
    match parser.peek() {
        None => Ok(list),
        Some(_) => Err(parser.unexpected()),
    }
}

/// State of the parser: the characters of the script and the position.
struct Parser {
    text: Vec<char>,
    at: usize,
    line: usize,
    /// Here-documents whose lines start after the next line end.
    documents: Vec<Document>,
}

/// Here-document that was announced: its delimiter, and the flags of its expansion.
struct Document {
    delimiter: String,
    literal: bool,
    strip: bool,
}

/// Placeholder for a here-document whose lines are not read yet.
const PENDING: &str = "\u{0}document";

/// Reserved words and operators that end a list of commands.
const RESERVED: [&str; 12] = ["then", "else", "elif", "fi", "do", "done", "esac", "}", "in", ")", ";;", "]]"];

/// Result of parsing one construct.
type Parsed<T> = Result<T, ParseError>;

impl Parser {
    /// Returns the current character without consuming it.
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    /// Returns true if the remaining script starts with `text`.
    fn looking_at(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(offset, c)| self.text.get(self.at + offset) == Some(&c))
    }

    /// Consumes and returns the current character.
    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    /// Consumes `text` if it comes next.
    fn take(&mut self, text: &str) -> bool {
        let there = self.looking_at(text);
        if there {
            for _ in text.chars() {
                self.next();
            }
        }
        there
    }

    /// Returns an error at the current line.
    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError { line: self.line, message: message.into(), incomplete: self.at >= self.text.len() }
    }

    /// Returns dash's error for an unexpected word or the end of the script.
    fn unexpected(&self) -> ParseError {
        let token: String = match self.peek() {
            None => return self.error("Syntax error: end of file unexpected"),
            Some('\n') => return self.error("Syntax error: newline unexpected"),
            Some(c @ (';' | '&' | '|' | '(' | ')' | '<' | '>')) => c.to_string(),
            Some(_) => {
                self.text[self.at..].iter().take_while(|c| !c.is_whitespace() && !";&|()".contains(**c)).collect()
            }
        };
        self.error(format!("Syntax error: \"{token}\" unexpected"))
    }

    /// Skips blanks, comments and continued lines.
    fn blanks(&mut self) {
        loop {
            if self.take("\\\n") {
                continue;
            }
            match self.peek() {
                Some(' ' | '\t' | '\r') => drop(self.next()),
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.next();
                    }
                }
                _ => return,
            }
        }
    }

    /// Skips blanks, comments and line ends.
    fn newlines(&mut self) {
        loop {
            self.blanks();
            if self.peek() != Some('\n') {
                return;
            }
            self.next();
        }
    }

    /// Returns the reserved word at the current position, if any.
    fn reserved(&self) -> Option<&'static str> {
        let ends = |word: &str| {
            let after = self.text.get(self.at + word.chars().count());
            matches!(word, ")" | ";;") || after.is_none_or(|c| c.is_whitespace() || ";&|()<>".contains(*c))
        };
        RESERVED.into_iter().find(|word| self.looking_at(word) && ends(word))
    }

    /// Consumes a reserved word if it comes next.
    fn keyword(&mut self, word: &str) -> bool {
        self.blanks();
        let after = self.text.get(self.at + word.chars().count());
        let ends = after.is_none_or(|c| c.is_whitespace() || ";&|()<>".contains(*c));
        ends && self.take(word)
    }

    /// Consumes a reserved word that must come next.
    fn expect(&mut self, word: &str) -> Parsed<()> {
        self.newlines();
        if self.keyword(word) || (matches!(word, ")" | "}") && self.take(word)) {
            return Ok(());
        }
        Err(self.unexpected())
    }

    /// Parses a list up to a reserved word or the end.
    fn list(&mut self) -> Parsed<List> {
        let mut items = Vec::new();
        loop {
            self.newlines();
            if self.peek().is_none() || self.reserved().is_some() {
                return Ok(List(items));
            }
            let mut item = self.and_or()?;
            self.blanks();
            item.background = self.peek() == Some('&');
            items.push(item);
            if !self.separator(&mut items)? {
                return Ok(List(items));
            }
        }
    }

    /// Consumes `;`, `&` or a line end, with the here-documents that follow it.
    fn separator(&mut self, items: &mut [AndOr]) -> Parsed<bool> {
        match self.peek() {
            Some(';') if self.looking_at(";;") => Ok(false),
            Some(';' | '&') => {
                self.next();
                self.blanks();
                if self.peek() == Some('\n') { self.line_end(items) } else { Ok(true) }
            }
            Some('\n') => self.line_end(items),
            _ => Ok(false),
        }
    }

    /// Consumes a line end and reads the here-documents after it.
    fn line_end(&mut self, items: &mut [AndOr]) -> Parsed<bool> {
        self.next();
        for document in std::mem::take(&mut self.documents) {
            let body = self.document(&document)?;
            fill(items, &body);
        }
        Ok(true)
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
            self.newlines();
            rest.push((connector, self.pipeline()?));
        }
    }

    /// Parses commands joined by `|`.
    fn pipeline(&mut self) -> Parsed<Pipeline> {
        self.blanks();
        let negated = self.keyword("!");
        let mut commands = vec![self.command()?];
        loop {
            self.blanks();
            if self.looking_at("||") || !self.take("|") {
                return Ok(Pipeline { negated, commands });
            }
            self.newlines();
            commands.push(self.command()?);
        }
    }

    /// Parses one command.
    fn command(&mut self) -> Parsed<Command> {
        self.blanks();
        let line = self.line;
        let kind = self.compound()?;
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
        if self.take("(") {
            let list = self.list()?;
            self.expect(")")?;
            return Ok(Some(CommandKind::Subshell(list)));
        }
        if self.keyword("{") {
            let list = self.list()?;
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
        self.function()
    }

    /// Parses the rest of an `if` command.
    fn conditional(&mut self) -> Parsed<CommandKind> {
        let mut branches = Vec::new();
        loop {
            let condition = self.list()?;
            self.expect("then")?;
            branches.push((condition, self.list()?));
            self.newlines();
            if self.keyword("elif") {
                continue;
            }
            let otherwise = if self.keyword("else") { Some(self.list()?) } else { None };
            self.expect("fi")?;
            return Ok(CommandKind::If { branches, otherwise });
        }
    }

    /// Parses the rest of a `while` or `until` loop.
    fn repetition(&mut self, until: bool) -> Parsed<CommandKind> {
        let condition = self.list()?;
        self.expect("do")?;
        let body = self.list()?;
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
        self.newlines();
        let words = if self.keyword("in") { Some(self.words()?) } else { None };
        self.blanks();
        if !self.take(";") {
            self.newlines();
        }
        self.expect("do")?;
        let body = self.list()?;
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
            self.newlines();
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
        self.expect(")")?;
        let body = self.list()?;
        self.newlines();
        self.take(";;");
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
        self.expect(")")?;
        self.newlines();
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
        if !allowed || name.is_empty() || !self.take("=") {
            (self.at, self.line) = start;
            return Ok(None);
        }
        let value = self.word()?.unwrap_or_default();
        Ok(Some((name, value)))
    }

    /// Parses the name of a variable; empty if none starts here.
    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            let fits = c == '_' || c.is_ascii_alphabetic() || (!name.is_empty() && c.is_ascii_digit());
            if !fits {
                break;
            }
            name.push(c);
            self.next();
        }
        name
    }

    /// Parses a redirection, if one starts here.
    fn redirect(&mut self) -> Parsed<Option<Redirect>> {
        let start = self.at;
        let digits: String = self.text[self.at..].iter().take_while(|c| c.is_ascii_digit()).collect();
        self.at += digits.len();
        let both = digits.is_empty() && self.looking_at("&>");
        if both {
            return Err(self.unexpected());
        }
        let Some(kind) = self.redirect_operator() else {
            self.at = start;
            return Ok(None);
        };
        let standard = u32::from(!kind.starts_with('<'));
        let descriptor = digits.parse().unwrap_or(standard);
        self.blanks();
        if kind.starts_with("<<") {
            return self.here_document(descriptor, kind == "<<-").map(Some);
        }
        let target = self.word()?.ok_or_else(|| self.unexpected())?;
        let kind = match kind {
            "<" => RedirectKind::Read(target),
            ">>" => RedirectKind::Append(target),
            ">&" | "<&" => RedirectKind::Duplicate(target),
            _ => RedirectKind::Write(target),
        };
        Ok(Some(Redirect { descriptor, kind }))
    }

    /// Consumes the operator of a redirection, if one comes next.
    fn redirect_operator(&mut self) -> Option<&'static str> {
        let operators = ["<<-", "<<", "<&", "<", ">>", ">&", ">|", ">"];
        operators.into_iter().find(|operator| self.take(operator))
    }

    /// Parses the delimiter of a here-document, whose lines follow later.
    fn here_document(&mut self, descriptor: u32, strip: bool) -> Parsed<Redirect> {
        let word = self.word()?.ok_or_else(|| self.unexpected())?;
        let literal = word.0.iter().any(|part| matches!(part, Part::Text { quoted: true, .. }));
        let texts = word.0.iter().map(|part| match part {
            Part::Text { text, .. } => text.as_str(),
            _ => "",
        });
        self.documents.push(Document { delimiter: texts.collect(), literal, strip });
        let pending = Word(vec![Part::Text { text: PENDING.to_owned(), quoted: true }]);
        Ok(Redirect { descriptor, kind: RedirectKind::Document(pending) })
    }

    /// Reads the lines of a here-document up to its delimiter.
    fn document(&mut self, document: &Document) -> Parsed<Word> {
        let mut body = String::new();
        loop {
            if self.peek().is_none() {
                break;
            }
            let mut line = String::new();
            while let Some(c) = self.next() {
                if c == '\n' {
                    break;
                }
                line.push(c);
            }
            let line = if document.strip { line.trim_start_matches('\t') } else { &line };
            if line == document.delimiter {
                break;
            }
            body.push_str(line);
            body.push('\n');
        }
        if document.literal {
            return Ok(Word(vec![Part::Text { text: body, quoted: true }]));
        }
        let mut inner = Parser { text: body.chars().collect(), at: 0, line: self.line, documents: Vec::new() };
        let mut parts = Vec::new();
        inner.double_quoted(&mut parts, None)?;
        Ok(Word(parts))
    }

    /// Parses a word, if one starts at the current position.
    fn word(&mut self) -> Parsed<Option<Word>> {
        let start = self.at;
        let mut parts = Vec::new();
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\n' | '\r' | ';' | '&' | '|' | '(' | ')' | '<' | '>' => break,
                '\'' => self.single_quoted(&mut parts)?,
                '"' => {
                    self.next();
                    parts.push(Part::Text { text: String::new(), quoted: true });
                    self.double_quoted(&mut parts, Some('"'))?;
                }
                '\\' => self.escaped(&mut parts),
                '$' | '`' => self.expansion(&mut parts, false)?,
                c => {
                    self.next();
                    push(&mut parts, c, false);
                }
            }
        }
        Ok((self.at > start).then_some(Word(parts)))
    }

    /// Parses text in single quotes, which is literal.
    fn single_quoted(&mut self, parts: &mut Vec<Part>) -> Parsed<()> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some('\'') => break,
                Some(c) => text.push(c),
                None => return Err(self.error("Syntax error: Unterminated quoted string")),
            }
        }
        parts.push(Part::Text { text, quoted: true });
        Ok(())
    }

    /// Parses a backslash outside quotes.
    fn escaped(&mut self, parts: &mut Vec<Part>) {
        self.next();
        match self.next() {
            Some('\n') => {}
            Some(c) => push(parts, c, true),
            None => push(parts, '\\', true),
        }
    }

    /// Parses quoted text up to `end`, or up to the end of the text if it is `None`.
    fn double_quoted(&mut self, parts: &mut Vec<Part>, end: Option<char>) -> Parsed<()> {
        loop {
            match self.peek() {
                c if c == end => {
                    self.next();
                    return Ok(());
                }
                None => return Err(self.error("Syntax error: Unterminated quoted string")),
                Some('$' | '`') => self.expansion(parts, true)?,
                Some('\\') => {
                    self.next();
                    match self.peek() {
                        Some('\n') => drop(self.next()),
                        Some(c) if "$`\\".contains(c) || Some(c) == end => {
                            self.next();
                            push(parts, c, true);
                        }
                        _ => push(parts, '\\', true),
                    }
                }
                Some(c) => {
                    self.next();
                    push(parts, c, true);
                }
            }
        }
    }

    /// Parses an expansion that starts with `$`.
    fn expansion(&mut self, parts: &mut Vec<Part>, quoted: bool) -> Parsed<()> {
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
            parts.push(Part::Substitution { list, quoted });
            return Ok(());
        }
        if self.take("{") {
            return self.braced(parts, quoted);
        }
        let mut name = self.name();
        if name.is_empty() && self.peek().is_some_and(|c| c.is_ascii_digit() || "@*#?$!-".contains(c)) {
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
        let mut script = String::new();
        loop {
            match self.next() {
                Some('`') => break,
                Some('\\') if self.peek().is_some_and(|c| "`\\$".contains(c)) => script.extend(self.next()),
                Some(c) => script.push(c),
                None => return Err(self.error("Syntax error: EOF in backquote substitution")),
            }
        }
        parts.push(Part::Substitution { list: parse(&script)?, quoted });
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
        if name.is_empty() {
            while self.peek().is_some_and(|c| c.is_ascii_digit()) {
                name.extend(self.next());
            }
        }
        if name.is_empty() && self.peek().is_some_and(|c| "@*#?$!-".contains(c)) {
            name.extend(self.next());
        }
        let operators = [":-", ":=", ":+", ":?", "-", "=", "+", "?", "%%", "%", "##", "#"];
        let operator = operators.into_iter().find(|operator| self.take(operator));
        let operand = self.operand(quoted)?;
        let operator = match operator {
            Some(operator) => Some((operator.to_owned(), operand)),
            None if operand.0.is_empty() && !name.is_empty() => None,
            None => return Err(self.error("Bad substitution")),
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
                Some('"') => {
                    self.next();
                    self.double_quoted(&mut parts, Some('"'))?;
                }
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

/// Appends a character to the text at the end of `parts`.
fn push(parts: &mut Vec<Part>, c: char, quoted: bool) {
    match parts.last_mut() {
        Some(Part::Text { text, quoted: same }) if *same == quoted => text.push(c),
        _ => parts.push(Part::Text { text: c.to_string(), quoted }),
    }
}

/// Puts the lines of a here-document into the first placeholder. Returns true if there was one.
fn fill(items: &mut [AndOr], body: &Word) -> bool {
    items.iter_mut().any(|item| {
        let pipelines = std::iter::once(&mut item.first).chain(item.rest.iter_mut().map(|(_, pipeline)| pipeline));
        pipelines.flat_map(|pipeline| &mut pipeline.commands).any(|command| fill_command(command, body))
    })
}

/// Puts the lines into a placeholder of one command.
fn fill_command(command: &mut Command, body: &Word) -> bool {
    let inner = match &mut command.kind {
        CommandKind::Simple { .. } => false,
        CommandKind::Group(list) | CommandKind::Subshell(list) | CommandKind::For { body: list, .. } => {
            fill(&mut list.0, body)
        }
        CommandKind::If { branches, otherwise } => {
            branches.iter_mut().any(|(condition, list)| fill(&mut condition.0, body) || fill(&mut list.0, body))
                || otherwise.as_mut().is_some_and(|list| fill(&mut list.0, body))
        }
        CommandKind::While { condition, body: list, .. } => fill(&mut condition.0, body) || fill(&mut list.0, body),
        CommandKind::Case { arms, .. } => arms.iter_mut().any(|(_, list)| fill(&mut list.0, body)),
        CommandKind::Function { body: command, .. } => fill_command(command, body),
    };
    inner || command.redirects.iter_mut().any(|redirect| fill_redirect(redirect, body))
}

/// Puts the lines into the placeholder of one redirection.
fn fill_redirect(redirect: &mut Redirect, body: &Word) -> bool {
    let RedirectKind::Document(word) = &mut redirect.kind else { return false };
    let pending = matches!(word.0.as_slice(), [Part::Text { text, .. }] if text == PENDING);
    if pending {
        word.clone_from(body);
    }
    pending
}
