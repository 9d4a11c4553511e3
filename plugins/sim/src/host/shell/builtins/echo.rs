use crate::host::shell::interpreter::{Dialect, Run, Shell};

impl Shell<'_> {
    /// Runs the builtin `echo`.
    ///
    /// dash knows only `-n` and always interprets escapes; bash interprets them with `-e`.
    pub(super) fn echo(&self, words: &[String]) -> Run {
        let (mut ends_line, mut escapes) = (true, self.dialect == Dialect::Dash);
        let mut rest = words;
        if self.dialect == Dialect::Dash {
            if rest.first().is_some_and(|word| word == "-n") {
                (ends_line, rest) = (false, &rest[1..]);
            }
        } else {
            let is_option = |word: &String| {
                word.len() > 1 && word.starts_with('-') && word[1..].chars().all(|letter| "neE".contains(letter))
            };
            while let Some(option) = rest.first().filter(|word| is_option(word)) {
                for letter in option[1..].chars() {
                    match letter {
                        'n' => ends_line = false,
                        letter => escapes = letter == 'e',
                    }
                }
                rest = &rest[1..];
            }
        }
        let text = rest.join(" ");
        let (mut text, is_cut) = if escapes { unescaped(&text) } else { (text, false) };
        if ends_line && !is_cut {
            text.push('\n');
        }
        self.print(&text)
    }
}

/// Interprets the escape sequences of `echo`. Returns true if `\c` ends the output.
fn unescaped(text: &str) -> (String, bool) {
    let mut shown = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '\\' {
            shown.push(c);
            continue;
        }
        let Some(escape) = rest.next() else {
            shown.push('\\');
            break;
        };
        match escape {
            'c' => return (shown, true),
            'a' => shown.push('\u{7}'),
            'b' => shown.push('\u{8}'),
            'f' => shown.push('\u{c}'),
            'n' => shown.push('\n'),
            'r' => shown.push('\r'),
            't' => shown.push('\t'),
            'v' => shown.push('\u{b}'),
            '\\' => shown.push('\\'),
            '0'..='7' => {
                let mut digits = String::from(escape);
                let most = if escape == '0' { 4 } else { 3 };
                while digits.len() < most {
                    let Some(digit) = rest.next_if(|c| ('0'..='7').contains(c)) else { break };
                    digits.push(digit);
                }
                let code = u32::from_str_radix(&digits, 8).unwrap_or_default() & 0xff;
                shown.extend(char::from_u32(code));
            }
            other => shown.extend(['\\', other]),
        }
    }
    (shown, false)
}
