use crate::host::shell::interpreter::{Dialect, Flow, Run, Shell};

/// Options that are set by a name after `-o`, with their letters.
const NAMED: [(&str, char); 5] =
    [("errexit", 'e'), ("nounset", 'u'), ("xtrace", 'x'), ("noglob", 'f'), ("allexport", 'a')];

impl Shell<'_> {
    /// Sets the options whose letters are in `letters`, as `sh -eu` does.
    pub(in crate::host) fn set_options(&mut self, letters: &str, on: bool) {
        for letter in letters.chars() {
            self.set_option(letter, on);
        }
    }

    /// Sets an option. Returns false for a letter that is not simulated.
    fn set_option(&mut self, letter: char, on: bool) -> bool {
        match letter {
            'e' => self.options.errexit = on,
            'u' => self.options.nounset = on,
            'x' => self.options.xtrace = on,
            'f' => self.options.noglob = on,
            'a' => self.options.allexport = on,
            // They have no effect on a script: job control, messages and history.
            'b' | 'h' | 'm' | 'v' => {}
            _ => return false,
        }
        true
    }

    /// Runs the builtin `set`: options and positional parameters.
    pub(super) fn set(&mut self, words: &[String]) -> Run {
        if words.is_empty() {
            return Err(self.refuse("set without arguments"));
        }
        let mut rest = words;
        while let Some((word, after)) = rest.split_first() {
            let on = word.starts_with('-');
            if word == "--" {
                self.arguments = after.to_vec();
                return Ok(0);
            }
            if word == "-" {
                self.options.xtrace = false;
                self.arguments = after.to_vec();
                return Ok(0);
            }
            if word.len() < 2 || !word.starts_with(['-', '+']) {
                self.arguments = rest.to_vec();
                return Ok(0);
            }
            rest = after;
            for letter in word[1..].chars() {
                if letter == 'o' {
                    let Some((name, after)) = rest.split_first() else { return Err(self.refuse("set -o")) };
                    self.set_named(name, on)?;
                    rest = after;
                } else if !self.set_option(letter, on) {
                    return Err(self.refuse(&format!("set -{letter}")));
                }
            }
        }
        Ok(0)
    }

    /// Sets an option by its name.
    fn set_named(&mut self, name: &str, on: bool) -> Result<(), Flow> {
        if name == "pipefail" && self.dialect == Dialect::Bash {
            self.options.pipefail = on;
            return Ok(());
        }
        let Some((_, letter)) = NAMED.iter().find(|(known, _)| *known == name) else {
            return Err(self.abort(&format!("set: Illegal option -o {name}")));
        };
        self.set_option(*letter, on);
        Ok(())
    }

    /// Runs the builtin `shift`.
    pub(super) fn shift(&mut self, count: Option<&str>) -> Run {
        let number = count.map_or(Some(1), |count| count.parse::<usize>().ok());
        match number {
            Some(number) if number <= self.arguments.len() => {
                self.arguments.drain(..number);
                Ok(0)
            }
            Some(_) => self.builtin_error("shift: can't shift that many"),
            None => self.builtin_error(&format!("shift: Illegal number: {}", count.unwrap_or_default())),
        }
    }
}
