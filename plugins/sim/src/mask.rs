use axum::body::Bytes;
use serde_json::{Value, json};

/// Maximum size of a body that the log keeps, in bytes.
const LOGGED_BODY: usize = 16 << 10;

/// Text that replaces a masked value.
const MASK: &str = "***";

/// Names of fields with secret values, in lower case.
const SECRET: [&str; 19] = [
    "customdata",
    "userdata",
    "adminpassword",
    "password",
    "passphrase",
    "secret",
    "key",
    "authkey",
    "client_secret",
    "clientsecret",
    "client_assertion",
    "access_token",
    "refresh_token",
    "token",
    "authorization",
    "protectedsettings",
    "privatekey",
    "kubeconfig",
    "stringdata",
];

fn is_secret(name: &str) -> bool {
    SECRET.contains(&name.to_ascii_lowercase().as_str())
}

/// Returns a body as the log keeps it: JSON with secrets masked, or its size.
pub(crate) fn logged_body(bytes: &Bytes, is_form: bool) -> Option<Value> {
    if bytes.is_empty() {
        return None;
    }
    if is_form {
        let pairs = url::form_urlencoded::parse(bytes).map(|(name, value)| {
            let value = if is_secret(&name) { MASK.to_owned() } else { value.into_owned() };
            (name.into_owned(), json!(value))
        });
        return Some(Value::Object(pairs.collect()));
    }
    match serde_json::from_slice::<Value>(bytes) {
        Ok(mut value) if bytes.len() <= LOGGED_BODY => {
            mask(&mut value);
            Some(value)
        }
        _ => Some(json!(format!("{} bytes", bytes.len()))),
    }
}

/// Masks secret values at any depth.
fn mask(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if object.get("kind") == Some(&json!("Secret")) && object.contains_key("data") {
                object.insert("data".to_owned(), json!(MASK));
            }
            for (name, value) in object {
                if is_secret(name) && !value.is_boolean() { *value = json!(MASK) } else { mask(value) }
            }
        }
        Value::Array(array) => array.iter_mut().for_each(mask),
        _ => {}
    }
}

/// Masks the signature of an operation's URL: its holder may read the operation.
pub(crate) fn masked_query(query: &str) -> String {
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            if matches!(name, "t" | "c" | "s" | "h" | "sig" | "code") || is_secret(name) {
                format!("{name}={MASK}")
            } else {
                pair.to_owned()
            }
        })
        .collect();
    pairs.join("&")
}
