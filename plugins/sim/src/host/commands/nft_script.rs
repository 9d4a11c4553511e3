use crate::host::nft::{Chain, Clamp, Ruleset, Way};

/// Error in an nft script, with its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    line: usize,
    /// First column of the word, counted from 1; `to` is the last one.
    from: usize,
    to: usize,
    what: String,
}

impl Mistake {
    /// Returns the message as nft prints it: position, text, line and a row of carets.
    pub(super) fn told(&self, file: &str, text: &str) -> String {
        let Self { line, from, to, what } = self;
        let place = if file.is_empty() { String::new() } else { format!("{file}:{line}:{from}-{to}: ") };
        let shown = text.lines().nth(line - 1).unwrap_or_default();
        format!("{place}Error: {what}\n{shown}\n{}{}", " ".repeat(from - 1), "^".repeat(to + 1 - from))
    }
}

/// Applies the statements of a script to a ruleset.
///
/// # Errors
///
/// The first syntax error. Statements that are not simulated count as one. The ruleset may be
/// partly changed: the caller works on a copy.
pub(super) fn read(text: &str, ruleset: &mut Ruleset) -> Result<(), Mistake> {
    let mut script = Script { words: words(text), at: 0 };
    while script.skip_separators() {
        script.statement(ruleset)?;
        script.end_of_statement()?;
    }
    Ok(())
}

/// Word of a script with its position.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NftWord {
    text: String,
    line: usize,
    from: usize,
}

/// Splits a script into words, braces and separators.
///
/// The end of a line separates statements, as `;` does.
fn words(text: &str) -> Vec<NftWord> {
    let mut words = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.split('#').next().unwrap_or_default();
        let mut rest = content.trim_start();
        while let Some(first) = rest.chars().next() {
            let from = content.len() - rest.len() + 1;
            let is_mark = |c: char| "{};".contains(c);
            let end = rest.find(|c: char| c.is_whitespace() || is_mark(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(if is_mark(first) { 1 } else { end });
            words.push(NftWord { text: word.to_owned(), line, from });
            rest = after.trim_start();
        }
        words.push(NftWord { text: "\n".to_owned(), line, from: content.len() + 1 });
    }
    words
}

/// Words of a script and the position of the parser among them.
struct Script {
    words: Vec<NftWord>,
    at: usize,
}

impl Script {
    /// Returns the current word without consuming it; empty at the end.
    fn peek(&self) -> &str {
        self.words.get(self.at).map_or("", |word| &word.text)
    }

    /// Consumes the current word and returns it.
    fn next(&mut self) -> String {
        let word = self.peek().to_owned();
        self.at += 1;
        word
    }

    /// Returns true if the current word separates statements.
    fn separates(&self) -> bool {
        matches!(self.peek(), ";" | "\n")
    }

    /// Skips separators. Returns true if more words follow.
    fn skip_separators(&mut self) -> bool {
        while self.separates() {
            self.at += 1;
        }
        self.at < self.words.len()
    }

    /// Returns an error at the word that was consumed last.
    fn mistake(&self, what: &str) -> Mistake {
        let at = self.at.saturating_sub(1).min(self.words.len().saturating_sub(1));
        let word = self.words.get(at).cloned().unwrap_or(NftWord { text: String::new(), line: 1, from: 1 });
        let length = word.text.len().max(1);
        Mistake { line: word.line, from: word.from, to: word.from + length - 1, what: what.to_owned() }
    }

    /// Returns nft's syntax error for the word that was consumed last.
    fn unexpected(&self) -> Mistake {
        let kind = match self.words.get(self.at.saturating_sub(1)).map_or("", |word| &word.text) {
            "" => "end of file",
            "\n" => "newline",
            _ => "string",
        };
        self.mistake(&format!("syntax error, unexpected {kind}"))
    }

    /// Consumes the given words in their order.
    fn expect(&mut self, words: &[&str]) -> Result<(), Mistake> {
        words.iter().try_for_each(|word| if self.next() == *word { Ok(()) } else { Err(self.unexpected()) })
    }

    /// Consumes a name: of a table, a chain, or a device with or without quotes.
    fn name(&mut self) -> Result<String, Mistake> {
        let word = self.next();
        let name = word.trim_matches('"');
        let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        if fits { Ok(name.to_owned()) } else { Err(self.unexpected()) }
    }

    /// Consumes the family and the name of a table.
    ///
    /// The result is `FAMILY NAME`; the family is `ip`, `ip6` or `inet`.
    fn table_name(&mut self) -> Result<String, Mistake> {
        let family = self.next();
        if !["ip", "ip6", "inet"].contains(&family.as_str()) {
            return Err(self.unexpected());
        }
        Ok(format!("{family} {}", self.name()?))
    }

    /// Requires that the current statement ends here.
    fn end_of_statement(&mut self) -> Result<(), Mistake> {
        if self.separates() || self.at >= self.words.len() {
            return Ok(());
        }
        self.at += 1;
        Err(self.unexpected())
    }

    /// Parses and applies one statement.
    fn statement(&mut self, ruleset: &mut Ruleset) -> Result<(), Mistake> {
        match self.next().as_str() {
            "table" => self.table(ruleset),
            "delete" => {
                self.expect(&["table"])?;
                let name = self.table_name()?;
                let gone = ruleset.tables.remove(&name);
                gone.map(drop).ok_or_else(|| self.mistake("Could not process rule: No such file or directory"))
            }
            "flush" => {
                self.expect(&["ruleset"])?;
                ruleset.tables.clear();
                Ok(())
            }
            _ => Err(self.unexpected()),
        }
    }

    /// Parses the body of a table and adds its chains.
    fn table(&mut self, ruleset: &mut Ruleset) -> Result<(), Mistake> {
        let name = self.table_name()?;
        let table = ruleset.tables.entry(name).or_default();
        if self.peek() != "{" {
            return Ok(());
        }
        self.at += 1;
        while self.skip_separators() && self.peek() != "}" {
            self.expect(&["chain"])?;
            let name = self.name()?;
            self.chain(table.entry(name).or_default())?;
        }
        self.expect(&["}"])
    }

    /// Parses the body of a chain and adds its hook and its rules.
    fn chain(&mut self, chain: &mut Chain) -> Result<(), Mistake> {
        self.expect(&["{"])?;
        while self.skip_separators() && self.peek() != "}" {
            match self.next().as_str() {
                "type" => chain.priority = Some(self.hook()?),
                "policy" => self.expect(&["accept"])?,
                "iifname" => chain.rules.push(self.clamp(Way::In)?),
                "oifname" => chain.rules.push(self.clamp(Way::Out)?),
                _ => return Err(self.unexpected()),
            }
            self.end_of_statement()?;
        }
        self.expect(&["}"])
    }

    /// Parses the hook of a chain and returns its priority.
    fn hook(&mut self) -> Result<i32, Mistake> {
        self.expect(&["filter", "hook", "forward", "priority"])?;
        match self.next().as_str() {
            "mangle" => Ok(-150),
            "filter" => Ok(0),
            number => number.parse().map_err(|_| self.unexpected()),
        }
    }

    /// Parses the MSS clamp, which is the only simulated rule.
    fn clamp(&mut self, way: Way) -> Result<Clamp, Mistake> {
        let device = self.name()?;
        self.expect(&["tcp", "flags", "syn", "tcp", "option", "maxseg", "size", "set", "rt", "mtu"])?;
        Ok(Clamp { way, device })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAMP: &str = "table inet a\ndelete table inet a\ntable inet a { # ours\n\tchain c {\n\t\ttype filter hook forward \
        priority mangle; policy accept;\n\t\toifname \"tailscale0\" tcp flags syn tcp option maxseg size set rt mtu\n\t}\n}\n";

    #[test]
    fn a_table_is_replaced_as_a_whole() {
        let mut ruleset = Ruleset::default();
        read(CLAMP, &mut ruleset).expect("read");
        let once = ruleset.clone();
        assert_eq!(once.tables["inet a"]["c"].rules, [Clamp { way: Way::Out, device: "tailscale0".into() }]);
        assert_eq!(once.tables["inet a"]["c"].priority, Some(-150));
        read(CLAMP, &mut ruleset).expect("read");
        assert_eq!(ruleset, once);
        read("delete table inet a; table ip b", &mut ruleset).expect("read");
        assert_eq!(ruleset.tables.into_keys().collect::<Vec<_>>(), ["ip b"]);
    }

    fn check(text: &str, told: &str) {
        assert_eq!(read(text, &mut Ruleset::default()).expect_err(text).told("f", text), told);
    }

    #[test]
    fn mistakes_are_told_as_nft_tells_them() {
        let place = "Could not process rule: No such file or directory";
        check(
            "delete table inet nothing",
            &format!("f:1:19-25: Error: {place}\ndelete table inet nothing\n                  ^^^^^^^"),
        );
        check("table inet a {\n bogus x\n}\n", "f:2:2-6: Error: syntax error, unexpected string\n bogus x\n ^^^^^");
        check(
            "table inet a { chain c { oifname x accept; }; }",
            "f:1:36-41: Error: syntax error, unexpected string\ntable inet a { chain c { oifname x accept; }; }\n                                   ^^^^^^",
        );
        check("list", "f:1:1-4: Error: syntax error, unexpected string\nlist\n^^^^");
    }
}
