use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::json::as_list;
use super::wire::{Field, Wire, fields};

/// First bytes of each body of `application/vnd.kubernetes.protobuf`.
const MAGIC: &[u8] = b"k8s\0";

/// Maximum nesting of messages, far above that of any type of Kubernetes.
const DEPTH: usize = 64;

/// Fields of the message types that clients send, from `protobuf_fields.txt`.
///
/// The key is `group.Kind`, with the first label of the group.
static MESSAGES: LazyLock<HashMap<&'static str, Message>> =
    LazyLock::new(|| messages(include_str!("protobuf_fields.txt")));

/// Members of a message type by field number.
type Message = HashMap<u64, Member>;

/// Member of a message type, with its name in JSON.
#[derive(Debug, Clone, Copy)]
struct Member {
    /// Name in JSON; `.` for a message whose members are inlined.
    name: &'static str,
    /// Type of the value; `[]` before the type for a list, `{}` for a map from text.
    kind: &'static str,
    /// True if JSON omits the value when it is zero.
    optional: bool,
}

/// Parses the table of message types. A line is a type name, or a number, a name and a type.
fn messages(text: &'static str) -> HashMap<&'static str, Message> {
    let mut messages: HashMap<&str, Message> = HashMap::new();
    let mut current = "";
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some(number), Some(name), Some(kind)) => {
                let member = Member { name, kind: kind.trim_end_matches('?'), optional: kind.ends_with('?') };
                let number = number.parse().expect("a field of the table begins with its number");
                messages.entry(current).or_default().insert(number, member);
            }
            (Some(name), ..) => {
                current = name;
                messages.entry(name).or_default();
            }
            _ => {}
        }
    }
    messages
}

/// Converts a body in protobuf to the equivalent JSON.
///
/// # Errors
///
/// A description of the malformed part or of the unknown kind.
pub(crate) fn to_json(body: &[u8]) -> Result<Value, String> {
    let envelope = body.strip_prefix(MAGIC).ok_or("it does not begin as protobuf of Kubernetes does")?;
    let (mut about, mut raw): (&[u8], &[u8]) = (&[], &[]);
    for field in fields(envelope)? {
        match field {
            Field { number: 1, wire: Wire::Bytes(bytes) } => about = bytes,
            Field { number: 2, wire: Wire::Bytes(bytes) } => raw = bytes,
            _ => {}
        }
    }
    let (mut api_version, mut kind) = (String::new(), String::new());
    for field in fields(about)? {
        match field {
            Field { number: 1, wire: Wire::Bytes(bytes) } => api_version = text(bytes)?,
            Field { number: 2, wire: Wire::Bytes(bytes) } => kind = text(bytes)?,
            _ => {}
        }
    }
    let message = message(&api_version, &kind)
        .ok_or_else(|| format!("no kind \"{kind}\" is registered for version \"{api_version}\""))?;
    let mut object = Map::new();
    object.insert("kind".to_owned(), json!(kind));
    object.insert("apiVersion".to_owned(), json!(api_version));
    read(message, raw, DEPTH, &mut object)?;
    Ok(Value::Object(object))
}

/// Returns the message type of a kind. Kinds of `meta`, such as `DeleteOptions`, belong to each
/// group.
fn message(api_version: &str, kind: &str) -> Option<&'static Message> {
    let group = api_version.rsplit_once('/').map_or("core", |(group, _)| group.split('.').next().unwrap_or_default());
    MESSAGES.get(format!("{group}.{kind}").as_str()).or_else(|| MESSAGES.get(format!("meta.{kind}").as_str()))
}

/// Returns bytes as text, or an error if they are not UTF-8.
fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a string is not UTF-8".to_owned())
}

/// Adds the members of a message to an object.
fn read(message: &Message, bytes: &[u8], depth: usize, object: &mut Map<String, Value>) -> Result<(), String> {
    for field in fields(bytes)? {
        // Unknown fields are ignored, as by the real server.
        let Some(member) = message.get(&field.number) else { continue };
        if member.name == "." {
            let inner = MESSAGES.get(member.kind).ok_or_else(|| unknown(member.kind))?;
            read(inner, field.wire.bytes()?, deeper(depth)?, object)?;
        } else if let Some(kind) = member.kind.strip_prefix("[]") {
            let value = value(kind, field.wire, depth)?;
            as_list(object.entry(member.name).or_insert(Value::Null)).push(value);
        } else if let Some(kind) = member.kind.strip_prefix("{}") {
            let (key, value) = entry(kind, field.wire.bytes()?, depth)?;
            let held = object.entry(member.name).or_insert_with(|| json!({}));
            held[key] = value;
        } else {
            let value = value(member.kind, field.wire, depth)?;
            if !(value.is_null() || (member.optional && is_zero(&value))) {
                object.insert(member.name.to_owned(), value);
            }
        }
    }
    Ok(())
}

/// Returns the remaining nesting depth, or an error if there is none.
fn deeper(depth: usize) -> Result<usize, String> {
    depth.checked_sub(1).ok_or_else(|| "its messages are nested too deeply".to_owned())
}

/// Returns the error for a missing message type.
fn unknown(kind: &str) -> String {
    format!("there is no message {kind}")
}

/// Returns true for the zero value of a type: empty text, false or 0.
fn is_zero(value: &Value) -> bool {
    matches!(value.as_str(), Some("")) || *value == json!(false) || *value == json!(0) || *value == json!(0.0)
}

/// Returns key and value of one entry of a map.
fn entry(kind: &str, bytes: &[u8], depth: usize) -> Result<(String, Value), String> {
    let (mut key, mut held) = (String::new(), Value::Null);
    for field in fields(bytes)? {
        match field.number {
            1 => key = text(field.wire.bytes()?)?,
            2 => held = value(kind, field.wire, depth)?,
            _ => {}
        }
    }
    // The entry may omit an empty value.
    let empty = if matches!(kind, "string" | "bytes" | "quantity") { json!("") } else { Value::Null };
    Ok((key, if held.is_null() { empty } else { held }))
}

/// Converts a value of the table's type `kind` to JSON.
fn value(kind: &str, wire: Wire<'_>, depth: usize) -> Result<Value, String> {
    Ok(match kind {
        "string" => json!(text(wire.bytes()?)?),
        "bytes" => json!(STANDARD.encode(wire.bytes()?)),
        "bool" => json!(wire.number()? != 0),
        "int" => json!(wire.number()?.cast_signed()),
        "double" => json!(f64::from_bits(wire.number()?)),
        "time" => time(wire.bytes()?)?,
        "duration" => json!(format!("{}ns", number(wire.bytes()?, 1)?)),
        "quantity" => json!(text(inner(wire.bytes()?, 1)?)?),
        "raw" => serde_json::from_slice(inner(wire.bytes()?, 1)?).unwrap_or_default(),
        "int-or-string" => int_or_string(wire.bytes()?)?,
        "items" => Value::Array(items(wire.bytes()?)?),
        _ => {
            let message = MESSAGES.get(kind).ok_or_else(|| unknown(kind))?;
            let mut object = Map::new();
            read(message, wire.bytes()?, deeper(depth)?, &mut object)?;
            Value::Object(object)
        }
    })
}

/// Returns the texts of a list that has a message of its own.
fn items(bytes: &[u8]) -> Result<Vec<Value>, String> {
    fields(bytes)?.into_iter().map(|field| Ok(json!(text(field.wire.bytes()?)?))).collect()
}

/// Returns the bytes of the field `tag`; empty if it is absent.
fn inner(bytes: &[u8], tag: u64) -> Result<&[u8], String> {
    fields(bytes)?.into_iter().find(|field| field.number == tag).map_or(Ok(&[]), |field| field.wire.bytes())
}

/// Returns the number of the field `tag`; 0 if it is absent.
fn number(bytes: &[u8], tag: u64) -> Result<i64, String> {
    let found = fields(bytes)?.into_iter().find(|field| field.number == tag);
    found.map_or(Ok(0), |field| field.wire.number().map(u64::cast_signed))
}

/// Converts seconds and nanoseconds to a time; an empty message is null.
fn time(bytes: &[u8]) -> Result<Value, String> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let nanoseconds = i32::try_from(number(bytes, 2)?).map_err(|_| "a time's nanoseconds are out of range")?;
    let time = Timestamp::new(number(bytes, 1)?, nanoseconds).map_err(|error| error.to_string())?;
    Ok(json!(time.to_string()))
}

/// Converts a number (type 0) or a text, as `IntOrString` encodes them.
fn int_or_string(bytes: &[u8]) -> Result<Value, String> {
    Ok(if number(bytes, 1)? == 0 { json!(number(bytes, 2)?) } else { json!(text(inner(bytes, 3)?)?) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::to_json;

    /// Encodes a field of fewer than 128 bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u8::try_from(bytes.len()).expect("a short field");
        assert!(length < 0x80, "a length of one byte");
        [&[(number << 3) | 2, length][..], bytes].concat()
    }

    /// Encodes a body with the envelope of Kubernetes.
    fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let about = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [b"k8s\0".to_vec(), field(1, &about), field(2, raw)].concat()
    }

    #[test]
    fn an_object_is_what_its_json_would_be() {
        let entry = [field(1, b"x"), field(2, b"1")].concat();
        let raw = [field(1, &[field(1, b"m"), field(2, b"")].concat()), field(2, &entry)].concat();
        let expected =
            json!({ "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "name": "m" }, "data": { "x": "1" } });
        assert_eq!(to_json(&body("v1", "ConfigMap", &raw)), Ok(expected));
    }

    #[test]
    fn a_number_or_text_is_either() {
        let share = [&[8, 1][..], field(3, b"50%").as_slice()].concat();
        for (bytes, expected) in [(share.as_slice(), json!("50%")), (&[8, 0, 16, 2][..], json!(2))] {
            let read =
                to_json(&body("policy/v1", "PodDisruptionBudget", &field(2, &field(1, bytes)))).expect("it is whole");
            assert_eq!(read["spec"]["minAvailable"], expected);
        }
    }

    #[test]
    fn a_zero_that_was_set_stays() {
        let read = to_json(&body("apps/v1", "Deployment", &field(2, &[8, 0]))).expect("it is whole");
        assert_eq!(read["spec"]["replicas"], json!(0));
    }

    #[test]
    fn what_is_cut_or_unknown_is_refused() {
        let whole = body("v1", "ConfigMap", &field(1, &field(1, b"m")));
        for end in 0..whole.len() {
            // An envelope that ends after its first field is an object without members, as for the
            // real server.
            let read = to_json(&whole[..end]);
            assert!(read.is_err() || end == whole.len() - 7, "{end}: {read:?}");
        }
        assert!(to_json(&body("v1", "Nothing", &[])).is_err());
    }
}
