use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;
use stargate_sdk::SecretRef;

use super::schema::Schema;
use crate::workflow::{Patterns, duration, suggest::did_you_mean};

/// A rule of a schema that a value of the right kind breaks.
pub(super) struct Violation {
    /// Text that follows the name of the value: `must be …`.
    pub(super) message: String,
    /// Text below the underlined value.
    pub(super) label: String,
    /// Advice to the reader.
    pub(super) hint: Option<String>,
}

impl Violation {
    fn new(message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { message: message.into(), label: label.into(), hint: None }
    }
}

/// Returns the rules of the schema's own keywords that `value` breaks. Items and properties are not
/// checked.
///
/// With `hide` no message repeats the value.
pub(super) fn violations(value: &Value, schema: Schema<'_>, patterns: &Patterns, hide: bool) -> Vec<Violation> {
    let mut found: Vec<Violation> = allowed(value, schema, hide).into_iter().collect();
    match value {
        Value::String(text) => found.extend(of_text(text, schema, patterns, hide)),
        Value::Number(number) => found.extend(of_number(number.as_f64().unwrap_or(f64::NAN), schema)),
        Value::Array(items) => found.extend(of_size(items.len(), schema, ["minItems", "maxItems"], "items")),
        Value::Null | Value::Bool(_) | Value::Object(_) => {}
    }
    found
}

/// Checks `const` and `enum`.
fn allowed(value: &Value, schema: Schema<'_>, hide: bool) -> Option<Violation> {
    let one = schema.keyword("const").map(std::slice::from_ref);
    let many = schema.keyword("enum").and_then(Value::as_array).map(Vec::as_slice);
    let values = one.or(many)?;
    if values.contains(value) {
        return None;
    }
    let all: Vec<_> = values.iter().map(ToString::to_string).collect();
    let hint = match value {
        Value::String(text) if !hide => did_you_mean(text, values.iter().filter_map(Value::as_str)),
        _ => None,
    };
    Some(Violation { hint, ..Violation::new(format!("must be one of {}", all.join(", ")), "not one of them") })
}

/// Checks `minLength`, `maxLength`, `format` and `pattern`. Lengths count characters.
fn of_text(text: &str, schema: Schema<'_>, patterns: &Patterns, hide: bool) -> Vec<Violation> {
    let mut found = of_size(text.chars().count(), schema, ["minLength", "maxLength"], "characters");
    let format = schema.keyword("format").and_then(Value::as_str);
    found.extend(format.and_then(|format| of_format(text, format, hide)));
    // The format of a secret has a better message than its pattern.
    if let Some(pattern) = schema.keyword("pattern").and_then(Value::as_str).filter(|_| found.is_empty())
        && let Ok(regex) = patterns.compile(pattern)
        && !regex.is_match(text)
    {
        let shown = if hide { String::new() } else { format!(", {text:?} does not") };
        found.push(Violation::new(format!("must match {pattern}{shown}"), "does not match"));
    }
    found
}

/// Checks `format`. Formats that are not known here accept any text.
fn of_format(text: &str, format: &str, hide: bool) -> Option<Violation> {
    let (fits, expected) = match format {
        "secret" => return secret(text),
        "cidr" => return address(text, "a prefix such as 10.50.0.0/16", prefix(text), hide),
        "ip" => return address(text, "an IP address", ip_address(text), hide),
        "ipv4" => (text.parse::<std::net::Ipv4Addr>().is_ok(), "an IPv4 address"),
        "ipv6" => (text.parse::<std::net::Ipv6Addr>().is_ok(), "an IPv6 address"),
        "duration" => (duration::parse(text).is_some(), "a duration such as 10m, 1h30m or 500ms"),
        _ => return None,
    };
    let shown = if hide { String::new() } else { format!(", {text:?} is not") };
    (!fits).then(|| Violation::new(format!("must be {expected}{shown}"), "does not fit"))
}

/// Reason for which a text is not an address or prefix, and a correction.
struct AddressMistake {
    /// Words that follow the text.
    reason: &'static str,
    meant: Option<String>,
}

/// Reports a text that is not an address or prefix.
fn address(text: &str, expected: &str, result: Result<(), AddressMistake>, hide: bool) -> Option<Violation> {
    let AddressMistake { reason, meant } = result.err()?;
    let shown = if hide { String::new() } else { format!(", {text:?} {reason}") };
    let hint = meant.filter(|_| !hide).map(|meant| format!("did you mean {meant:?}?"));
    Some(Violation { hint, ..Violation::new(format!("must be {expected}{shown}"), "does not fit") })
}

/// Checks that a text is a prefix without host bits and leading zeros: systems disagree about
/// those, and some refuse them only after others have been changed.
fn prefix(text: &str) -> Result<(), AddressMistake> {
    let plain = without_leading_zeros(text);
    let mistake = |reason, net: IpNet| Err(AddressMistake { reason, meant: Some(net.trunc().to_string()) });
    match (plain.parse::<IpNet>(), plain.parse::<IpAddr>()) {
        (Ok(net), _) if plain != text => mistake("has leading zeros", net),
        (Ok(net), _) if net != net.trunc() => mistake("has host bits set", net),
        (Ok(_), _) => Ok(()),
        (Err(_), Ok(address)) => mistake("has no length", address.into()),
        (Err(_), Err(_)) => Err(AddressMistake { reason: "is not", meant: None }),
    }
}

/// Checks that a text is an address without leading zeros, which some programs read as octal.
fn ip_address(text: &str) -> Result<(), AddressMistake> {
    let plain = without_leading_zeros(text);
    match (plain.parse::<IpAddr>(), plain.parse::<IpNet>()) {
        (Ok(address), _) if plain != text => {
            Err(AddressMistake { reason: "has leading zeros", meant: Some(address.to_string()) })
        }
        (Ok(_), _) => Ok(()),
        (Err(_), Ok(net)) => Err(AddressMistake { reason: "is a prefix", meant: Some(net.addr().to_string()) }),
        (Err(_), Err(_)) => Err(AddressMistake { reason: "is not", meant: None }),
    }
}

/// Returns an IPv4 address or prefix without the leading zeros of its numbers; any other text as it
/// is.
fn without_leading_zeros(text: &str) -> String {
    if !text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'/')) {
        return text.to_owned();
    }
    let number = |part: &str| match part.trim_start_matches('0') {
        "" if !part.is_empty() => "0".to_owned(),
        trimmed => trimmed.to_owned(),
    };
    let dotted = |part: &str| part.split('.').map(number).collect::<Vec<_>>().join(".");
    text.split('/').map(dotted).collect::<Vec<_>>().join("/")
}

/// Checks that a text is a reference to a secret. The message never contains the text.
fn secret(text: &str) -> Option<Violation> {
    text.parse::<SecretRef>().err().map(|_| Violation {
        message: "is a secret and must be given by reference, never by value".into(),
        label: "not a reference".into(),
        hint: Some("write env:NAME, file:PATH or exec:COMMAND".into()),
    })
}

/// Checks the inclusive and exclusive bounds of a number.
fn of_number(number: f64, schema: Schema<'_>) -> Vec<Violation> {
    let limit = |name: &str| schema.keyword(name).and_then(Value::as_f64);
    let rules = [
        (limit("minimum").filter(|limit| number < *limit), "at least"),
        (limit("maximum").filter(|limit| number > *limit), "at most"),
        (limit("exclusiveMinimum").filter(|limit| number <= *limit), "more than"),
        (limit("exclusiveMaximum").filter(|limit| number >= *limit), "less than"),
    ];
    let broken = rules.into_iter().filter_map(|(limit, words)| Some((limit?, words)));
    broken
        .map(|(limit, words)| Violation::new(format!("must be {words} {limit}"), format!("{words} {limit}")))
        .collect()
}

/// Checks the minimum and maximum size of a text or list. `what` names the counted things.
fn of_size(size: usize, schema: Schema<'_>, [least, most]: [&str; 2], what: &str) -> Vec<Violation> {
    let limit = |name: &str| schema.keyword(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let rules = [
        (limit(least).filter(|limit| size < *limit), "at least"),
        (limit(most).filter(|limit| size > *limit), "at most"),
    ];
    let broken = rules.into_iter().filter_map(|(limit, words)| Some((limit?, words)));
    broken
        .map(|(limit, words)| {
            Violation::new(
                format!("must have {words} {limit} {what}, it has {size}"),
                format!("{words} {limit} {what}"),
            )
        })
        .collect()
}
