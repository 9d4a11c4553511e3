use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// Length of the parts by which encoded values are recognised, in characters: 6 bytes of base64, 4
/// of hexadecimal digits. A shorter part of a value is not recognised.
const PART_CHARS: usize = 8;
/// Length of the parts by which encoded values of [`LONG_BYTES`] or more are recognised, in
/// characters. Shorter parts occur in other text by chance: a token in JSON has dates and names,
/// and a certificate has them too.
const LONG_PART_CHARS: usize = 16;
/// Length of the parts by which encoded keys are recognised, in characters. Shorter parts of a key
/// are also in certificates: the identifiers of the algorithm take up to 48 characters.
const KEY_PART_CHARS: usize = 60;
/// Maximum number of `=` at the end of base64.
const MAX_PADDING: usize = 2;
/// Minimum length of a value whose encoded parts are redacted, in bytes. Those of shorter values
/// occur in other text by chance.
const MIN_BYTES: usize = 8;
/// Minimum length of a value that is recognised by parts of [`LONG_PART_CHARS`], in bytes.
const LONG_BYTES: usize = 24;

/// The parts of all values in base64 and hexadecimal digits.
///
/// Encoded text is captured in parts: line by line, or cut. Each part that is long enough is found,
/// wherever it begins, with one lookup for a character of the text.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    parts: Parts<PART_CHARS>,
    /// The parts of long values.
    long_parts: Parts<LONG_PART_CHARS>,
    /// The parts of [`KEY_PART_CHARS`] characters of keys.
    key_parts: HashSet<String>,
    /// The parts with which an encoded key begins or ends.
    key_edges: HashMap<String, Neighbours>,
}

/// Parts of `CHARS` characters, at most 16, each as a number.
#[derive(Debug, Default)]
struct Parts<const CHARS: usize> {
    all: HashSet<u128>,
    /// The parts with which an encoded value begins or ends.
    edges: HashMap<u128, Neighbours>,
}

/// Encoded value: the characters that do not depend on the bytes before and after the value.
struct Encoded {
    text: String,
    neighbours: Neighbours,
}

/// Characters of base64 next to an encoded value that hold bits of the value and of other bytes.
/// Each is a bit at the character's number in the alphabet: only those that have the value's bits.
#[derive(Debug, Default, Clone, Copy)]
struct Neighbours {
    before: u64,
    after: u64,
}

impl Fragments {
    /// Adds the parts of a value.
    pub(super) fn add(&mut self, value: &str) {
        for content in contents(value).filter(|content| content.len() >= MIN_BYTES) {
            for encoded in encodings(content.as_bytes()) {
                if is_key(value) {
                    self.add_key(&encoded);
                } else if value.len() >= LONG_BYTES {
                    self.long_parts.add(&encoded);
                } else {
                    self.parts.add(&encoded);
                }
            }
        }
    }

    /// Finds all parts in a text. White space, its escapes and colons, with which encoders separate
    /// lines and digits, are ignored.
    pub(super) fn find<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = Range<usize>> + 'a {
        self.parts.find(text).chain(self.long_parts.find(text)).chain(self.find_key_parts(text))
    }

    /// Adds the parts of an encoded key.
    fn add_key(&mut self, encoded: &Encoded) {
        let name = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
        self.key_parts.extend(encoded.text.as_bytes().windows(KEY_PART_CHARS).map(name));
        for (part, neighbours) in encoded.edges::<KEY_PART_CHARS>() {
            self.key_edges.entry(name(part)).or_default().add(neighbours);
        }
    }

    /// Finds the parts of keys.
    fn find_key_parts(&self, text: &[u8]) -> Vec<Range<usize>> {
        if self.key_parts.is_empty() {
            return Vec::new();
        }
        let digits = text.iter().enumerate().filter(|(_, byte)| !is_separator(**byte));
        let (positions, digits): (Vec<usize>, Vec<u8>) = digits.map(|(position, byte)| (position, *byte)).unzip();
        let parts = digits.windows(KEY_PART_CHARS).enumerate();
        let parts = parts.filter_map(|(first, part)| Some((first, str::from_utf8(part).ok()?)));
        let found = parts.filter(|(_, part)| self.key_parts.contains(*part));
        let extended = found.map(|(first, part)| {
            let part_range = positions[first]..positions[first + KEY_PART_CHARS - 1] + 1;
            extended(text, part_range, self.key_edges.get(part))
        });
        extended.collect()
    }
}

impl<const CHARS: usize> Parts<CHARS> {
    /// Adds each part of an encoded value.
    fn add(&mut self, encoded: &Encoded) {
        let number = |part: &[u8]| part.iter().fold(0, |number, byte| number << 8 | u128::from(*byte));
        self.all.extend(encoded.text.as_bytes().windows(CHARS).map(number));
        for (part, neighbours) in encoded.edges::<CHARS>() {
            self.edges.entry(number(part)).or_default().add(neighbours);
        }
    }

    /// Finds the parts in a text.
    fn find<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = Range<usize>> + 'a {
        let (mut number, mut count) = (0_u128, 0);
        let mut starts = [0; CHARS];
        let digits = text.iter().enumerate().filter(|(_, byte)| !is_separator(**byte));
        let limit = if self.all.is_empty() { 0 } else { usize::MAX };
        digits.take(limit).filter_map(move |(position, byte)| {
            number = (number << 8 | u128::from(*byte)) & (u128::MAX >> (128 - 8 * CHARS));
            starts[count % CHARS] = position;
            count += 1;
            let is_found = count >= CHARS && self.all.contains(&number);
            is_found.then(|| extended(text, starts[count % CHARS]..position + 1, self.edges.get(&number)))
        })
    }
}

impl Encoded {
    /// The first and the last part of this length, each with the neighbours on its side.
    fn edges<const CHARS: usize>(&self) -> impl Iterator<Item = (&[u8], Neighbours)> {
        let Neighbours { before, after } = self.neighbours;
        let first = self.text.as_bytes().first_chunk::<CHARS>().map(|part| (part, Neighbours { before, after: 0 }));
        let last = self.text.as_bytes().last_chunk::<CHARS>().map(|part| (part, Neighbours { before: 0, after }));
        let edges = first.into_iter().chain(last).filter(|(_, neighbours)| neighbours.before | neighbours.after != 0);
        edges.map(|(part, neighbours)| (part.as_slice(), neighbours))
    }
}

impl Neighbours {
    /// The neighbours of a value that begins `offset` bytes after the start of a group of 3.
    fn of(value: &[u8], offset: usize) -> Self {
        let (Some(first), Some(last)) = (value.first(), value.last()) else { return Self::default() };
        let before = match offset {
            1 => digits(|digit| digit & 0b1111 == first >> 4),
            2 => digits(|digit| digit & 0b11 == first >> 6),
            _ => 0,
        };
        let after = match (offset + value.len()) % 3 {
            1 => digits(|digit| digit >> 4 == last & 0b11),
            2 => digits(|digit| digit >> 2 == last & 0b1111),
            _ => 0,
        };
        Self { before, after }
    }

    fn add(&mut self, other: Self) {
        self.before |= other.before;
        self.after |= other.after;
    }
}

/// Extends a part by the characters next to it that hold bits of the value, and by the padding
/// after them. A line can break in between.
fn extended(text: &[u8], part: Range<usize>, neighbours: Option<&Neighbours>) -> Range<usize> {
    let Some(neighbours) = neighbours else { return part };
    let is_one = |set: u64, byte: u8| digit(byte).is_some_and(|digit| set >> digit & 1 == 1);
    let before = previous(&text[..part.start]).filter(|at| is_one(neighbours.before, text[*at]));
    let after = next(text, part.end).filter(|at| is_one(neighbours.after, text[*at]));
    let end = after.map_or(part.end, |at| {
        let padding = text[at + 1..].iter().take(MAX_PADDING).take_while(|byte| **byte == b'=');
        at + 1 + padding.count()
    });
    before.unwrap_or(part.start)..end
}

/// Position of the last character, before a line break if there is one.
fn previous(text: &[u8]) -> Option<usize> {
    let end = text.trim_ascii_end().len();
    (end == text.len() || text[end..].contains(&b'\n')).then(|| end.checked_sub(1))?
}

/// Position of the first character from `start`, after a line break if there is one.
fn next(text: &[u8], start: usize) -> Option<usize> {
    let rest = &text[start..];
    let skipped = rest.len() - rest.trim_ascii_start().len();
    let is_next = skipped < rest.len() && (skipped == 0 || rest[..skipped].contains(&b'\n'));
    is_next.then_some(start + skipped)
}

/// Numbers of the characters of base64 that are accepted, each as a bit.
fn digits(is_accepted: impl Fn(u8) -> bool) -> u64 {
    (0..64).filter(|digit| is_accepted(*digit)).fold(0, |set, digit| set | 1 << digit)
}

/// Number of a character in the standard alphabet of base64, or in that for URLs.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// True for a key or a certificate as PEM, also in base64.
fn is_key(value: &str) -> bool {
    let text = value.trim_start();
    text.starts_with("-----BEGIN") || text.starts_with("LS0tLS1CRUdJTi")
}

/// The value, or the content of its PEM block: the lines around it, and their encoding, are the
/// same for all keys.
fn contents(value: &str) -> impl Iterator<Item = &str> {
    let is_pem = value.trim_start().starts_with("-----BEGIN");
    let body = value.split("-----").enumerate().filter(|(index, _)| index % 4 == 2).map(|(_, part)| part.trim());
    let body = body.filter(move |_| is_pem);
    std::iter::once(value).filter(move |_| !is_pem).chain(body)
}

/// The encodings of a value at each offset.
fn encodings(value: &[u8]) -> Vec<Encoded> {
    let digits = value.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let hex: String = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
    let hex = [hex.to_uppercase(), hex].map(|text| Encoded { text, neighbours: Neighbours::default() });
    let mut encodings = Vec::from(hex);
    for offset in 0..3 {
        let padded: Vec<u8> = std::iter::repeat_n(0, offset).chain(value.iter().copied()).collect();
        let first = (offset * 8).div_ceil(6); // characters that hold only bits of `value`
        let last = padded.len() * 8 / 6;
        for encoded in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            let text = encoded[first..last].to_owned();
            encodings.push(Encoded { text, neighbours: Neighbours::of(value, offset) });
        }
    }
    encodings
}

fn is_separator(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == b':'
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    /// Text without the parts that were found.
    fn rest(fragments: &Fragments, text: &str) -> String {
        let mut is_found = vec![false; text.len()];
        fragments.find(text.as_bytes()).for_each(|part| is_found[part].fill(true));
        text.char_indices().filter(|(position, _)| !is_found[*position]).map(|(_, character)| character).collect()
    }

    fn fragments(value: &str) -> Fragments {
        let mut fragments = Fragments::default();
        fragments.add(value);
        fragments
    }

    proptest! {
        #[test]
        fn base64_is_found_at_any_offset_in_any_lines(
            secret in "[ -~]{24,200}", before in "[a-z]{0,5}", after in "[a-z]{0,5}", width in 16_usize..80,
        ) {
            let fragments = fragments(&secret);
            let encoded = STANDARD.encode(format!("{before}{secret}{after}"));
            let lines: Vec<&str> = encoded.as_bytes().chunks(width).map(|l| str::from_utf8(l).expect("ASCII")).collect();
            let rest_of_all = rest(&fragments, &lines.join("\n"));
            // Only characters without a bit of the secret are left, and padding on its own line.
            let (first, last) = (before.len() * 8 / 6, ((before.len() + secret.len()) * 8).div_ceil(6));
            let left = format!("{}{}", &encoded[..first], &encoded[last..]);
            prop_assert_eq!(rest_of_all.replace(['\n', '='], ""), left.replace('=', ""));
            let inner = encoded.get(8..encoded.len().saturating_sub(16)).unwrap_or_default();
            for line in lines.iter().filter(|line| line.len() >= LONG_PART_CHARS && inner.contains(*line)) {
                prop_assert!(rest(&fragments, line).is_empty(), "{line}");
            }
        }
    }

    #[test]
    fn characters_next_to_a_part_are_found_if_they_hold_bits_of_the_value() {
        let fragments = fragments("hunter22");
        for (text, left) in [
            ("aHVudGVyMjI=", ""),
            ("aHVudGVyMjI= aHVudGVyMjI===", " ="),
            ("aHVudGVyMj\r\n  Kx", "x"),
            ("eGh1bnRlcjIy", "e"),
            ("eHhodW50ZXIyMg==", "eH"),
            ("eHhodW50ZXIyMgx", "eHx"),
            ("G\n h1bnRlcjIy", ""),
            // Other bits, or other text.
            ("aHVudGVyMjM=", "M="),
            ("zh1bnRlcjIy", "z"),
            ("G h1bnRlcjIy", "G "),
            ("aHVudGVyMj I", " I"),
            ("aHVudGVyMj\n", "\n"),
            ("=aHVudGVyMjI\n==", "=\n=="),
        ] {
            assert_eq!(rest(&fragments, text), left, "{text}");
        }
    }

    #[test]
    fn hexadecimal_digits_are_found_with_separators() {
        let fragments = fragments("secret value");
        for hex in ["7365637265742076616c7565", "7365 6372 6574 2076 616C 7565", "73:65:63:72:65:74:20:76:61:6c:75:65"]
        {
            assert!(rest(&fragments, hex).trim_matches([' ', ':']).len() < 16, "{hex}");
        }
        assert_eq!(rest(&fragments, "7365637265742076616c7565"), "");
        assert_eq!(rest(&fragments, "7365637265742076616C7565".to_uppercase().as_str()), "");
    }

    #[test]
    fn the_frame_of_a_pem_block_is_not_a_part_of_the_secret() {
        let mut fragments =
            fragments("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n");
        let certificate = STANDARD.encode("-----BEGIN CERTIFICATE-----\nabcd");
        assert_eq!(rest(&fragments, &certificate), certificate);
        let long = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC".repeat(3);
        fragments.add(&format!("-----BEGIN PRIVATE KEY-----\n{long}\n-----END PRIVATE KEY-----\n"));
        assert!(rest(&fragments, &STANDARD.encode(&long)).len() < 4);
    }

    #[test]
    fn a_certificate_is_not_changed_by_a_token_with_the_same_date() {
        // The end of the validity of a certificate, 261129055956Z, and a claim of a token.
        let certificate = STANDARD.encode("MB4XDTI2MTEyOTA1NTk1NloXDTI3MTEyOTA1NTk1Nlow");
        let fragments = fragments("eyJhbGciOiJSUzI1NiJ9.MTEyOTA1.c2lnbmF0dXJl");
        assert_eq!(rest(&fragments, &certificate), certificate);
    }

    #[test]
    fn a_certificate_is_not_changed_by_a_key_of_the_same_algorithm() {
        // The identifiers of an EC key on P-256, in a private key (RFC 5958) and in a certificate.
        let key = format!("MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg{}", "kTz3".repeat(20));
        let certificate = format!("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE{}CCqGSM49BAMCA0gA", "9bXq".repeat(20));
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
        for value in [STANDARD.encode(&pem), pem] {
            let fragments = fragments(&value);
            let encoded = STANDARD.encode(&certificate);
            assert_eq!((rest(&fragments, &encoded), rest(&fragments, &certificate)), (encoded, certificate.clone()));
        }
    }
}
