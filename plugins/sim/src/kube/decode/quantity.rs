/// Error of a text that does not have the form of a quantity, from
/// `k8s.io/apimachinery/pkg/api/resource`.
pub(super) const FORMAT: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// Error of a quantity whose suffix is unknown, from the same package.
const SUFFIX: &str = "unable to parse quantity's suffix";

/// Suffixes of quantities, without exponents such as `e3`.
const SUFFIXES: [&str; 16] = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// Returns the error of a text that is not a quantity such as `100m` or `1.5Gi`; `None` for a
/// quantity.
pub(super) fn error(text: &str) -> Option<&'static str> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let suffix = unsigned.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    let number = &unsigned[..unsigned.len() - suffix.len()];
    let exponent = suffix.trim_start_matches(|letter| "eEinumkKMGTP".contains(letter));
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if number.is_empty() || number.matches('.').count() > 1 || !digits.chars().all(|digit| digit.is_ascii_digit()) {
        return Some(FORMAT);
    }
    let letters = &suffix[..suffix.len() - exponent.len()];
    let is_exponent = matches!(letters, "e" | "E") && !digits.is_empty();
    let is_known = if exponent.is_empty() { SUFFIXES.contains(&letters) } else { is_exponent };
    (!is_known).then_some(SUFFIX)
}

#[cfg(test)]
mod tests {
    use super::{FORMAT, SUFFIX, error};

    #[test]
    fn quantities_are_numbers_with_a_known_suffix() {
        for text in ["0", "1", "-1", "+1.5", ".5", "5.", "100m", "1Ki", "1.5Gi", "2E", "1e3", "1E-3", "12e+6"] {
            assert_eq!(error(text), None, "{text}");
        }
        for (text, expected) in [("", FORMAT), ("x", FORMAT), ("1 Gi", FORMAT), ("1.2.3", FORMAT), ("1KK", SUFFIX)] {
            assert_eq!(error(text), Some(expected), "{text}");
        }
    }
}
