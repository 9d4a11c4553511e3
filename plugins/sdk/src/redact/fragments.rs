use std::{collections::HashSet, ops::Range};

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
}

/// Parts of `CHARS` characters, at most 16, each as a number.
#[derive(Debug, Default)]
struct Parts<const CHARS: usize>(HashSet<u128>);

impl Fragments {
    /// Adds the parts of a value.
    pub(super) fn add(&mut self, value: &str) {
        for content in contents(value).filter(|content| content.len() >= MIN_BYTES) {
            for encoded in encodings(content.as_bytes()) {
                if is_key(value) {
                    let parts = encoded.as_bytes().windows(KEY_PART_CHARS);
                    self.key_parts.extend(parts.map(|part| String::from_utf8_lossy(part).into_owned()));
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

    /// Finds the parts of keys.
    fn find_key_parts(&self, text: &[u8]) -> Vec<Range<usize>> {
        if self.key_parts.is_empty() {
            return Vec::new();
        }
        let digits = text.iter().enumerate().filter(|(_, byte)| !is_separator(**byte));
        let (positions, digits): (Vec<usize>, Vec<u8>) = digits.map(|(position, byte)| (position, *byte)).unzip();
        let parts = digits.windows(KEY_PART_CHARS).enumerate();
        let is_known = |part: &[u8]| str::from_utf8(part).is_ok_and(|part| self.key_parts.contains(part));
        let found = parts.filter(|(_, part)| is_known(part));
        found.map(|(first, _)| positions[first]..positions[first + KEY_PART_CHARS - 1] + 1).collect()
    }
}

impl<const CHARS: usize> Parts<CHARS> {
    /// Adds each part of an encoded value.
    fn add(&mut self, encoded: &str) {
        let number = |part: &[u8]| part.iter().fold(0, |number, byte| number << 8 | u128::from(*byte));
        self.0.extend(encoded.as_bytes().windows(CHARS).map(number));
    }

    /// Finds the parts in a text.
    fn find<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = Range<usize>> + 'a {
        let (mut number, mut count) = (0_u128, 0);
        let mut starts = [0; CHARS];
        let digits = text.iter().enumerate().filter(|(_, byte)| !is_separator(**byte));
        let limit = if self.0.is_empty() { 0 } else { usize::MAX };
        digits.take(limit).filter_map(move |(position, byte)| {
            number = (number << 8 | u128::from(*byte)) & (u128::MAX >> (128 - 8 * CHARS));
            starts[count % CHARS] = position;
            count += 1;
            let is_found = count >= CHARS && self.0.contains(&number);
            is_found.then(|| starts[count % CHARS]..position + 1)
        })
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

/// The characters of a value's encodings that do not depend on the bytes before and after it.
fn encodings(value: &[u8]) -> Vec<String> {
    let digits = value.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let hex: String = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
    let mut encodings = vec![hex.to_uppercase(), hex];
    for offset in 0..3 {
        let padded: Vec<u8> = std::iter::repeat_n(0, offset).chain(value.iter().copied()).collect();
        let first = (offset * 8).div_ceil(6); // characters that hold only bits of `value`
        let last = padded.len() * 8 / 6;
        for encoded in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            encodings.push(encoded[first..last].to_owned());
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
            // The first and the last characters hold bits of the other text, or padding.
            prop_assert!(rest_of_all.replace('\n', "").len() <= before.len() * 2 + after.len() * 2 + 8, "{rest_of_all}");
            let inner = encoded.get(8..encoded.len().saturating_sub(16)).unwrap_or_default();
            for line in lines.iter().filter(|line| line.len() >= LONG_PART_CHARS && inner.contains(*line)) {
                prop_assert!(rest(&fragments, line).is_empty(), "{line}");
            }
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
