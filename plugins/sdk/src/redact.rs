mod fragments;
mod view;

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{PoisonError, RwLock},
};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use serde_json::Value;

use self::{fragments::Fragments, view::View};

/// Text that replaces a secret in messages and log lines.
const MASK: &str = "***";
/// Text that replaces a secret in the output of a step. It differs from what hosts and servers
/// print, so that a step that reads such an output is refused instead of using the wrong value.
pub const HIDDEN_IN_OUTPUT: &str = "«secret»";
/// Minimum length of a value, and of a line of a value with several lines, in bytes. Shorter texts
/// occur in other text by chance.
const MIN_BYTES: usize = 4;

/// Replaces secret values in text by `***`.
///
/// A value is found literally, percent-encoded, JSON-escaped and HTML-escaped, also twice, whatever
/// characters the encoder escapes; and in base64 and hexadecimal digits at any offset, also in
/// parts, such as lines of 76 characters. Of a value with several lines, each line is found.
#[derive(Debug, Default)]
pub struct Redactor {
    known: RwLock<Known>,
}

/// The values that are redacted.
#[derive(Debug, Default)]
struct Known {
    needles: BTreeSet<String>,
    /// Automaton for all needles; `None` if there are none.
    automaton: Option<AhoCorasick>,
    fragments: Fragments,
}

impl Redactor {
    /// Redacts `value` from now on. A value of fewer than 4 bytes is ignored.
    pub fn add(&self, value: &str) {
        self.add_all([value]);
    }

    /// Redacts several values from now on; see [`Self::add`].
    pub fn add_all<'a>(&self, values: impl IntoIterator<Item = &'a str>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.needles.len();
        for value in values.into_iter().filter(|value| value.len() >= MIN_BYTES) {
            if known.needles.insert(value.to_owned()) {
                known.needles.insert(value.replace(' ', "+")); // form encoding
                known.needles.extend(lines(value).map(str::to_owned));
                known.fragments.add(value);
            }
        }
        if known.needles.len() > before {
            known.automaton = automaton(&known.needles);
        }
    }

    /// Returns `text` with each secret value replaced by `***`.
    pub fn redact(&self, text: &str) -> String {
        self.replaced(text, MASK).unwrap_or_else(|| text.to_owned())
    }

    /// Replaces each secret value in the strings and keys of a step's output by
    /// [`HIDDEN_IN_OUTPUT`].
    pub fn redact_output(&self, output: &mut Value) {
        match output {
            Value::String(text) => {
                if let Some(redacted) = self.replaced(text, HIDDEN_IN_OUTPUT) {
                    *text = redacted;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_output(item)),
            Value::Object(map) => {
                map.values_mut().for_each(|value| self.redact_output(value));
                if map.keys().any(|key| self.replaced(key, HIDDEN_IN_OUTPUT).is_some()) {
                    let redact = |key: String| self.replaced(&key, HIDDEN_IN_OUTPUT).unwrap_or(key);
                    *map = std::mem::take(map).into_iter().map(|(key, value)| (redact(key), value)).collect();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Returns `text` with each secret value replaced by `mask`; `None` if there is none in it.
    fn replaced(&self, text: &str, mask: &str) -> Option<String> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let automaton = known.automaton.as_ref()?;
        let mut found = Vec::new();
        for view in View::all(text) {
            let matches = automaton.find_overlapping_iter(view.bytes());
            found.extend(matches.map(|found| view.source(found.range())));
            found.extend(known.fragments.find(view.bytes()).map(|fragment| view.source(fragment)));
        }
        (!found.is_empty()).then(|| masked(text, found, mask))
    }
}

/// Lines of a value with several lines that are long enough, without the lines that begin and end
/// a PEM block, which are the same for all keys.
fn lines(value: &str) -> impl Iterator<Item = &str> {
    let has_several = value.trim_end().contains('\n');
    let lines = value.lines().map(str::trim).filter(|line| line.len() >= MIN_BYTES && !line.starts_with("-----"));
    lines.filter(move |_| has_several)
}

/// Builds the automaton for all needles. It finds overlapping ones, since a part of one value can
/// begin another. A deterministic one takes quadratic time to build for a value that repeats
/// itself.
fn automaton(needles: &BTreeSet<String>) -> Option<AhoCorasick> {
    let kind = Some(AhoCorasickKind::ContiguousNFA);
    let built = AhoCorasick::builder().kind(kind).match_kind(MatchKind::Standard).build(needles);
    // Needles are at most 64 KiB each: the automaton's limit of 2 GiB is out of reach.
    Some(built.expect("the needles are small")).filter(|_| !needles.is_empty())
}

/// Replaces the ranges of `text`, joined where they touch, by `mask`.
fn masked(text: &str, mut found: Vec<Range<usize>>, mask: &str) -> String {
    found.sort_unstable_by_key(|range| range.start);
    let (mut result, mut end, mut is_masked) = (String::with_capacity(text.len()), 0, false);
    for range in found {
        let (start, stop) = (text.floor_char_boundary(range.start), text.ceil_char_boundary(range.end));
        if start > end || !is_masked {
            result.push_str(&text[end..start.max(end)]);
            result.push_str(mask);
        }
        (end, is_masked) = (end.max(stop), true);
    }
    result.push_str(&text[end..]);
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redactor(secret: &str) -> Redactor {
        let redactor = Redactor::default();
        redactor.add(secret);
        redactor
    }

    proptest! {
        #[test]
        fn no_form_of_a_secret_survives(
            secret in "[a-zA-Z0-9/+=\"\\\\ :_%&<é-]{12,40}",
            before in "[a-z{}:]{0,7}",
            after in "[a-z{}:]{0,7}",
        ) {
            let redactor = redactor(&secret);
            let plain = format!("{before}{secret}{after}");
            prop_assert_eq!(redactor.redact(&plain), format!("{before}***{after}"));
            let once = serde_json::Value::from(plain.as_str()).to_string();
            prop_assert_eq!(redactor.redact(&once), format!("\"{before}***{after}\""));
            let twice = serde_json::Value::from(once.as_str()).to_string();
            prop_assert!(redactor.redact(&twice).contains("***"));
        }

        #[test]
        fn text_without_secrets_is_unchanged(text in "[ -~é\n]{0,80}") {
            prop_assert_eq!(redactor("§tskey§auth§k1CNTRL§secret§").redact(&text), text);
        }
    }

    #[test]
    fn values_that_overlap_or_touch_are_one_mask() {
        let redactor = redactor("abcdef");
        redactor.add("defghi");
        assert_eq!(redactor.redact("x abcdefghi abcdefdefghi y"), "x *** *** y");
    }

    #[test]
    fn short_values_are_ignored_and_short_lines_are_found() {
        assert_eq!(redactor("abc").redact("abc"), "abc");
        let redactor = redactor("-----BEGIN X KEY-----\nabcd\nxyz\n-----END X KEY-----\n");
        assert_eq!(redactor.redact("abcd xyz -----BEGIN X KEY-----"), "*** xyz -----BEGIN X KEY-----");
    }

    #[test]
    fn keys_and_strings_of_json_are_redacted() {
        let mut value = serde_json::json!({"hunter22": ["hunter22", 1]});
        redactor("hunter22").redact_output(&mut value);
        assert_eq!(value, serde_json::json!({"«secret»": ["«secret»", 1]}));
    }
}
