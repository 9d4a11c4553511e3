use std::collections::BTreeMap;

use stargate_sdk::{ActionContext, ActionError, SecretRef};

use crate::{PlaceholderText, placeholder};

/// Text in which `{{name}}` is the placeholder of a secret.
pub struct SecretText<'a> {
    text: PlaceholderText<'a>,
    secrets: &'a BTreeMap<String, SecretRef>,
}

impl<'a> SecretText<'a> {
    /// Finds the placeholders of `secrets` in `text`.
    ///
    /// # Errors
    /// `Permanent` if a secret has no placeholder.
    pub fn parse(text: &'a str, secrets: &'a BTreeMap<String, SecretRef>) -> Result<Self, ActionError> {
        let text = PlaceholderText::parse(text, |name| secrets.contains_key(name));
        match secrets.keys().find(|name| text.names().all(|used| used != *name)) {
            None => Ok(Self { text, secrets }),
            Some(name) => Err(ActionError::permanent(format!("the text has no {} in it", placeholder(name)))),
        }
    }

    /// True if `filled` is this text with any values of the secrets: one that is minted at use
    /// differs each time.
    pub fn matches(&self, filled: &str) -> bool {
        self.text.matches(filled)
    }

    /// Resolves the secrets and returns the text with their values.
    ///
    /// # Errors
    /// If a secret cannot be resolved.
    pub async fn fill(&self, cx: &ActionContext) -> Result<String, ActionError> {
        let mut values = BTreeMap::new();
        for (name, reference) in self.secrets {
            values.insert(name.as_str(), cx.secret(reference).await?);
        }
        Ok(self.text.fill(|name| values.get(name).map_or("", |value| value.expose())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_needs_a_placeholder() {
        let secrets = BTreeMap::from([("token".to_owned(), "env:T".parse().expect("reference"))]);
        let text = SecretText::parse("a: {{token}}\nb: {{token}}\n", &secrets).expect("placeholder");
        assert!(text.matches("a: 1\nb: 2\n") && !text.matches("a: 1\n"));
        assert!(SecretText::parse("nothing", &secrets).is_err());
        let none = BTreeMap::new();
        let plain = SecretText::parse("a", &none).expect("no secrets");
        assert!(plain.matches("a") && !plain.matches("ab"));
    }
}
