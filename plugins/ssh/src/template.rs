use std::collections::BTreeMap;

use stargate_sdk::{ActionContext, ActionError, SecretRef};

/// A file's text in which `{{name}}` stands for a secret.
pub(crate) struct Template<'a> {
    text: &'a str,
    secrets: &'a BTreeMap<String, SecretRef>,
}

impl<'a> Template<'a> {
    /// Refuses a secret that the text has no place for.
    pub(crate) fn new(text: &'a str, secrets: &'a BTreeMap<String, SecretRef>) -> Result<Self, ActionError> {
        match secrets.keys().find(|name| !text.contains(&placeholder(name))) {
            None => Ok(Self { text, secrets }),
            Some(name) => Err(ActionError::permanent(format!("the content has no {} in it", placeholder(name)))),
        }
    }

    /// Whether there is any secret in it.
    pub(crate) fn is_secret(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// Whether `filled` is this text with something in every secret's place.
    ///
    /// The values are not compared: a secret that is minted at use is another one each time.
    pub(crate) fn fits(&self, filled: &str) -> bool {
        let mut parts = self.literals().into_iter();
        let Some(mut rest) = parts.next().and_then(|first| filled.strip_prefix(first)) else { return false };
        let parts: Vec<&str> = parts.collect();
        let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
        for part in middle {
            match rest.split_once(part) {
                Some((value, after)) if !value.is_empty() => rest = after,
                _ => return false,
            }
        }
        rest.strip_suffix(last).is_some_and(|value| !value.is_empty())
    }

    /// The text with every secret in its place.
    pub(crate) async fn filled(&self, cx: &ActionContext) -> Result<String, ActionError> {
        let mut text = self.text.to_owned();
        for (name, reference) in self.secrets {
            text = text.replace(&placeholder(name), cx.secret(reference).await?.expose());
        }
        Ok(text)
    }

    fn literals(&self) -> Vec<&'a str> {
        let mut parts = vec![self.text];
        for name in self.secrets.keys() {
            let mark = placeholder(name);
            parts = parts.into_iter().flat_map(|part| part.split(mark.as_str()).collect::<Vec<_>>()).collect();
        }
        parts
    }
}

fn placeholder(name: &str) -> String {
    format!("{{{{{name}}}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_text_fits_whatever_the_secrets_are() {
        let secrets = BTreeMap::from([("token".to_owned(), "env:T".parse().expect("reference"))]);
        let template = Template::new("a: {{token}}\nb: {{token}}\n", &secrets).expect("fits");
        assert!(template.fits("a: 1\nb: 2\n"));
        for other in ["", "a: 1\n", "a: \nb: 2\n", "a: 1\nb: 2\nc", "x"] {
            assert!(!template.fits(other), "{other:?}");
        }
        assert!(Template::new("nothing", &secrets).is_err());
        let none = BTreeMap::new();
        let plain = Template::new("a", &none).expect("fits");
        assert!(plain.fits("a") && !plain.fits("ab") && !plain.is_secret());
    }
}
