use serde_json::Value;

/// What a printer column's path finds: `.a.b`, `[0]`, `[*]`, `['a.b']`, `[?(@.key=="value")]`.
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

enum Step {
    Key(String),
    Index(usize),
    All,
    Where(String, String),
}

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

fn follow<'a>(value: &'a Value, step: &Step) -> Vec<&'a Value> {
    let items = || value.as_array().map(Vec::as_slice).unwrap_or_default();
    match step {
        Step::Key(key) => value.get(key).into_iter().collect(),
        Step::Index(index) => items().get(*index).into_iter().collect(),
        Step::All => items().iter().collect(),
        Step::Where(key, wanted) => {
            items().iter().filter(|item| item.get(key).and_then(Value::as_str) == Some(wanted)).collect()
        }
    }
}
