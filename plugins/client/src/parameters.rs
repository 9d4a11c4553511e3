use std::collections::BTreeMap;

use stargate_sdk::ActionError;
use url::form_urlencoded;

/// The parameters of a secret reference: `name=value&name=value` after the colon, URL-encoded, of
/// names that are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceParameters(BTreeMap<String, String>);

impl ReferenceParameters {
    /// Parses `rest`, the part of the reference after the colon. The last value of a name counts.
    ///
    /// # Errors
    /// `Permanent` if a name is not one of `known`.
    pub fn parse(rest: &str, known: &[&str]) -> Result<Self, ActionError> {
        let pairs: BTreeMap<String, String> = form_urlencoded::parse(rest.as_bytes()).into_owned().collect();
        match pairs.keys().find(|name| !known.contains(&name.as_str())) {
            Some(other) => Err(ActionError::permanent(format!("unknown parameter {other:?}"))
                .with_hint(format!("the parameters are {}", known.join(", ")))),
            None => Ok(Self(pairs)),
        }
    }

    /// The value of `name`, if it is given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of `name`.
    ///
    /// # Errors
    /// `Permanent` if it is not given.
    pub fn required(&self, name: &str) -> Result<&str, ActionError> {
        self.get(name).ok_or_else(|| ActionError::permanent(format!("the parameter {name:?} is missing")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_by_name() {
        let parameters = ReferenceParameters::parse("tags=tag:a,tag:b&expiry=1h", &["tags", "expiry"]).expect("known");
        assert_eq!((parameters.get("tags"), parameters.get("other")), (Some("tag:a,tag:b"), None));
        assert_eq!(parameters.required("expiry"), Ok("1h"));
        assert!(parameters.required("other").is_err());
    }

    #[test]
    fn an_unknown_parameter_is_refused_with_the_known_ones() {
        let error = ReferenceParameters::parse("tags=tag:a&reusable=true", &["tags"]).expect_err("unknown");
        assert_eq!(error.message, "unknown parameter \"reusable\"");
        assert_eq!(error.hint.as_deref(), Some("the parameters are tags"));
    }
}
