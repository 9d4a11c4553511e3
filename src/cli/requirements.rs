//! Permissions and secrets that workflows need, read from their text without running them.

use std::collections::BTreeSet;

use serde_json::Value;
use stargate::plan::Outline;
use stargate_sdk::{Permission, Registry, SecretRef, Secrets};

/// Permissions and providers that a set of plans needs.
#[derive(Debug, Default)]
pub(super) struct Requirements {
    /// Permissions that their actions and secret references need.
    pub(super) permissions: BTreeSet<Permission>,
    /// First parts of the action names, and the authorities of the permissions: `azure`,
    /// `kubernetes`.
    providers: BTreeSet<String>,
}

impl Requirements {
    /// Adds the requirements of a plan. Inputs may be unknown: their expressions are then part of
    /// the text.
    pub(super) fn add(&mut self, outline: &Outline, registry: &Registry, secrets: &Secrets) {
        for step in &outline.steps {
            self.providers.insert(provider(&step.action).to_owned());
            let target = registry.target_of(&step.action);
            self.permissions.extend(target.into_iter().flat_map(|target| target.permissions()).cloned());
            if let Some(action) = registry.find(&step.action) {
                self.permissions.extend(action.permissions(&step.with.as_written()));
            }
            self.add_secrets(&step.with.as_written(), secrets);
        }
        let services = outline.locks.iter().filter_map(|lock| registry.lock_service(lock));
        self.permissions.extend(services.flat_map(|service| service.permissions()).cloned());
        // Inputs of an inlined workflow may contain secret references.
        for (_, template) in outline.scopes.iter().flat_map(|scope| &scope.inputs) {
            self.add_secrets(&template.as_written(), secrets);
        }
        self.providers.extend(self.permissions.iter().map(|permission| permission.authority().to_owned()));
    }

    /// True if the check `check` is about these plans. A check whose prefix is not a provider, such
    /// as `journal.open`, is about all plans.
    pub(super) fn concerns(&self, check: &str, registry: &Registry) -> bool {
        let own = provider(check);
        let is_provider = registry.iter().any(|action| provider(action.name()) == own);
        !is_provider || self.providers.contains(own)
    }

    /// Adds the permissions that the secret references in `value` need. Of a reference with an
    /// expression, the text before the expression counts.
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

/// Returns the part of a name before the first dot.
fn provider(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}
