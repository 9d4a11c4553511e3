use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;

use super::{
    constraints,
    schema::{Kinds, Schema, SchemaLookup},
    type_scope::TypeScope,
    typing::Type,
};
use crate::workflow::{
    Diagnostic, Patterns, SourceFile, Span, Spanned, SpannedExpression, SpannedTemplate, TemplateKind,
    suggest::did_you_mean,
};

/// Checks values that are written in a workflow, or given as inputs, against schemas.
pub(super) struct SchemaCheck<'a> {
    pub(super) source: &'a Arc<SourceFile>,
    /// Patterns of the schemas, compiled.
    pub(super) patterns: &'a Patterns,
    /// Scope of the expressions; `None` for a value without expressions.
    pub(super) scope: Option<&'a TypeScope<'a>>,
    /// The value can be a secret that was given by mistake: no message repeats it.
    pub(super) hide: bool,
}

impl<'a> SchemaCheck<'a> {
    /// Returns an error for each part of `template` that does not fit `schema`. `path` names the
    /// value in messages.
    pub(super) fn check(&self, template: &'a SpannedTemplate, schema: Schema<'a>, path: &str) -> Vec<Diagnostic> {
        self.check_part(template, schema, path, true)
    }

    /// Checks against a schema. One that is `whole` lists each property; one that is combined with
    /// others need not.
    fn check_part(
        &self,
        template: &'a SpannedTemplate,
        schema: Schema<'a>,
        path: &str,
        whole: bool,
    ) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        match &template.kind {
            TemplateKind::Unknown => {}
            TemplateKind::Expression(expression) => found.extend(self.check_expression(expression, schema, path)),
            _ => self.check_written(template, schema, path, whole, &mut found),
        }
        found
    }

    /// Checks the type of an expression: its kinds, and that it has the required properties.
    fn check_expression(&self, expression: &SpannedExpression, schema: Schema<'_>, path: &str) -> Option<Diagnostic> {
        let value = self.scope?.type_of(expression);
        let (allowed, kinds) = (schema.kinds(), value.kinds());
        let span = expression.trimmed(self.source);
        if !kinds.meets(allowed) {
            let text = expression.expression.source().trim();
            let message = format!("{path} must be {}, {text} is {}", allowed.describe(), kinds.describe());
            return Some(self.diagnostic("plan::type", span, message, format!("this is {}", kinds.describe())));
        }
        let Type::Schema(given) = value else { return None };
        let lacks = |name: &&str| matches!(given.field(name), SchemaLookup::Missing(_));
        let lacking = schema.required().find(|name| given.kinds().meets(Kinds::OBJECT) && lacks(name))?;
        let message =
            format!("{path} needs {lacking:?}, which {} does not have", expression.expression.source().trim());
        Some(self.diagnostic("plan::type", span, message, format!("has no {lacking:?}")))
    }

    /// Checks a value that is written in the file: its kind, the combinators, the keywords, then
    /// items and properties.
    fn check_written(
        &self,
        template: &'a SpannedTemplate,
        schema: Schema<'a>,
        path: &str,
        whole: bool,
        found: &mut Vec<Diagnostic>,
    ) {
        let kinds = Kinds::of_template(template);
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
            let violations = constraints::violations(&value, schema, self.patterns, self.hide);
            found.extend(violations.into_iter().map(|violation| {
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

    /// Checks the alternatives of a combinator. If none fits, the one with the fewest errors is
    /// reported.
    fn check_alternatives(
        &self,
        template: &'a SpannedTemplate,
        schema: Schema<'a>,
        combinator: &str,
        path: &str,
        found: &mut Vec<Diagnostic>,
    ) {
        let kinds = Kinds::of_template(template);
        let whole = schema.keyword("properties").is_none();
        let suitable = schema.branches(combinator).into_iter().filter(|branch| branch.kinds().meets(kinds));
        let closest = suitable.map(|branch| self.check_part(template, branch, path, whole)).min_by_key(Vec::len);
        found.extend(closest.into_iter().flatten());
    }

    /// Checks each item of a list.
    fn check_items(&self, items: &'a [SpannedTemplate], schema: Schema<'a>, path: &str, found: &mut Vec<Diagnostic>) {
        let SchemaLookup::Known(each) = own_item(schema) else { return };
        for (at, item) in items.iter().enumerate() {
            found.extend(self.check(item, each, &format!("{path}[{at}]")));
        }
    }

    /// Checks the entries of a map, and that the required properties exist.
    fn check_map(
        &self,
        template: &SpannedTemplate,
        entries: &'a [(Spanned<String>, SpannedTemplate)],
        schema: Schema<'a>,
        path: &str,
        whole: bool,
        found: &mut Vec<Diagnostic>,
    ) {
        for (key, value) in entries {
            match schema.field(&key.value) {
                SchemaLookup::Known(known) if describes(schema, &key.value) => {
                    found.extend(self.check(value, known, &format!("{path}.{}", key.value)));
                }
                SchemaLookup::Missing(names) if closes(schema, whole) => found.push(self.unknown(key, &names, path)),
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

    /// Reports a property that the schema does not have.
    fn unknown(&self, key: &Spanned<String>, names: &BTreeSet<&str>, path: &str) -> Diagnostic {
        let hint = did_you_mean(&key.value, names.iter().copied()).or_else(|| {
            let names: Vec<_> = names.iter().copied().collect();
            (!names.is_empty()).then(|| format!("it can have {}", names.join(", ")))
        });
        let message = format!("{path} cannot have {:?}", key.value);
        self.diagnostic("plan::unknown_property", key.span, message, "not known here").with_hint(hint)
    }

    /// Reports a value of the wrong kind. The hint covers the usual errors with quotes and YAML
    /// booleans.
    fn mismatch(&self, template: &SpannedTemplate, schema: Schema<'_>, path: &str) -> Diagnostic {
        let (allowed, given) = (schema.kinds(), Kinds::of_template(template));
        let message = format!("{path} must be {}, this is {}", allowed.describe(), given.describe());
        let hint = match &template.kind {
            TemplateKind::Number(_) | TemplateKind::Bool(_) if allowed.meets(Kinds::STRING) => {
                Some("put it in quotes".to_owned())
            }
            TemplateKind::Text(text) if !self.hide && is_json_of(text, allowed) => {
                Some("write it without quotes".to_owned())
            }
            TemplateKind::Text(text) if ["yes", "no", "on", "off"].contains(&text.as_str()) => {
                Some("write true or false".to_owned()).filter(|_| allowed.meets(Kinds::BOOLEAN))
            }
            _ => None,
        };
        self.diagnostic("plan::type", template.span, message, format!("expected {}", allowed.describe()))
            .with_hint(hint)
    }

    fn diagnostic(&self, code: &'static str, span: Span, message: String, label: impl Into<String>) -> Diagnostic {
        Diagnostic::new(self.source, code, span, message, label)
    }
}

/// Returns true if the text, without its quotes, would be a value of an allowed kind.
fn is_json_of(text: &str, allowed: Kinds) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|value| Kinds::of(&value).meets(allowed))
}

/// Returns the items that the schema itself describes. Those of its alternatives are checked one by
/// one.
fn own_item(schema: Schema<'_>) -> SchemaLookup<'_> {
    if schema.keyword("items").is_some() { schema.item() } else { SchemaLookup::Any }
}

/// True if the schema itself has a schema for the property.
fn describes(schema: Schema<'_>, name: &str) -> bool {
    let own = schema.keyword("properties").is_some_and(|properties| properties.get(name).is_some());
    own || schema.keyword("additionalProperties").is_some_and(Value::is_object)
}

/// True if the schema itself forbids properties that it does not list.
fn closes(schema: Schema<'_>, whole: bool) -> bool {
    let own = schema.keyword("properties").and_then(Value::as_object).is_some_and(|properties| !properties.is_empty());
    (whole && own) || schema.keyword("additionalProperties") == Some(&Value::Bool(false))
}

/// Returns the description of a property, as a hint for a missing one.
fn hint_of(schema: Schema<'_>, name: &str) -> Option<String> {
    let SchemaLookup::Known(property) = schema.field(name) else { return None };
    let description = property.keyword("description").and_then(Value::as_str)?;
    Some(format!("{name}: {description}"))
}
