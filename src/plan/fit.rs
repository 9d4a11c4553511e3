use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;

use super::{
    constraints,
    schema::{Below, Kinds, Schema},
    scope::Names,
    typing::Type,
};
use crate::workflow::{Diagnostic, Placed, Source, Span, Spanned, Template, TemplateKind, nearest::did_you_mean};

/// Checks values that are written in a workflow, or given as inputs, against schemas.
pub(super) struct Fit<'a> {
    pub(super) source: &'a Arc<Source>,
    /// What its expressions can use; a given value has none.
    pub(super) names: Option<&'a Names<'a>>,
    /// The value may be a secret given by mistake: it is not repeated in a message.
    pub(super) hide: bool,
}

impl<'a> Fit<'a> {
    /// Every way in which `template` does not fit `schema`. `path` is how the reader knows the value.
    pub(super) fn check(&self, template: &'a Template, schema: Schema<'a>, path: &str) -> Vec<Diagnostic> {
        self.check_part(template, schema, path, true)
    }

    // A `whole` schema lists every property; one that is combined with others need not.
    fn check_part(&self, template: &'a Template, schema: Schema<'a>, path: &str, whole: bool) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        match &template.kind {
            TemplateKind::Unknown => {}
            TemplateKind::Expression(placed) => found.extend(self.check_expression(placed, schema, path)),
            _ => self.check_written(template, schema, path, whole, &mut found),
        }
        found
    }

    fn check_expression(&self, placed: &Placed, schema: Schema<'_>, path: &str) -> Option<Diagnostic> {
        let value = self.names?.type_of(placed);
        let (wanted, kinds) = (schema.kinds(), value.kinds());
        let span = placed.trimmed(self.source);
        if !kinds.meets(wanted) {
            let text = placed.expression.source().trim();
            let message = format!("{path} must be {}, {text} is {}", wanted.describe(), kinds.describe());
            return Some(self.diagnostic("plan::type", span, message, format!("this is {}", kinds.describe())));
        }
        let Type::Schema(given) = value else { return None };
        let lacks = |name: &&str| matches!(given.field(name), Below::Missing(_));
        let lacking = schema.required().find(|name| given.kinds().meets(Kinds::OBJECT) && lacks(name))?;
        let message = format!("{path} needs {lacking:?}, which {} does not have", placed.expression.source().trim());
        Some(self.diagnostic("plan::type", span, message, format!("has no {lacking:?}")))
    }

    fn check_written(
        &self,
        template: &'a Template,
        schema: Schema<'a>,
        path: &str,
        whole: bool,
        found: &mut Vec<Diagnostic>,
    ) {
        let kinds = kinds(template);
        if !kinds.meets(schema.kinds()) {
            found.push(self.mismatch(template, schema, path));
            return;
        }
        for branch in schema.branches("allOf") {
            found.extend(self.check_part(template, branch, path, false));
        }
        for combinator in ["anyOf", "oneOf"] {
            self.check_alternatives(template, schema, combinator, path, found);
        }
        if let Some(value) = template.to_json() {
            let unfit = constraints::violations(&value, schema, self.hide);
            found.extend(unfit.into_iter().map(|violation| {
                let message = format!("{path} {}", violation.message);
                self.diagnostic("plan::value", template.span, message, violation.label).with_hint(violation.hint)
            }));
        }
        match &template.kind {
            TemplateKind::List(items) => self.check_items(items, schema, path, found),
            TemplateKind::Map(entries) => self.check_map(template, entries, schema, path, whole, found),
            _ => {}
        }
    }

    // One that fits is enough. If none does, the one that comes closest tells what is wrong.
    fn check_alternatives(
        &self,
        template: &'a Template,
        schema: Schema<'a>,
        combinator: &str,
        path: &str,
        found: &mut Vec<Diagnostic>,
    ) {
        let kinds = kinds(template);
        let whole = schema.keyword("properties").is_none();
        let suitable = schema.branches(combinator).into_iter().filter(|branch| branch.kinds().meets(kinds));
        let closest = suitable.map(|branch| self.check_part(template, branch, path, whole)).min_by_key(Vec::len);
        found.extend(closest.into_iter().flatten());
    }

    fn check_items(&self, items: &'a [Template], schema: Schema<'a>, path: &str, found: &mut Vec<Diagnostic>) {
        let Below::Known(each) = own_item(schema) else { return };
        for (at, item) in items.iter().enumerate() {
            found.extend(self.check(item, each, &format!("{path}[{at}]")));
        }
    }

    fn check_map(
        &self,
        template: &Template,
        entries: &'a [(Spanned<String>, Template)],
        schema: Schema<'a>,
        path: &str,
        whole: bool,
        found: &mut Vec<Diagnostic>,
    ) {
        for (key, value) in entries {
            match schema.field(&key.value) {
                Below::Known(known) if describes(schema, &key.value) => {
                    found.extend(self.check(value, known, &format!("{path}.{}", key.value)));
                }
                Below::Missing(names) if closes(schema, whole) => found.push(self.unknown(key, &names, path)),
                _ => {}
            }
        }
        for name in schema.required() {
            if !entries.iter().any(|(key, _)| key.value == name) {
                let message = format!("{path} lacks {name:?}");
                let lacking = self.diagnostic("plan::missing_property", template.span, message, format!("no {name:?}"));
                found.push(lacking.with_hint(hint_of(schema, name)));
            }
        }
    }

    fn unknown(&self, key: &Spanned<String>, names: &BTreeSet<&str>, path: &str) -> Diagnostic {
        let hint = did_you_mean(&key.value, names.iter().copied()).or_else(|| {
            let names: Vec<_> = names.iter().copied().collect();
            (!names.is_empty()).then(|| format!("it can have {}", names.join(", ")))
        });
        let message = format!("{path} cannot have {:?}", key.value);
        self.diagnostic("plan::unknown_property", key.span, message, "not known here").with_hint(hint)
    }

    fn mismatch(&self, template: &Template, schema: Schema<'_>, path: &str) -> Diagnostic {
        let (wanted, given) = (schema.kinds(), kinds(template));
        let message = format!("{path} must be {}, this is {}", wanted.describe(), given.describe());
        let hint = match &template.kind {
            TemplateKind::Number(_) | TemplateKind::Bool(_) if wanted.meets(Kinds::STRING) => {
                Some("put it in quotes".to_owned())
            }
            TemplateKind::Text(text) if !self.hide && is_json_of(text, wanted) => {
                Some("write it without quotes".to_owned())
            }
            TemplateKind::Text(text) if ["yes", "no", "on", "off"].contains(&text.as_str()) => {
                Some("write true or false".to_owned()).filter(|_| wanted.meets(Kinds::BOOLEAN))
            }
            _ => None,
        };
        self.diagnostic("plan::type", template.span, message, format!("expected {}", wanted.describe())).with_hint(hint)
    }

    fn diagnostic(&self, code: &'static str, span: Span, message: String, label: impl Into<String>) -> Diagnostic {
        Diagnostic::new(self.source, code, span, message, label)
    }
}

fn kinds(template: &Template) -> Kinds {
    match &template.kind {
        TemplateKind::Null => Kinds::NULL,
        TemplateKind::Bool(_) => Kinds::BOOLEAN,
        TemplateKind::Number(number) => Kinds::of(&Value::Number(number.clone())),
        TemplateKind::Text(_) | TemplateKind::Pieces(_) => Kinds::STRING,
        TemplateKind::List(_) => Kinds::ARRAY,
        TemplateKind::Map(_) => Kinds::OBJECT,
        TemplateKind::Expression(_) | TemplateKind::Unknown => Kinds::ANY,
    }
}

fn is_json_of(text: &str, wanted: Kinds) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|value| Kinds::of(&value).meets(wanted))
}

// What stands in the schema itself; its alternatives are checked one by one.
fn own_item(schema: Schema<'_>) -> Below<'_> {
    if schema.keyword("items").is_some() { schema.item() } else { Below::Any }
}

fn describes(schema: Schema<'_>, name: &str) -> bool {
    let own = schema.keyword("properties").is_some_and(|properties| properties.get(name).is_some());
    own || schema.keyword("additionalProperties").is_some_and(Value::is_object)
}

fn closes(schema: Schema<'_>, whole: bool) -> bool {
    let own = schema.keyword("properties").and_then(Value::as_object).is_some_and(|properties| !properties.is_empty());
    (whole && own) || schema.keyword("additionalProperties") == Some(&Value::Bool(false))
}

fn hint_of(schema: Schema<'_>, name: &str) -> Option<String> {
    let Below::Known(property) = schema.field(name) else { return None };
    let description = property.keyword("description").and_then(Value::as_str)?;
    Some(format!("{name}: {description}"))
}
