use serde_json::Value;

/// Returns the values at the path of a printer column.
///
/// Supports `.a.b`, `[0]`, `[*]`, `['a.b']` and `[?(@.key=="value")]`; any other path finds
/// nothing.
pub(crate) fn find<'a>(object: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut found = vec![object];
    let mut rest = path.trim();
    while !rest.is_empty() {
        let Some((step, after)) = step(rest) else { return Vec::new() };
        found = found.into_iter().flat_map(|value| follow(value, &step)).collect();
        rest = after;
    }
    found
}

/// One step of a path.
enum Step {
    /// Value under a key.
    Key(String),
    /// Item of a list, counted from 0.
    Index(usize),
    /// All items of a list.
    All,
    /// Items of a list whose key has a value.
    Where(String, String),
}

/// Parses the first step of a path. Returns the step and the remaining path.
fn step(path: &str) -> Option<(Step, &str)> {
    if let Some(rest) = path.strip_prefix('.') {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        return Some((Step::Key(rest[..end].to_owned()), &rest[end..]));
    }
    let inner = path.strip_prefix('[')?;
    let end = inner.find(']')?;
    let (inner, rest) = (&inner[..end], &inner[end + 1..]);
    let step = if let Some(condition) = inner.strip_prefix("?(@.").and_then(|inner| inner.strip_suffix(')')) {
        let (key, value) = condition.split_once("==")?;
        Step::Where(key.trim().to_owned(), value.trim().trim_matches(['"', '\'']).to_owned())
    } else if inner == "*" {
        Step::All
    } else if let Ok(index) = inner.parse() {
        Step::Index(index)
    } else {
        Step::Key(inner.trim_matches(['"', '\'']).to_owned())
    };
    Some((step, rest))
}

/// Returns the values that a step selects from a value.
fn follow<'a>(value: &'a Value, step: &Step) -> Vec<&'a Value> {
    let items = || value.as_array().map(Vec::as_slice).unwrap_or_default();
    match step {
        Step::Key(key) => value.get(key).into_iter().collect(),
        Step::Index(index) => items().get(*index).into_iter().collect(),
        Step::All => items().iter().collect(),
        Step::Where(key, expected) => {
            items().iter().filter(|item| item.get(key).and_then(Value::as_str) == Some(expected)).collect()
        }
    }
}
