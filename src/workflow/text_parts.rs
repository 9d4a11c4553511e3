/// A part of a text whose expressions are not parsed yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RawTextPart<'a> {
    /// Text that is used literally.
    Literal(String),
    /// Text between `${{` and `}}`.
    Expression(&'a str),
    /// A `${{` that is not closed, with the rest of the text.
    Open(&'a str),
}

/// Start of an expression.
const OPEN: &str = "${{";

/// Splits a text at its expressions. `$${{` is a literal `${{`.
pub(super) fn split(text: &str) -> Vec<RawTextPart<'_>> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(OPEN) {
        literal.push_str(&rest[..at]);
        let inner = &rest[at + OPEN.len()..];
        if literal.ends_with('$') {
            literal.push_str(&OPEN[1..]);
            rest = inner;
            continue;
        }
        if !literal.is_empty() {
            parts.push(RawTextPart::Literal(std::mem::take(&mut literal)));
        }
        let Some(end) = close(inner) else {
            parts.push(RawTextPart::Open(&rest[at..]));
            return parts;
        };
        parts.push(RawTextPart::Expression(&inner[..end]));
        rest = &inner[end + 2..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(RawTextPart::Literal(literal));
    }
    parts
}

/// Returns the offset of the `}}` that ends the expression: neither inside a text nor the end of a
/// map.
fn close(inner: &str) -> Option<usize> {
    let bytes = inner.as_bytes();
    let mut braces = 0_usize;
    let mut quote = None;
    let mut at = 0;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (None, byte @ (b'\'' | b'"')) => quote = Some(byte),
            (None, b'{') => braces += 1,
            (None, b'}') if braces > 0 => braces -= 1,
            (None, b'}') => return (bytes.get(at + 1) == Some(&b'}')).then_some(at),
            (Some(_) | None, _) => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use RawTextPart::{Expression, Literal, Open};

    #[test]
    fn a_text_is_split_at_its_expressions() {
        let cases: [(&str, Vec<RawTextPart<'_>>); 7] = [
            ("", vec![]),
            ("plain {{x}} $y", vec![Literal("plain {{x}} $y".into())]),
            ("${{ a }}", vec![Expression(" a ")]),
            ("x-${{a}}-${{b}}", vec![Literal("x-".into()), Expression("a"), Literal("-".into()), Expression("b")]),
            ("${{ {'a': {'b': '}}'}} }}!", vec![Expression(" {'a': {'b': '}}'}} "), Literal("!".into())]),
            ("$${{ a }}", vec![Literal("${{ a }}".into())]),
            ("x${{ a", vec![Literal("x".into()), Open("${{ a")]),
        ];
        for (text, expected) in cases {
            assert_eq!(split(text), expected, "{text}");
        }
    }
}
