//! What workflows ask of their surroundings, found out without running them.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use stargate::plan::{Piece, Plan, Template};
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
    /// Adds what the steps of a plan need.
    pub(super) fn add(&mut self, plan: &Plan, registry: &Registry, secrets: &Secrets) {
        for step in &plan.steps {
            self.providers.insert(provider(&step.action).to_owned());
            if let Some(action) = registry.find(&step.action) {
                self.permissions.extend(action.permissions(&as_written(&step.with)));
            }
            self.add_secrets(&as_written(&step.with), secrets);
        }
        // An inlined workflow is given secrets by its inputs.
        for (_, template) in plan.scopes.iter().flat_map(|scope| &scope.inputs) {
            self.add_secrets(&as_written(template), secrets);
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

/// A template as the workflow has it: an expression stands as `${{ … }}`.
fn as_written(template: &Template) -> Value {
    match template {
        Template::Literal(value) => value.clone(),
        Template::Expression(expression) => expression_text(&expression.source).into(),
        Template::Text(pieces) => pieces.iter().map(piece_text).collect::<String>().into(),
        Template::List(items) => items.iter().map(as_written).collect(),
        Template::Map(fields) => {
            let fields = fields.iter().map(|(name, field)| (name.clone(), as_written(field)));
            fields.collect::<Map<_, _>>().into()
        }
    }
}

fn piece_text(piece: &Piece) -> String {
    match piece {
        Piece::Literal(text) => text.clone(),
        Piece::Expression(expression) => expression_text(&expression.source),
    }
}

fn expression_text(source: &str) -> String {
    format!("${{{{ {source} }}}}")
}
