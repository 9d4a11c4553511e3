use crate::host::shell::interpreter::{Dialect, Run, Shell};

impl Shell<'_> {
    /// Runs the builtin `read [-r] NAME…`. Returns 1 at the end of the input.
    pub(super) fn read(&mut self, words: &[String]) -> Run {
        let (mut raw, mut names) = (false, words);
        while let Some(option) = names.first().filter(|word| word.starts_with('-') && word.len() > 1) {
            match option.as_str() {
                "-r" => raw = true,
                "--" => {}
                other => return Err(self.refuse(&format!("read {other}"))),
            }
            names = &names[1..];
        }
        if names.is_empty() && self.dialect == Dialect::Dash {
            self.complain("read: arg count");
            return Ok(2);
        }
        let reply = ["REPLY".to_owned()];
        let names = if names.is_empty() { &reply[..] } else { names };
        let (characters, is_complete) = self.line_of_input(raw);
        let separators = self.variables.value("IFS").unwrap_or(" \t\n").to_owned();
        let values = split(&characters, &separators, names.len());
        for (index, name) in names.iter().enumerate() {
            self.assign(name, values.get(index).cloned().unwrap_or_default())?;
        }
        Ok(i32::from(!is_complete))
    }

    /// Reads a line, with a flag for each character that a backslash quotes. Returns false as the
    /// second value if the input has ended before the line.
    fn line_of_input(&self, raw: bool) -> (Vec<(char, bool)>, bool) {
        let mut characters = Vec::new();
        loop {
            let line = self.io.input.read_line();
            let text = String::from_utf8_lossy(&line).into_owned();
            let is_complete = text.ends_with('\n');
            let text = text.strip_suffix('\n').unwrap_or(&text);
            let mut rest = text.chars();
            let mut continues = false;
            while let Some(c) = rest.next() {
                if c != '\\' || raw {
                    characters.push((c, false));
                } else if let Some(quoted) = rest.next() {
                    characters.push((quoted, true));
                } else {
                    continues = is_complete;
                }
            }
            if !continues {
                return (characters, is_complete);
            }
        }
    }
}

/// Splits a line into at most `count` values. The last one gets the rest of the line.
fn split(characters: &[(char, bool)], separators: &str, count: usize) -> Vec<String> {
    let is_separator = |(c, quoted): &(char, bool)| !quoted && separators.contains(*c);
    let is_blank = |each: &(char, bool)| is_separator(each) && matches!(each.0, ' ' | '\t' | '\n');
    let text = |part: &[(char, bool)]| part.iter().map(|(c, _)| c).collect::<String>();
    let skip = |part: &[(char, bool)]| part.iter().take_while(|each| is_blank(each)).count();
    let mut rest = &characters[skip(characters)..];
    let mut values = Vec::new();
    while values.len() + 1 < count && !rest.is_empty() {
        let end = rest.iter().position(is_separator).unwrap_or(rest.len());
        values.push(text(&rest[..end]));
        rest = &rest[end..];
        rest = &rest[skip(rest)..];
        if rest.first().is_some_and(|each| is_separator(each) && !is_blank(each)) {
            rest = &rest[1..];
            rest = &rest[skip(rest)..];
        }
    }
    let end = rest.len() - rest.iter().rev().take_while(|each| is_blank(each)).count();
    rest = &rest[..end];
    // One separator at the end of the line does not belong to the last value if it is the only one.
    if let Some((last, before)) = rest.split_last()
        && is_separator(last)
        && !before.iter().any(is_separator)
    {
        rest = before;
    }
    values.push(text(rest));
    values
}
