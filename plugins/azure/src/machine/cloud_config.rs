use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use stargate_client::{PlaceholderText, placeholder};
use stargate_sdk::{ActionError, Secret};

use crate::machine::HostKey;

/// Azure's limit for `OSProfile.customData`, in bytes before base64 (compute API, 2024-07-01).
const MAX_CUSTOM_DATA_BYTES: usize = 65_535;
/// Keys of the cloud-config that this crate sets itself, for the host key.
const RESERVED: [&str; 2] = ["ssh_keys", "ssh_deletekeys"];

/// Checks that a cloud-config has a placeholder for each secret and does not set the host key.
///
/// # Errors
/// `Permanent`, with the name of the key or secret.
pub(crate) fn check<'a>(
    config: &Map<String, Value>,
    secrets: impl Iterator<Item = &'a String>,
) -> Result<(), ActionError> {
    if let Some(key) = RESERVED.iter().find(|key| config.contains_key(**key)) {
        return Err(ActionError::permanent(format!("cloud_config sets {key}, which stargate sets for the host key")));
    }
    let text = Value::Object(config.clone()).to_string();
    for name in secrets {
        let placeholder = placeholder(name);
        if !text.contains(&placeholder) {
            return Err(ActionError::permanent(format!("cloud_config has no {placeholder} for the secret {name:?}"))
                .with_hint("write the placeholder in the string that needs the secret, or remove the secret"));
        }
    }
    Ok(())
}

/// Builds `customData`: the cloud-config with its secrets and the host key, in base64.
///
/// cloud-init reads JSON, because YAML includes it. The result contains secrets.
///
/// # Errors
/// `Permanent`, if it is larger than Azure accepts.
pub(crate) fn custom_data(
    config: &Map<String, Value>,
    secrets: &BTreeMap<String, Secret>,
    host_key: &HostKey,
) -> Result<Secret, ActionError> {
    let mut filled: Map<String, Value> =
        config.iter().map(|(key, value)| (key.clone(), fill(value, secrets))).collect();
    filled.insert("ssh_deletekeys".into(), true.into()); // the image's keys are the same on each machine
    filled.insert(
        "ssh_keys".into(),
        json!({ "ed25519_private": host_key.private.expose(), "ed25519_public": host_key.public }),
    );
    let text = format!("#cloud-config\n{}\n", Value::Object(filled));
    if text.len() > MAX_CUSTOM_DATA_BYTES {
        return Err(ActionError::permanent(format!(
            "cloud_config has {} bytes with its secrets and host key, azure accepts {MAX_CUSTOM_DATA_BYTES}",
            text.len()
        ))
        .with_hint("let the machine download large files itself"));
    }
    Ok(Secret::new(STANDARD.encode(text)))
}

/// Fills the placeholders in each string of a JSON value; keys stay as they are.
fn fill(value: &Value, secrets: &BTreeMap<String, Secret>) -> Value {
    match value {
        Value::String(text) => Value::String(fill_text(text, secrets)),
        Value::Array(items) => items.iter().map(|item| fill(item, secrets)).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), fill(value, secrets))).collect(),
        other => other.clone(),
    }
}

/// Fills the placeholders of known secrets in one text. Other double braces are kept.
fn fill_text(text: &str, secrets: &BTreeMap<String, Secret>) -> String {
    PlaceholderText::parse(text, |name| secrets.contains_key(name)).fill(|name| secrets[name].expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(pairs: &[(&str, &str)]) -> BTreeMap<String, Secret> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect()
    }

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().expect("object").clone()
    }

    #[test]
    fn placeholders_are_filled_once_and_other_braces_stay() {
        let secrets = secrets(&[("key", "{{other}}"), ("other", "x")]);
        assert_eq!(fill_text("a {{key}} b {{other}}{{{other}}", &secrets), "a {{other}} b x{x");
        assert_eq!(fill_text("{{.Names}} {{unknown}} {{", &secrets), "{{.Names}} {{unknown}} {{");
    }

    #[test]
    fn the_document_is_cloud_config_with_secrets_and_host_key() {
        let host_key = HostKey::generate().expect("key");
        let config = object(&json!({"write_files": [{"path": "/k", "content": "{{key}}"}]}));
        let data = custom_data(&config, &secrets(&[("key", "tskey\n\"quoted\"")]), &host_key).expect("fits");
        let text = String::from_utf8(STANDARD.decode(data.expose()).expect("base64")).expect("UTF-8");
        let json: Value = serde_json::from_str(text.strip_prefix("#cloud-config\n").expect("header")).expect("JSON");
        assert_eq!(json["write_files"][0]["content"], "tskey\n\"quoted\"");
        assert_eq!(json["ssh_keys"]["ed25519_public"], host_key.public.as_str());
        assert_eq!(json["ssh_keys"]["ed25519_private"], host_key.private.expose());
        assert_eq!(json["ssh_deletekeys"], true);
    }

    #[test]
    fn a_secret_without_a_placeholder_is_refused() {
        let config = object(&json!({"runcmd": ["{{auth_kye}}"]}));
        let error = check(&config, ["auth_key".to_owned()].iter()).expect_err("no placeholder");
        assert_eq!(error.message, "cloud_config has no {{auth_key}} for the secret \"auth_key\"");
    }

    #[test]
    fn a_config_that_sets_the_host_key_is_refused() {
        let config = object(&json!({"ssh_keys": {}}));
        assert!(check(&config, [].iter()).is_err());
    }

    #[test]
    fn more_than_azure_accepts_is_refused_by_its_decoded_size() {
        let host_key = HostKey::generate().expect("key");
        let of = |size: usize| custom_data(&object(&json!({"x": "y".repeat(size)})), &BTreeMap::new(), &host_key);
        let rest = STANDARD.decode(of(0).expect("fits").expose()).expect("base64").len();
        assert!(of(MAX_CUSTOM_DATA_BYTES - rest).is_ok());
        assert!(of(MAX_CUSTOM_DATA_BYTES - rest + 1).is_err());
    }
}
