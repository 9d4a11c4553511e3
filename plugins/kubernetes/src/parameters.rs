use std::collections::BTreeMap;

use stargate_sdk::ActionError;
use url::form_urlencoded;

/// What stands behind the colon of a secret reference: `name=value&name=value`, of names that are known.
pub(crate) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Reads them; an unknown name is a `Permanent` error.
    pub(crate) fn parse(rest: &str, known: &[&str]) -> Result<Self, ActionError> {
        let pairs: BTreeMap<String, String> = form_urlencoded::parse(rest.as_bytes()).into_owned().collect();
        match pairs.keys().find(|name| !known.contains(&name.as_str())) {
            Some(other) => Err(ActionError::permanent(format!("unknown parameter {other:?}"))
                .with_hint(format!("the parameters are {}", known.join(", ")))),
            None => Ok(Self(pairs)),
        }
    }

    /// The value, or a default.
    pub(crate) fn or(&self, name: &str, default: &str) -> String {
        self.0.get(name).map_or(default, String::as_str).to_owned()
    }

    /// The value; absent, it is a `Permanent` error.
    pub(crate) fn required(&self, name: &str) -> Result<String, ActionError> {
        self.0.get(name).cloned().ok_or_else(|| ActionError::permanent(format!("the parameter {name:?} is missing")))
    }
}

/// The beginning of a digest as text: enough to tell steps apart.
pub(crate) fn digest_text(digest: &[u8]) -> String {
    let beginning = digest.first_chunk().expect("a digest has eight bytes and more");
    format!("{:016x}", u64::from_be_bytes(*beginning))
}
