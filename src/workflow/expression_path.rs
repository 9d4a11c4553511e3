use std::ops::Range;

use super::expression::{PathKey, Reference, Segment};

/// Keywords of CEL that look like names.
const KEYWORDS: [&str; 4] = ["true", "false", "null", "in"];

/// Reads `source` as a single reference, which most expressions are; those are not parsed by CEL.
/// `None` for any other expression.
pub(super) fn path(source: &str) -> Option<Reference> {
    let start = source.len() - source.trim_start().len();
    let end = source.trim_end().len();
    let reference = path_at(source, start)?;
    (reference.range().end == end).then_some(reference)
}

/// Reads the longest reference that starts at byte `start` of `source`.
pub(super) fn path_at(source: &str, start: usize) -> Option<Reference> {
    let root = name(source, start)?;
    if KEYWORDS.contains(&&source[root.clone()]) {
        return None;
    }
    let mut segments = vec![field(source, root.clone(), root.clone())];
    let mut at = root.end;
    while let Some(segment) = dotted(source, at).or_else(|| bracketed(source, at)) {
        at = segment.range.end;
        segments.push(segment);
    }
    Some(Reference { segments, is_sized_only: false })
}

/// Creates a segment for the field `name`; `range` includes brackets and quotes.
fn field(source: &str, name: Range<usize>, range: Range<usize>) -> Segment {
    Segment { key: PathKey::Field(source[name].to_owned()), range }
}

/// Reads `.name` at byte `at`.
fn dotted(source: &str, at: usize) -> Option<Segment> {
    let rest = source.get(at..)?.strip_prefix('.')?;
    let name = name(source, source.len() - rest.len())?;
    // The name of a method is not a field.
    let called = source[name.end..].trim_start().starts_with('(');
    (!called).then(|| field(source, name.clone(), name))
}

/// Reads `['name']`, `["name"]` or `[0]` at byte `at`.
fn bracketed(source: &str, at: usize) -> Option<Segment> {
    let inner = source.get(at..)?.strip_prefix('[')?;
    let close = inner.find(']')?;
    let end = at + 1 + close + 1;
    let inside = &inner[..close];
    let key = match inside.as_bytes() {
        [b'\'', text @ .., b'\''] | [b'"', text @ .., b'"'] if text.iter().all(|b| is_plain(*b)) => {
            PathKey::Field(inside[1..inside.len() - 1].to_owned())
        }
        digits if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => PathKey::Index(inside.parse().ok()?),
        _ => return None,
    };
    Some(Segment { key, range: at..end })
}

/// Returns true for a byte that needs no unescaping and cannot end the text.
fn is_plain(byte: u8) -> bool {
    !matches!(byte, b'\'' | b'"' | b'\\' | b'[' | b']')
}

/// Reads a name at byte `start`: letters, digits and underscores.
fn name(source: &str, start: usize) -> Option<Range<usize>> {
    let rest = source.get(start..)?;
    let first = rest.bytes().next()?;
    let length = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    (first.is_ascii_alphabetic() || first == b'_').then_some(start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(source: &str) -> Option<Vec<String>> {
        Some(path(source)?.segments.iter().map(|segment| segment.key.to_string()).collect())
    }

    #[test]
    fn a_reference_is_read_with_its_fields_and_indexes() {
        let expected = ["steps", "vm", "outputs", "a-b", "[0]", "x"];
        assert_eq!(keys(" steps.vm.outputs['a-b'][0].x ").expect("a reference"), expected);
    }

    #[test]
    fn any_other_expression_is_left_to_cel() {
        for source in ["a + b", "f(a)", "a.size()", "'x'", "1", "true", "a[b]", "a ? b : c", "a.", "a['\\'']"] {
            assert_eq!(keys(source), None, "{source}");
        }
    }

    #[test]
    fn each_segment_has_its_byte_range() {
        let source = "steps.vm['x']";
        let texts: Vec<_> = path(source).expect("a reference").segments.into_iter().map(|s| &source[s.range]).collect();
        assert_eq!(texts, ["steps", "vm", "['x']"]);
    }
}
