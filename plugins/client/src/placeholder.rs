/// The placeholder of a name: `{{name}}`.
pub fn placeholder(name: &str) -> String {
    format!("{{{{{name}}}}}")
}

/// A text in which `{{name}}` is a placeholder, for each of a set of known names. Other braces are
/// literal text, so that templates of other programs survive.
///
/// ```
/// use stargate_client::PlaceholderText;
///
/// let text = PlaceholderText::parse("key: {{key}}, {{.Names}}", |name| name == "key");
/// assert_eq!(text.fill(|_| "s3cret"), "key: s3cret, {{.Names}}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceholderText<'a> {
    /// The text before the first placeholder.
    head: &'a str,
    /// Each placeholder's name, and the text up to the next one.
    tail: Vec<(&'a str, &'a str)>,
}

impl<'a> PlaceholderText<'a> {
    /// Finds the placeholders of `text` whose name is known.
    pub fn parse(text: &'a str, is_known: impl Fn(&str) -> bool) -> Self {
        let mut found: Vec<(usize, &str)> = Vec::new(); // start of the placeholder, name
        let mut at = 0;
        while let Some(open) = text[at..].find("{{").map(|open| at + open) {
            let name = text[open + 2..].split_once("}}").map(|(name, _)| name).filter(|name| is_known(name));
            // One brace only: in `{{{name}}` the placeholder starts at the second one.
            at = name.map_or(open + 1, |name| open + name.len() + 4);
            found.extend(name.map(|name| (open, name)));
        }
        let ends = found.iter().skip(1).map(|(open, _)| *open).chain([text.len()]);
        let tail = found.iter().zip(ends).map(|((open, name), end)| (*name, &text[open + name.len() + 4..end]));
        Self { head: found.first().map_or(text, |(open, _)| &text[..*open]), tail: tail.collect() }
    }

    /// The name of each placeholder, as often as it occurs, in order.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.tail.iter().map(|(name, _)| *name)
    }

    /// The text with `value` of each placeholder's name in its place. A value that looks like a
    /// placeholder is not filled.
    pub fn fill<'v>(&self, value: impl Fn(&str) -> &'v str) -> String {
        let mut filled = self.head.to_owned();
        for (name, literal) in &self.tail {
            filled.push_str(value(name));
            filled.push_str(literal);
        }
        filled
    }

    /// True if `filled` is this text with at least one character in the place of each placeholder.
    ///
    /// The values themselves are not compared: a secret that is minted at use is another one each
    /// time.
    pub fn matches(&self, filled: &str) -> bool {
        let Some(mut rest) = filled.strip_prefix(self.head) else { return false };
        let Some(((_, last), middle)) = self.tail.split_last() else { return rest.is_empty() };
        // The earliest place of each literal leaves the most for the next ones.
        for (_, literal) in middle {
            match after_value(rest, literal) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        rest.strip_suffix(last).is_some_and(|value| !value.is_empty())
    }
}

/// The rest of `text` after a value of at least one character and the first `literal` behind it.
fn after_value<'t>(text: &'t str, literal: &str) -> Option<&'t str> {
    let first = text.chars().next()?.len_utf8();
    text[first..].split_once(literal).map(|(_, after)| after)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> PlaceholderText<'_> {
        PlaceholderText::parse(text, |name| ["key", "other"].contains(&name))
    }

    fn fill(text: &str) -> String {
        parse(text).fill(|name| if name == "key" { "{{other}}" } else { "x" })
    }

    #[test]
    fn placeholders_are_filled_once_and_other_braces_stay() {
        assert_eq!(fill("a {{key}} b {{other}}{{{other}}"), "a {{other}} b x{x");
        assert_eq!(fill("{{other}}}} {{{{other}}"), "x}} {{x");
        for text in ["", "{{.Names}} {{unknown}} {{", "{{ key }}", "{{key}", "}}{{"] {
            assert_eq!(fill(text), text);
        }
    }

    #[test]
    fn names_are_in_order() {
        assert_eq!(parse("{{other}} {{key}}{{other}}").names().collect::<Vec<_>>(), ["other", "key", "other"]);
        assert_eq!(placeholder("key"), "{{key}}");
    }

    #[test]
    fn each_value_has_at_least_one_character() {
        let text = parse("{{key}}{{key}}-{{key}}");
        assert!(text.matches("ab-c") && text.matches("--- -") && text.matches("éé-é"));
        assert!(!text.matches("a-c") && !text.matches("ab-"));
    }

    #[test]
    fn a_filled_text_matches_whatever_the_values_are() {
        let text = parse("a: {{key}}\nb: {{key}}\n");
        assert!(text.matches("a: 1\nb: 2\n"));
        for other in ["", "a: 1\n", "a: \nb: 2\n", "a: 1\nb: 2\nc", "x"] {
            assert!(!text.matches(other), "{other:?}");
        }
        assert!(parse("a").matches("a") && !parse("a").matches("ab"));
    }

    proptest! {
        #[test]
        fn filling_with_the_placeholders_themselves_changes_nothing(text in "[{}a ]{0,6}(\\{\\{key\\}\\}[{}a ]{0,6}){0,3}") {
            prop_assert_eq!(parse(&text).fill(|_| "{{key}}"), text);
        }

        #[test]
        fn a_filled_text_matches(text in "[{}a ]{0,6}(\\{\\{key\\}\\}[{}a ]{0,6}){0,3}", value in "[ab{}]{1,9}") {
            prop_assert!(parse(&text).matches(&parse(&text).fill(|_| &value)));
        }
    }
}
