/// Maximum length of a word and of a name. Longer ones are not typing mistakes, and the cost of the
/// distance is their product.
const MAX_CHARS: usize = 64;

/// Returns `did you mean "…"?` with the name that `word` is most likely a typing mistake of, if
/// there is one.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    suggest(word, known).map(|name| format!("did you mean \"{name}\"?"))
}

/// Returns the name with the fewest edits between it and `word`, if that is at most a third of the
/// word's length.
pub fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    if length > MAX_CHARS {
        return None;
    }
    let (mut limit, mut best) = (length / 3, None);
    for name in known.into_iter().filter(|name| name.chars().count() <= MAX_CHARS) {
        match distance_within(word, name, limit) {
            None => {}
            Some(0) => return Some(name),
            // A later name has to be more similar.
            Some(edits) => (limit, best) = (edits - 1, Some(name)),
        }
    }
    best
}

/// Returns the number of edits: insertions, deletions, replacements and swaps of neighbours; `None`
/// if there are more than `limit`.
fn distance_within(a: &str, b: &str, limit: usize) -> Option<usize> {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > limit {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (above[j] + usize::from(x != y)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        // A swap reaches back two rows.
        if above.iter().chain(&row).all(|edits| *edits > limit) {
            return None;
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().filter(|edits| *edits <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_mistake_finds_the_similar_name() {
        for (word, expected) in
            [("naem", Some("name")), ("nam", Some("name")), ("stpes", Some("steps")), ("x", None), ("na", None)]
        {
            assert_eq!(suggest(word, ["name", "steps", "outputs"]), expected, "{word}");
        }
    }

    #[test]
    fn the_most_similar_name_is_found_and_of_equal_ones_the_first() {
        let known = ["route.ensured", "route.ensrue", "route.ensure2", "route.ensure3"];
        assert_eq!(suggest("route.ensure", known), Some("route.ensured"));
        assert_eq!(suggest("route.ensur3", known), Some("route.ensure3"));
        assert_eq!(suggest("abcdef", ["badcfe"]), None);
        assert_eq!(suggest("abcdefghi", ["badcfeghi"]), Some("badcfeghi"));
    }

    #[test]
    fn a_word_without_similar_name_finds_none() {
        assert_eq!(suggest("frobnicate", ["name", "steps", "outputs"]), None);
    }
}
