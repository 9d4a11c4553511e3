use std::{borrow::Cow, ops::Range};

/// One way to read a text: as it is, or with escapes decoded.
///
/// Encoders differ in the characters that they escape and in the case of digits. Decoding finds all
/// their forms, where a list of encoded forms would have to know each encoder.
pub(super) struct View<'a> {
    bytes: Cow<'a, [u8]>,
    /// Position in the text at which each byte begins, and the length of the text; `None` if the
    /// bytes are those of the text.
    starts: Option<Vec<usize>>,
}

/// Syntax of escapes.
#[derive(Clone, Copy)]
enum Escapes {
    /// `\n`, `\"`, `\/`, `\u00e9`, `\x1b`.
    Backslash,
    /// `%2F`, with digits of both cases.
    Percent,
    /// `&amp;`, `&#39;`, `&#x2F;`.
    Html,
}

/// Orders in which escapes are decoded, from the outermost one.
const ORDERS: &[&[Escapes]] = &[
    &[Escapes::Backslash],
    &[Escapes::Backslash, Escapes::Backslash],
    &[Escapes::Backslash, Escapes::Percent],
    &[Escapes::Backslash, Escapes::Html],
    &[Escapes::Percent],
    &[Escapes::Percent, Escapes::Percent],
    &[Escapes::Percent, Escapes::Backslash],
    &[Escapes::Html],
    &[Escapes::Html, Escapes::Backslash],
    &[Escapes::Html, Escapes::Percent],
];

impl<'a> View<'a> {
    /// All ways to read a text that differ from each other.
    pub(super) fn all(text: &'a str) -> impl Iterator<Item = Self> {
        let plain = || Self { bytes: Cow::Borrowed(text.as_bytes()), starts: None };
        let decoded = ORDERS.iter().filter_map(move |order| order.iter().copied().try_fold(plain(), Self::decoded));
        std::iter::once(plain()).chain(decoded)
    }

    /// Bytes of the view.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Part of the text that a part of the view was read from.
    pub(super) fn source(&self, part: Range<usize>) -> Range<usize> {
        match &self.starts {
            Some(starts) => starts[part.start]..starts[part.end],
            None => part,
        }
    }

    /// Decodes one level of escapes; `None` if there are none.
    fn decoded(self, escapes: Escapes) -> Option<Self> {
        if !self.bytes.contains(&escapes.introducer()) {
            return None;
        }
        let (mut bytes, mut starts) = (Vec::with_capacity(self.bytes.len()), Vec::with_capacity(self.bytes.len() + 1));
        let mut position = 0;
        let mut is_changed = false;
        while position < self.bytes.len() {
            let start = self.source(position..position).start;
            let length = if let Some((decoded, length)) = escapes.decode(&self.bytes[position..]) {
                is_changed = true;
                bytes.extend(decoded.bytes());
                length
            } else {
                bytes.push(self.bytes[position]);
                1
            };
            starts.resize(bytes.len(), start);
            position += length;
        }
        starts.push(self.source(position..position).start);
        is_changed.then_some(Self { bytes: Cow::Owned(bytes), starts: Some(starts) })
    }
}

/// Result of decoding one escape.
enum Decoded {
    Byte(u8),
    Character(char),
}

impl Decoded {
    fn bytes(&self) -> impl Iterator<Item = u8> {
        let mut buffer = [0; 4];
        let length = match self {
            Self::Byte(byte) => {
                buffer[0] = *byte;
                1
            }
            Self::Character(character) => character.encode_utf8(&mut buffer).len(),
        };
        buffer.into_iter().take(length)
    }
}

impl Escapes {
    /// Byte with which each escape begins.
    fn introducer(self) -> u8 {
        match self {
            Self::Backslash => b'\\',
            Self::Percent => b'%',
            Self::Html => b'&',
        }
    }

    /// Decodes the escape with which `bytes` begin, and returns its length.
    fn decode(self, bytes: &[u8]) -> Option<(Decoded, usize)> {
        if *bytes.first()? != self.introducer() {
            return None;
        }
        match self {
            Self::Backslash => backslash(bytes),
            Self::Percent => Some((Decoded::Byte(u8::try_from(number(bytes.get(1..3)?, 16)?).ok()?), 3)),
            Self::Html => html(bytes),
        }
    }
}

fn backslash(bytes: &[u8]) -> Option<(Decoded, usize)> {
    let byte = match *bytes.get(1)? {
        quoted @ (b'"' | b'\'' | b'\\' | b'/') => quoted,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        b'x' => return Some((Decoded::Byte(u8::try_from(number(bytes.get(2..4)?, 16)?).ok()?), 4)),
        b'u' => return unicode(bytes),
        _ => return None,
    };
    Some((Decoded::Byte(byte), 2))
}

/// Decodes `\u00e9`, or a pair of surrogates.
fn unicode(bytes: &[u8]) -> Option<(Decoded, usize)> {
    let first = number(bytes.get(2..6)?, 16)?;
    if let Some(character) = char::from_u32(first) {
        return Some((Decoded::Character(character), 6));
    }
    let rest = bytes.get(6..)?.strip_prefix(b"\\u")?;
    let units = [first, number(rest.get(..4)?, 16)?].map(|unit| u16::try_from(unit).unwrap_or_default());
    let character = char::decode_utf16(units).next()?.ok()?;
    Some((Decoded::Character(character), 12))
}

/// Decodes an entity of HTML: a number, or one of those that encoders write.
fn html(bytes: &[u8]) -> Option<(Decoded, usize)> {
    const LONGEST: usize = 10;
    let end = bytes.iter().take(LONGEST).position(|byte| *byte == b';')?;
    let character = match &bytes[1..end] {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        b"nbsp" => '\u{a0}',
        [b'#', b'x' | b'X', digits @ ..] => char::from_u32(number(digits, 16)?)?,
        [b'#', digits @ ..] => char::from_u32(number(digits, 10)?)?,
        _ => return None,
    };
    Some((Decoded::Character(character), end + 1))
}

/// The number that `digits` are in this base.
fn number(digits: &[u8], base: u32) -> Option<u32> {
    let value = |digit: &u8| char::from(*digit).to_digit(base);
    let add = |sum: u32, digit: &u8| sum.checked_mul(base)?.checked_add(value(digit)?);
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds `needle` in the views of `text`, and returns the part of the text that it was read
    /// from.
    fn find<'a>(text: &'a str, needle: &str) -> Option<&'a str> {
        View::all(text).find_map(|view| {
            let start = view.bytes().windows(needle.len()).position(|part| part == needle.as_bytes())?;
            Some(&text[view.source(start..start + needle.len())])
        })
    }

    #[test]
    fn escapes_of_all_kinds_are_decoded_to_their_place() {
        assert_eq!(find("<a/b>", "a/b"), Some("a/b"));
        assert_eq!(find("<a%2fb%2F>", "a/b/"), Some("a%2fb%2F"));
        assert_eq!(find("<%61%2f%62>", "a/b"), Some("%61%2f%62"));
        assert_eq!(find("<%252f>", "/"), Some("%252f"));
        assert_eq!(find(r#"<a\/\"\u00e9\ud83d\ude00>"#, "a/\"é😀"), Some(r#"a\/\"\u00e9\ud83d\ude00"#));
        assert_eq!(find(r#"<a\\\"b\\\\c>"#, "a\"b\\c"), Some(r#"a\\\"b\\\\c"#));
        assert_eq!(find("<a&amp;b&#39;&#x2F;>", "a&b'/"), Some("a&amp;b&#39;&#x2F;"));
        assert_eq!(find(r"<\u0026lt;é>", "<é>"), Some(r"\u0026lt;é>"));
    }

    #[test]
    fn incomplete_escapes_are_plain_text() {
        for text in ["%", "%2", "%zz", "\\", "\\u12", "\\ud83d", "&", "&#;", "&#x110000;", "&unknown;", "%+1"] {
            assert_eq!(find(text, text), Some(text));
            assert!(View::all(text).all(|view| view.source(0..view.bytes().len()) == (0..text.len())), "{text}");
        }
    }
}
