//! What workflows ask of their surroundings, found out without running them.

use std::collections::BTreeSet;

use serde_json::Value;
use stargate::plan::Outline;
use stargate_sdk::{Permission, Registry, SecretRef, Secrets};

/// What the actions of some workflows need.
#[derive(Debug, Default)]
pub(super) struct Requirements {
    /// What they have to be allowed.
    pub(super) permissions: BTreeSet<Permission>,
    /// Whose actions they are, and who has to allow them something.
    providers: BTreeSet<String>,
}

impl Requirements {
    /// Adds what the steps of a workflow need.
    pub(super) fn add(&mut self, outline: &Outline, registry: &Registry, secrets: &Secrets) {
        for step in &outline.steps {
            self.providers.insert(provider(&step.action).to_owned());
            if let Some(action) = registry.find(&step.action) {
                self.permissions.extend(action.permissions(&step.with.as_written()));
            }
            self.add_secrets(&step.with.as_written(), secrets);
        }
        // An inlined workflow is given secrets by its inputs.
        for (_, template) in outline.scopes.iter().flat_map(|scope| &scope.inputs) {
            self.add_secrets(&template.as_written(), secrets);
        }
        self.providers.extend(self.permissions.iter().map(|permission| permission.authority().to_owned()));
    }

    /// Whether a check concerns the actions. What belongs to no provider concerns all of them.
    pub(super) fn concerns(&self, check: &str, registry: &Registry) -> bool {
        let own = provider(check);
        let is_provider = registry.iter().any(|action| provider(action.name()) == own);
        !is_provider || self.providers.contains(own)
    }

    fn add_secrets(&mut self, value: &Value, secrets: &Secrets) {
        match value {
            Value::String(text) => {
                let until = text.find("${{").unwrap_or(text.len());
                let reference = text[..until].parse::<SecretRef>();
                self.permissions.extend(reference.map(|it| secrets.permissions(&it)).unwrap_or_default());
            }
            Value::Array(items) => items.iter().for_each(|item| self.add_secrets(item, secrets)),
            Value::Object(map) => map.values().for_each(|item| self.add_secrets(item, secrets)),
            _ => {}
        }
    }
}

/// What stands before the first point of a name.
fn provider(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}
