use std::collections::BTreeMap;

/// Arguments of a program, parsed in the manner of `getopt`.
#[derive(Debug, Default)]
pub(super) struct CommandOptions {
    short: BTreeMap<char, Vec<String>>,
    long: BTreeMap<String, Vec<String>>,
    /// Arguments that are not options, in their order.
    pub(super) rest: Vec<String>,
}

impl CommandOptions {
    /// Parses the arguments of a program.
    ///
    /// `valued` lists the letters and `long_valued` the words that are followed by a value. An
    /// option that is not listed has no value, unless it is `--word=value`.
    pub(super) fn parse(arguments: &[String], valued: &str, long_valued: &[&str]) -> Self {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                options.rest.extend(arguments.by_ref().cloned());
            } else if let Some(word) = argument.strip_prefix("--") {
                let (name, value) = match word.split_once('=') {
                    Some((name, value)) => (name, value.to_owned()),
                    None if long_valued.contains(&word) => (word, arguments.next().cloned().unwrap_or_default()),
                    None => (word, String::new()),
                };
                options.long.entry(name.to_owned()).or_default().push(value);
            } else if argument.len() > 1 && argument.starts_with('-') {
                options.letters(&argument[1..], valued, &mut arguments);
            } else {
                options.rest.push(argument.clone());
            }
        }
        options
    }

    /// Parses the letters of one argument such as `-fsSL` or `-oFILE`.
    fn letters<'a>(&mut self, letters: &str, valued: &str, more: &mut impl Iterator<Item = &'a String>) {
        for (at, letter) in letters.char_indices() {
            let after = &letters[at + letter.len_utf8()..];
            if valued.contains(letter) {
                let value = if after.is_empty() { more.next().cloned().unwrap_or_default() } else { after.to_owned() };
                self.short.entry(letter).or_default().push(value);
                return;
            }
            self.short.entry(letter).or_default().push(String::new());
        }
    }

    /// Returns true if one of the letters or the word is present.
    pub(super) fn has(&self, letters: &str, word: &str) -> bool {
        letters.chars().any(|letter| self.short.contains_key(&letter)) || self.long.contains_key(word)
    }

    /// Returns the last value of the letter or the word.
    pub(super) fn value(&self, letter: char, word: &str) -> Option<&str> {
        let values = self.short.get(&letter).or_else(|| self.long.get(word))?;
        values.last().map(String::as_str)
    }

    /// Returns every value of the letter or the word, in their order.
    pub(super) fn values(&self, letter: char, word: &str) -> Vec<&str> {
        let all = self.short.get(&letter).into_iter().chain(self.long.get(word)).flatten();
        all.map(String::as_str).collect()
    }
}
