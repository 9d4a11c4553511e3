/// Units of a duration with their length in milliseconds, longest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Parses a duration such as `10m`, `1h30m` or `500ms` and returns it in milliseconds.
///
/// Each unit occurs at most once, longer units first. `None` for any other text, and for more than
/// `u64::MAX` ms.
pub fn parse(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut units = UNITS.as_slice();
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_lowercase).count();
        let unit = &rest[digits..digits + letters];
        let at = units.iter().position(|(name, _)| *name == unit)?;
        total = total.checked_add(number.checked_mul(units[at].1)?)?;
        units = &units[at + 1..];
        rest = &rest[digits + letters..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_milliseconds() {
        let cases = [("10m", 600_000), ("1h30m", 5_400_000), ("500ms", 500), ("1d", 86_400_000), ("1s5ms", 1_005)];
        for (text, expected) in cases {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn any_other_text_is_refused() {
        for text in ["", "10", "m", "5m1h", "1h1h", "-1m", "1.5h", "10 m", "99999999999999999999d", "1w", "1µs"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
