use std::collections::BTreeMap;

use crate::host::state::{
    Chain, ChainPolicy, Clamp, ConnectionState, FILTER, FilterRule, Hook, MANGLE, NftRule, PacketMatch, Ruleset,
    Statement, Way, read_prefix,
};

/// Message of the kernel for a table or a chain that does not exist.
const MISSING: &str = "Could not process rule: No such file or directory";

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
    pub(super) fn message(&self, file: &str, text: &str) -> String {
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
        let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.*".contains(&b));
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
            "chain" => self.add_chain(ruleset),
            "rule" => self.add_rule(ruleset),
            "add" | "create" => match self.next().as_str() {
                "table" => self.table(ruleset),
                "chain" => self.add_chain(ruleset),
                "rule" => self.add_rule(ruleset),
                _ => Err(self.unexpected()),
            },
            "delete" => self.delete(ruleset),
            "flush" => self.flush(ruleset),
            _ => Err(self.unexpected()),
        }
    }

    /// Deletes a table or a chain.
    fn delete(&mut self, ruleset: &mut Ruleset) -> Result<(), Mistake> {
        match self.next().as_str() {
            "table" => {
                let name = self.table_name()?;
                ruleset.tables.remove(&name).map(drop).ok_or_else(|| self.mistake(MISSING))
            }
            "chain" => {
                let table = self.existing_table(ruleset)?;
                let name = self.name()?;
                table.remove(&name).map(drop).ok_or_else(|| self.mistake(MISSING))
            }
            _ => Err(self.unexpected()),
        }
    }

    /// Deletes everything, or the rules of a table or of a chain.
    fn flush(&mut self, ruleset: &mut Ruleset) -> Result<(), Mistake> {
        match self.next().as_str() {
            "ruleset" => ruleset.tables.clear(),
            "table" => {
                for chain in self.existing_table(ruleset)?.values_mut() {
                    chain.rules.clear();
                }
            }
            "chain" => self.existing_chain(ruleset)?.rules.clear(),
            _ => return Err(self.unexpected()),
        }
        Ok(())
    }

    /// Consumes the name of a table and returns its chains.
    fn existing_table<'a>(&mut self, ruleset: &'a mut Ruleset) -> Result<&'a mut BTreeMap<String, Chain>, Mistake> {
        let name = self.table_name()?;
        ruleset.tables.get_mut(&name).ok_or_else(|| self.mistake(MISSING))
    }

    /// Consumes the names of a table and a chain and returns the chain.
    fn existing_chain<'a>(&mut self, ruleset: &'a mut Ruleset) -> Result<&'a mut Chain, Mistake> {
        let table = self.existing_table(ruleset)?;
        let name = self.name()?;
        table.get_mut(&name).ok_or_else(|| self.mistake(MISSING))
    }

    /// Adds a chain, or changes the hook and the policy of an existing one.
    fn add_chain(&mut self, ruleset: &mut Ruleset) -> Result<(), Mistake> {
        let table = self.existing_table(ruleset)?;
        let name = self.name()?;
        let chain = table.entry(name).or_default();
        if self.peek() == "{" { self.chain(chain) } else { Ok(()) }
    }

    /// Appends one rule to a chain.
    fn add_rule(&mut self, ruleset: &mut Ruleset) -> Result<(), Mistake> {
        let chain = self.existing_chain(ruleset)?;
        let rule = self.rule()?;
        chain.rules.push(rule);
        Ok(())
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
            match self.peek() {
                "type" => self.hook(chain)?,
                "policy" => {
                    self.at += 1;
                    chain.policy = ChainPolicy::of(&self.next()).ok_or_else(|| self.unexpected())?;
                }
                _ => chain.rules.push(self.rule()?),
            }
            self.end_of_statement()?;
        }
        self.expect(&["}"])
    }

    /// Parses the hook of a base chain, with its priority.
    fn hook(&mut self, chain: &mut Chain) -> Result<(), Mistake> {
        self.expect(&["type", "filter", "hook"])?;
        chain.hook = Hook::of(&self.next()).ok_or_else(|| self.unexpected())?;
        self.expect(&["priority"])?;
        let named = match self.next().as_str() {
            "mangle" => MANGLE,
            "filter" => FILTER,
            number => {
                chain.priority = Some(number.parse().map_err(|_| self.unexpected())?);
                return Ok(());
            }
        };
        let sign = match self.peek() {
            "+" => 1,
            "-" => -1,
            _ => {
                chain.priority = Some(named);
                return Ok(());
            }
        };
        self.at += 1;
        let more: i32 = self.next().parse().map_err(|_| self.unexpected())?;
        chain.priority = Some(named + sign * more);
        Ok(())
    }

    /// Parses one rule: an MSS clamp, or conditions with one statement.
    fn rule(&mut self) -> Result<NftRule, Mistake> {
        let (mut matches, mut counter) = (Vec::new(), false);
        loop {
            if self.separates() || matches!(self.peek(), "" | "}") {
                let is_empty = matches.is_empty() && !counter;
                let rule = FilterRule::nft(matches, counter, Statement::Continue);
                return if is_empty { Err(self.unexpected_next()) } else { Ok(NftRule::Filter(rule)) };
            }
            let statement = match self.next().as_str() {
                word @ ("iifname" | "oifname") => {
                    let way = if word == "iifname" { Way::In } else { Way::Out };
                    let (negated, name) = (self.negation(), self.name()?);
                    if matches.is_empty() && self.peek() == "tcp" && self.peek_second() == "flags" {
                        self.expect(&CLAMP)?;
                        return Ok(NftRule::Clamp(Clamp { way, device: name }));
                    }
                    matches.push(PacketMatch::Device { way, negated, name });
                    continue;
                }
                "counter" => {
                    counter = true;
                    self.skip_count();
                    continue;
                }
                word @ ("ip" | "ct" | "tcp" | "udp") => {
                    matches.push(self.condition(word)?);
                    continue;
                }
                "accept" => Statement::Accept,
                "drop" => Statement::Drop,
                "reject" => Statement::Reject,
                "return" => Statement::Return,
                "jump" => Statement::Jump(self.name()?),
                _ => return Err(self.unexpected()),
            };
            return Ok(NftRule::Filter(FilterRule::nft(matches, counter, statement)));
        }
    }

    /// Parses a condition on an address, on the state of the connection or on the destination port.
    fn condition(&mut self, first: &str) -> Result<PacketMatch, Mistake> {
        let field = self.next();
        match (first, field.as_str()) {
            ("ip", "saddr" | "daddr") => {
                let negated = self.negation();
                let prefix = read_prefix(&self.next()).ok_or_else(|| self.unexpected())?;
                Ok(PacketMatch::Address { source: field == "saddr", negated, prefix })
            }
            ("ct", "state") => {
                let negated = self.negation();
                let states = ConnectionState::list(&self.next()).ok_or_else(|| self.unexpected())?;
                Ok(PacketMatch::State { negated, states })
            }
            ("tcp" | "udp", "dport") => {
                let port = self.next().parse().map_err(|_| self.unexpected())?;
                Ok(PacketMatch::Port { protocol: first.to_owned(), port })
            }
            _ => Err(self.unexpected()),
        }
    }

    /// Consumes `!=`, if it follows.
    fn negation(&mut self) -> bool {
        let negated = self.peek() == "!=";
        self.at += usize::from(negated);
        negated
    }

    /// Consumes the numbers of a counter, if they follow. They are not kept.
    fn skip_count(&mut self) {
        for word in ["packets", "bytes"] {
            if self.peek() == word {
                self.at += 2;
            }
        }
    }

    /// Returns the word after the current one.
    fn peek_second(&self) -> &str {
        self.words.get(self.at + 1).map_or("", |word| &word.text)
    }

    /// Returns nft's syntax error for the current word.
    fn unexpected_next(&mut self) -> Mistake {
        self.at += 1;
        self.unexpected()
    }
}

/// Words of an MSS clamp after the device.
const CLAMP: [&str; 10] = ["tcp", "flags", "syn", "tcp", "option", "maxseg", "size", "set", "rt", "mtu"];

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "table inet a\ndelete table inet a\ntable inet a { # ours\n\tchain c {\n\t\ttype filter hook forward \
        priority mangle; policy accept;\n\t\toifname \"tailscale0\" tcp flags syn tcp option maxseg size set rt mtu\n\t}\n}\n";

    #[test]
    fn a_table_is_replaced_as_a_whole() {
        let mut ruleset = Ruleset::default();
        read(SCRIPT, &mut ruleset).expect("read");
        let once = ruleset.clone();
        let clamp = Clamp { way: Way::Out, device: "tailscale0".into() };
        assert_eq!(once.tables["inet a"]["c"].rules, [NftRule::Clamp(clamp)]);
        assert_eq!(once.tables["inet a"]["c"].priority, Some(-150));
        read(SCRIPT, &mut ruleset).expect("read");
        assert_eq!(ruleset, once);
        read("delete table inet a; table ip b", &mut ruleset).expect("read");
        assert_eq!(ruleset.tables.into_keys().collect::<Vec<_>>(), ["ip b"]);
    }

    fn check(text: &str, message: &str) {
        assert_eq!(read(text, &mut Ruleset::default()).expect_err(text).message("f", text), message);
    }

    #[test]
    fn mistakes_are_reported_as_nft_reports_them() {
        let place = "Could not process rule: No such file or directory";
        check(
            "delete table inet nothing",
            &format!("f:1:19-25: Error: {place}\ndelete table inet nothing\n                  ^^^^^^^"),
        );
        check("table inet a {\n bogus x\n}\n", "f:2:2-6: Error: syntax error, unexpected string\n bogus x\n ^^^^^");
        check(
            "table inet a { chain c { oifname x bogus; }; }",
            "f:1:36-40: Error: syntax error, unexpected string\ntable inet a { chain c { oifname x bogus; }; }\n                                   ^^^^^",
        );
        check(
            "add rule inet a c accept",
            &format!("f:1:15-15: Error: {place}\nadd rule inet a c accept\n              ^"),
        );
        check(
            "table inet a { chain c { policy no; }; }",
            "f:1:33-34: Error: syntax error, unexpected string\ntable inet a { chain c { policy no; }; }\n                                ^^",
        );
        check("list", "f:1:1-4: Error: syntax error, unexpected string\nlist\n^^^^");
    }
}
