use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use stargate_sdk::{ActionError, Secret};

use crate::host_key::HostKey;

/// Azure's limit for `customData`, decoded.
const MOST_BYTES: usize = 65_535;
/// What this crate sets itself.
const RESERVED: [&str; 2] = ["ssh_keys", "ssh_deletekeys"];

/// Refuses a cloud-config in which the secrets would not arrive, or that sets the host key itself.
pub(crate) fn check<'a>(
    config: &Map<String, Value>,
    secrets: impl Iterator<Item = &'a String>,
) -> Result<(), ActionError> {
    if let Some(key) = RESERVED.iter().find(|key| config.contains_key(**key)) {
        return Err(ActionError::permanent(format!("cloud_config sets {key}, which stargate sets for the host key")));
    }
    let text = Value::Object(config.clone()).to_string();
    for name in secrets {
        if !text.contains(&format!("{{{{{name}}}}}")) {
            return Err(ActionError::permanent(format!("cloud_config has no {{{{{name}}}}} for the secret {name:?}"))
                .with_hint("write the placeholder where the secret is to stand, or leave the secret out"));
        }
    }
    Ok(())
}

/// `customData` for a machine: the config with its secrets and its host key, base64.
///
/// The result holds secrets. cloud-init reads JSON as the YAML that it is.
pub(crate) fn custom_data(
    config: &Map<String, Value>,
    secrets: &BTreeMap<String, Secret>,
    host_key: &HostKey,
) -> Result<Secret, ActionError> {
    let Value::Object(mut filled) = fill(&Value::Object(config.clone()), secrets) else {
        unreachable!("an object stays an object")
    };
    filled.insert("ssh_deletekeys".into(), true.into()); // those of the image are everybody's
    filled.insert(
        "ssh_keys".into(),
        json!({ "ed25519_private": host_key.private.expose(), "ed25519_public": host_key.public }),
    );
    let text = format!("#cloud-config\n{}\n", Value::Object(filled));
    if text.len() > MOST_BYTES {
        return Err(ActionError::permanent(format!(
            "cloud_config has {} bytes with its secrets and host key, azure takes {MOST_BYTES}",
            text.len()
        ))
        .with_hint("let the machine fetch large files itself"));
    }
    Ok(Secret::new(STANDARD.encode(text)))
}

fn fill(value: &Value, secrets: &BTreeMap<String, Secret>) -> Value {
    match value {
        Value::String(text) => Value::String(fill_text(text, secrets)),
        Value::Array(items) => items.iter().map(|item| fill(item, secrets)).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), fill(value, secrets))).collect(),
        other => other.clone(),
    }
}

/// One pass: a secret that looks like a placeholder is not filled in again. Other double braces are left alone.
fn fill_text(text: &str, secrets: &BTreeMap<String, Secret>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        let (before, behind) = rest.split_at(open);
        filled.push_str(before);
        let known = behind.find("}}").and_then(|close| Some((secrets.get(&behind[2..close])?, close + 2)));
        let (piece, taken) = match known {
            Some((secret, end)) => (secret.expose(), end),
            None => ("{", 1),
        };
        filled.push_str(piece);
        rest = &behind[taken..];
    }
    filled + rest
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
    fn a_secret_without_a_place_is_refused() {
        let config = object(&json!({"runcmd": ["{{auth_kye}}"]}));
        let error = check(&config, ["auth_key".to_owned()].iter()).expect_err("no place");
        assert_eq!(error.message, "cloud_config has no {{auth_key}} for the secret \"auth_key\"");
    }

    #[test]
    fn the_host_key_is_ours_to_set() {
        let config = object(&json!({"ssh_keys": {}}));
        assert!(check(&config, [].iter()).is_err());
    }

    #[test]
    fn more_than_azure_takes_is_refused_by_its_decoded_size() {
        let host_key = HostKey::generate().expect("key");
        let of = |size: usize| custom_data(&object(&json!({"x": "y".repeat(size)})), &BTreeMap::new(), &host_key);
        let rest = STANDARD.decode(of(0).expect("fits").expose()).expect("base64").len();
        assert!(of(MOST_BYTES - rest).is_ok());
        assert!(of(MOST_BYTES - rest + 1).is_err());
    }
}
