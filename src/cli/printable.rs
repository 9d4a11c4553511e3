//! Text for a terminal: control characters of foreign text are shown, not sent.
//!
//! A machine, an API or an input can contain escape sequences that set the title, clear the screen
//! or overwrite a question. Only line feed and tab have their effect, and the sequences with which
//! this program styles its own text.

use std::{borrow::Cow, fmt::Write};

/// Escape sequences that are sent to the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Styles {
    /// None: the text is not coloured.
    None,
    /// Those of [`Tone`](super::ui::Tone).
    Tones,
    /// Every SGR sequence, which a report with source text uses (ECMA-48, section 8.3.117).
    All,
}

/// SGR parameters of the tones, and the one that resets them.
const TONES: [&str; 6] = ["0", "1", "2", "31", "32", "33"];

/// Returns `text` with its control characters in the form `\x1b`, and the characters that change
/// the direction of text in the form `\u{202e}`.
pub(super) fn printable(text: &str, styles: Styles) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(at) = rest.find(is_hidden) {
        shown.push_str(&rest[..at]);
        rest = &rest[at..];
        let style = style(rest, styles).unwrap_or_default();
        if style.is_empty() {
            let mut characters = rest.chars();
            characters.next().into_iter().for_each(|hidden| push_escaped(&mut shown, hidden));
            rest = characters.as_str();
        } else {
            shown.push_str(style);
            rest = &rest[style.len()..];
        }
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

/// True for control characters except line feed and tab, and for the directional formatting
/// characters of Unicode (UAX #9, section 2).
fn is_hidden(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        other => other.is_control(),
    }
}

/// Returns the permitted style sequence at the start of `text`.
fn style(text: &str, styles: Styles) -> Option<&str> {
    let after = text.strip_prefix("\x1b[")?;
    let length = after.find(|character: char| !character.is_ascii_digit() && character != ';')?;
    let parameters = after[length..].starts_with('m').then_some(&after[..length])?;
    let permitted = match styles {
        Styles::None => false,
        Styles::Tones => TONES.contains(&parameters),
        Styles::All => true,
    };
    permitted.then(|| &text[.."\x1b[m".len() + length])
}

fn push_escaped(shown: &mut String, hidden: char) {
    let code = u32::from(hidden);
    let written = if code < 0x100 { write!(shown, "\\x{code:02x}") } else { write!(shown, "\\u{{{code:x}}}") };
    written.expect("a string can be written to");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown() {
        let title = "a\x1b]0;title\x07b\x1b[2K\rc\u{9b}31m\u{202e}d\te\nf\x7f";
        let shown = r"a\x1b]0;title\x07b\x1b[2K\x0dc\x9b31m\u{202e}d".to_owned() + "\te\nf" + r"\x7f";
        assert_eq!(printable(title, Styles::Tones), shown);
        assert_eq!(printable("plain é 漢", Styles::None), "plain é 漢");
    }

    #[test]
    fn only_permitted_styles_are_sent() {
        let text = "\x1b[31mred\x1b[0m \x1b[8mhidden\x1b[2J";
        assert_eq!(printable(text, Styles::None), r"\x1b[31mred\x1b[0m \x1b[8mhidden\x1b[2J");
        assert_eq!(printable(text, Styles::Tones), "\x1b[31mred\x1b[0m \\x1b[8mhidden\\x1b[2J");
        assert_eq!(printable(text, Styles::All), "\x1b[31mred\x1b[0m \x1b[8mhidden\\x1b[2J");
        assert_eq!(printable("\x1b[31", Styles::All), r"\x1b[31");
    }
}
