/// Returns true if `text` matches a shell pattern with `*`, `?`, `[…]` and backslash.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    matches_from(&pattern, &text)
}

/// Matches a pattern against the whole text.
fn matches_from(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', rest @ ..] => (0..=text.len()).any(|skipped| matches_from(rest, &text[skipped..])),
        ['?', rest @ ..] => !text.is_empty() && matches_from(rest, &text[1..]),
        ['[', ..] => match class(pattern) {
            Some((negated, members, rest)) => {
                text.first().is_some_and(|c| contains(members, *c) != negated) && matches_from(rest, &text[1..])
            }
            None => text.first() == Some(&'[') && matches_from(&pattern[1..], &text[1..]),
        },
        ['\\', literal, rest @ ..] | [literal, rest @ ..] => {
            text.first() == Some(literal) && matches_from(rest, &text[1..])
        }
    }
}

/// Splits a bracket expression from the rest of the pattern: `[!a-z]rest`.
///
/// Returns true for a negated one, its members and the rest.
fn class(pattern: &[char]) -> Option<(bool, &[char], &[char])> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let start = if negated { 2 } else { 1 };
    // A closing bracket at the first position is a member.
    let end = (start + 1..pattern.len()).find(|at| pattern[*at] == ']')?;
    Some((negated, &pattern[start..end], &pattern[end + 1..]))
}

/// Returns true if the members, which may contain ranges, include the character.
fn contains(members: &[char], c: char) -> bool {
    match members {
        [] => false,
        [low, '-', high, rest @ ..] => (*low..=*high).contains(&c) || contains(rest, c),
        [member, rest @ ..] => *member == c || contains(rest, c),
    }
}
