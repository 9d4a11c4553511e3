use serde_json::{Value, json};

use crate::arm::error::ArmError;
use crate::arm::json::Object;

/// Values that expressions of a template can refer to.
#[derive(Debug, Clone, Default)]
pub(crate) struct TemplateScope {
    pub(crate) subscription: String,
    /// Name of the group that the template is deployed into.
    pub(crate) group: String,
    /// Values of the parameters by name.
    pub(crate) parameters: Object,
    /// Variables by name, not evaluated yet.
    pub(crate) variables: Object,
}

/// Replaces every expression in `value` by its value. A text is an expression if it is in single
/// brackets.
pub(crate) fn evaluate(scope: &TemplateScope, value: &Value) -> Result<Value, ArmError> {
    match value {
        Value::String(text) => match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(rest) if rest.starts_with('[') => Ok(json!(text[1..])),
            Some(inner) => ExpressionParser { scope, rest: inner }.whole(),
            None => Ok(value.clone()),
        },
        Value::Array(items) => items.iter().map(|item| evaluate(scope, item)).collect(),
        Value::Object(members) => {
            let members: Result<Object, ArmError> =
                members.iter().map(|(key, value)| Ok((key.clone(), evaluate(scope, value)?))).collect();
            members.map(Value::Object)
        }
        _ => Ok(value.clone()),
    }
}

/// Returns the error for a template that cannot be evaluated.
pub(crate) fn invalid(message: impl std::fmt::Display) -> ArmError {
    let message = format!("Deployment template validation failed: '{message}'.");
    ArmError::gateway(400, "InvalidTemplate", message)
}

/// Parser of one expression that evaluates while it reads.
struct ExpressionParser<'a> {
    scope: &'a TemplateScope,
    rest: &'a str,
}

impl ExpressionParser<'_> {
    /// Evaluates the whole expression; trailing text is an error.
    fn whole(mut self) -> Result<Value, ArmError> {
        let value = self.value()?;
        if self.rest.trim().is_empty() { Ok(value) } else { Err(self.unexpected()) }
    }

    /// Returns the error for text that is not an expression.
    fn unexpected(&self) -> ArmError {
        invalid(format!("the expression cannot be read at '{}'", self.rest))
    }

    /// Skips `text` after white space; returns `false` if something else follows.
    fn skips(&mut self, text: &str) -> bool {
        match self.rest.trim_start().strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Reads a string, a whole number or a call.
    fn value(&mut self) -> Result<Value, ArmError> {
        if self.skips("'") {
            return self.string();
        }
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|character: char| !character.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        if let Ok(number) = word.parse::<i64>() {
            return Ok(json!(number));
        }
        if word.is_empty() || !self.skips("(") {
            return Err(self.unexpected());
        }
        let arguments = self.arguments()?;
        call(self.scope, word, &arguments)
    }

    /// Reads the rest of a string literal, in which two quotes mean one.
    fn string(&mut self) -> Result<Value, ArmError> {
        let mut text = String::new();
        loop {
            let (before, after) = self.rest.split_once('\'').ok_or_else(|| self.unexpected())?;
            text.push_str(before);
            self.rest = after;
            match after.strip_prefix('\'') {
                Some(rest) => self.rest = rest,
                None => return Ok(json!(text)),
            }
            text.push('\'');
        }
    }

    /// Reads the arguments of a call and the closing bracket.
    fn arguments(&mut self) -> Result<Vec<Value>, ArmError> {
        let mut arguments = Vec::new();
        while !self.skips(")") {
            if !arguments.is_empty() && !self.skips(",") {
                return Err(self.unexpected());
            }
            arguments.push(self.value()?);
        }
        Ok(arguments)
    }
}

/// Calls one of the supported functions. Others are refused as unknown ones.
fn call(scope: &TemplateScope, name: &str, arguments: &[Value]) -> Result<Value, ArmError> {
    match (name.to_ascii_lowercase().as_str(), arguments) {
        ("parameters", [Value::String(key)]) => scope
            .parameters
            .get(key)
            .cloned()
            .ok_or_else(|| invalid(format!("the template parameter '{key}' is not found"))),
        ("variables", [Value::String(key)]) => scope.variables.get(key).map_or_else(
            || Err(invalid(format!("the template variable '{key}' is not found"))),
            |v| evaluate(scope, v),
        ),
        ("concat", parts) => Ok(json!(parts.iter().map(plain).collect::<String>())),
        ("resourceid", parts) => resource_id(scope, &parts.iter().map(plain).collect::<Vec<_>>()),
        ("resourcegroup", []) => Ok(json!({ "name": scope.group })),
        _ => Err(invalid(format!("the template function '{name}' is not valid"))),
    }
}

/// Returns the text of a value without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Evaluates a call `resourceId([subscription], [group], type, name...)`.
fn resource_id(scope: &TemplateScope, arguments: &[String]) -> Result<Value, ArmError> {
    let at = arguments.iter().position(|argument| argument.contains('/'));
    let at = at.filter(|at| *at <= 2).ok_or_else(|| invalid("resourceId needs a type and names"))?;
    let (before, rest) = arguments.split_at(at);
    let (subscription, group) = match before {
        [subscription, group] => (subscription, group),
        [group] => (&scope.subscription, group),
        _ => (&scope.subscription, &scope.group),
    };
    let id =
        path_of(&rest[0], &rest[1..]).ok_or_else(|| invalid(format!("{} needs another number of names", rest[0])))?;
    Ok(json!(format!("/subscriptions/{subscription}/resourceGroups/{group}/{id}")))
}

/// Returns the path `providers/…` of a type such as `Microsoft.Network/routeTables/routes` with a
/// name for each of its segments, or `None` if the numbers differ.
pub(crate) fn path_of(kind: &str, names: &[String]) -> Option<String> {
    let (namespace, types) = kind.split_once('/')?;
    let types: Vec<&str> = types.split('/').collect();
    let parts = types.iter().zip(names).fold(String::new(), |path, (kind, name)| format!("{path}/{kind}/{name}"));
    (types.len() == names.len()).then(|| format!("providers/{namespace}{parts}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> TemplateScope {
        let object = |value: Value| value.as_object().cloned().unwrap_or_default();
        TemplateScope {
            subscription: "s".to_owned(),
            group: "g".to_owned(),
            parameters: object(json!({ "name": "vm", "count": 2 })),
            variables: object(json!({ "nic": "[concat(parameters('name'), '-nic')]" })),
        }
    }

    fn of(text: &str) -> Result<Value, String> {
        evaluate(&scope(), &json!(text)).map_err(|error| error.message.to_string())
    }

    #[test]
    fn expressions_stand_for_values() {
        assert_eq!(of("plain"), Ok(json!("plain")));
        assert_eq!(of("[[kept]"), Ok(json!("[kept]")));
        assert_eq!(of("[parameters('count')]"), Ok(json!(2)));
        assert_eq!(of("[ concat( 'it''s ', variables('nic') , 7 ) ]"), Ok(json!("it's vm-nic7")));
        let nic = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkInterfaces/vm-nic";
        assert_eq!(of("[resourceId('Microsoft.Network/networkInterfaces', variables('nic'))]"), Ok(json!(nic)));
        let route = "/subscriptions/s/resourceGroups/other/providers/Microsoft.Network/routeTables/t/routes/r";
        assert_eq!(of("[resourceId('other', 'Microsoft.Network/routeTables/routes', 't', 'r')]"), Ok(json!(route)));
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for text in [
            "[nothing('x')]",
            "[parameters('none')]",
            "[variables('none')]",
            "[concat('a']",
            "[concat('a' 'b')]",
            "['open]",
            "[]",
            "[resourceId('name')]",
            "[resourceId('Microsoft.Network/routeTables/routes', 't')]",
        ] {
            let said = of(text).expect_err(text);
            assert!(said.starts_with("Deployment template validation failed: "), "{text}: {said}");
        }
    }
}
