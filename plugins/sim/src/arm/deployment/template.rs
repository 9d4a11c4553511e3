use serde_json::{Value, json};

use crate::arm::deployment::expression::{TemplateScope, evaluate, invalid, path_of};
use crate::arm::error::ArmError;
use crate::arm::json::{Object, drop_keys, field, objects};
use crate::arm::path::{ArmTarget, parse};
use crate::arm::store::{PlannedResource, PlannedState};

/// Template with all expressions evaluated.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EvaluatedTemplate {
    pub(crate) resources: Vec<PlannedResource>,
    /// Outputs by name, as `{type, value}`.
    pub(crate) outputs: Object,
    /// Parameters as `{name: {type, value}}`, without the values of secure ones.
    pub(crate) parameters: Value,
}

/// Members of a resource in a template that do not belong to the resource itself.
const OF_TEMPLATE: [&str; 6] = ["type", "name", "apiVersion", "dependsOn", "comments", "condition"];

/// Evaluates the template in the properties of a deployment.
///
/// # Errors
/// 400 `InvalidTemplate` for a missing template, an unknown parameter, type or function, and
/// unsupported loops.
pub(crate) fn compile(subscription: &str, group: &str, properties: &Object) -> Result<EvaluatedTemplate, ArmError> {
    let template = properties.get("template").and_then(Value::as_object);
    let template = template.ok_or_else(|| invalid("the template is not in the request"))?;
    let (values, parameters) = parameters(template, properties)?;
    let scope = TemplateScope {
        subscription: subscription.to_owned(),
        group: group.to_owned(),
        parameters: values,
        variables: inner(template, "variables"),
    };
    let resources =
        objects(template, "resources").iter().map(|resource| planned(&scope, resource)).collect::<Result<_, _>>()?;
    let mut outputs = Object::new();
    for (name, output) in inner(template, "outputs") {
        outputs.insert(name, evaluate(&scope, &output)?);
    }
    Ok(EvaluatedTemplate { resources, outputs, parameters: Value::Object(parameters) })
}

/// Returns the object under `key`, or an empty one.
fn inner(object: &Object, key: &str) -> Object {
    object.get(key).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Returns the values of the parameters, and the parameters as the deployment shows them.
fn parameters(template: &Object, properties: &Object) -> Result<(Object, Object), ArmError> {
    let given = inner(properties, "parameters");
    let declared = inner(template, "parameters");
    if let Some(name) = given.keys().find(|name| !declared.contains_key(*name)) {
        return Err(invalid(format!("the template parameters '{name}' in the parameters file are not valid")));
    }
    let (mut values, mut shown) = (Object::new(), Object::new());
    for (name, declaration) in declared {
        let value = given.get(&name).and_then(|given| given.get("value")).or(declaration.get("defaultValue"));
        let value =
            value.ok_or_else(|| invalid(format!("the value for the template parameter '{name}' is not provided")))?;
        let kind = declaration.get("type").and_then(Value::as_str).unwrap_or("String");
        let secure = kind.to_ascii_lowercase().starts_with("secure");
        shown.insert(
            name.clone(),
            if secure { json!({ "type": kind }) } else { json!({ "type": kind, "value": value }) },
        );
        values.insert(name, value.clone());
    }
    Ok((values, shown))
}

/// Evaluates a resource of the template.
fn planned(scope: &TemplateScope, resource: &Object) -> Result<PlannedResource, ArmError> {
    let resource = evaluate(scope, &Value::Object(resource.clone()))?;
    let mut body = resource.as_object().cloned().unwrap_or_default();
    if body.contains_key("copy") || body.contains_key("resources") {
        return Err(invalid("copy and nested resources are not known here"));
    }
    let text =
        |key: &str| field(&body, key).map(str::to_owned).ok_or_else(|| invalid(format!("a resource has no {key}")));
    let (kind, name, api_version) = (text("type")?, text("name")?, text("apiVersion")?);
    let names: Vec<String> = name.split('/').map(str::to_owned).collect();
    let path = path_of(&kind, &names);
    let path =
        path.ok_or_else(|| invalid(format!("the resource '{name}' has incorrect segment lengths for '{kind}'")))?;
    let id = format!("/subscriptions/{}/resourceGroups/{}/{path}", scope.subscription, scope.group);
    let segments: Vec<String> = id.split('/').skip(1).map(str::to_owned).collect();
    if !matches!(parse(&segments), ArmTarget::Item { .. }) {
        return Err(invalid(format!("the resource type '{kind}' could not be found")));
    }
    let needs = body.get("dependsOn").and_then(Value::as_array).into_iter().flatten();
    let needs =
        needs.filter_map(Value::as_str).map(|need| format!("/{}", need.trim_start_matches('/')).to_ascii_lowercase());
    let needs = needs.collect();
    drop_keys(&mut body, &OF_TEMPLATE);
    Ok(PlannedResource { id, api_version, body, needs, progress: PlannedState::Waiting })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(template: &Value, parameters: &Value) -> Result<EvaluatedTemplate, String> {
        let properties = json!({ "template": template, "parameters": parameters });
        compile("s", "g", properties.as_object().unwrap_or(&Object::new())).map_err(|error| error.message.to_string())
    }

    #[test]
    fn a_template_becomes_resources_that_know_what_they_need() {
        let template = json!({
            "parameters": { "secret": { "type": "securestring" }, "where": { "type": "string", "defaultValue": "canadacentral" } },
            "resources": [{
                "type": "Microsoft.Network/networkInterfaces", "name": "nic", "apiVersion": "2024-01-01",
                "location": "[parameters('where')]", "tags": { "a": "[parameters('secret')]" },
                "dependsOn": ["Microsoft.Network/publicIpAddresses/ip"],
            }],
            "outputs": { "one": { "type": "string", "value": "[parameters('where')]" } },
        });
        let compiled = compiled(&template, &json!({ "secret": { "value": "hidden" } })).expect("it is good");
        let nic = &compiled.resources[0];
        assert_eq!(nic.id, "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkInterfaces/nic");
        assert_eq!(json!(nic.body), json!({ "location": "canadacentral", "tags": { "a": "hidden" } }));
        assert_eq!(nic.needs, ["/microsoft.network/publicipaddresses/ip"]);
        assert_eq!(compiled.outputs["one"]["value"], "canadacentral");
        assert_eq!(compiled.parameters["secret"], json!({ "type": "securestring" }), "its value is not shown");
    }

    #[test]
    fn what_a_template_must_have_is_asked_for() {
        let resource = |member: &str, value: Value| {
            let mut resource = json!({ "type": "Microsoft.Compute/disks", "name": "d", "apiVersion": "2024-03-02" });
            resource[member] = value;
            json!({ "resources": [resource] })
        };
        for (template, said) in [
            (json!(null), "not in the request"),
            (json!({ "parameters": { "p": { "type": "string" } } }), "'p' is not provided"),
            (resource("type", json!("Microsoft.Compute/nothings")), "could not be found"),
            (resource("name", json!("d/e")), "incorrect segment lengths"),
            (resource("apiVersion", json!(null)), "no apiVersion"),
            (resource("copy", json!({})), "not known here"),
        ] {
            let error = compiled(&template, &json!({})).expect_err(said);
            assert!(error.contains(said), "{error}");
        }
        let unknown = compiled(&json!({}), &json!({ "q": { "value": 1 } })).expect_err("q is not declared");
        assert!(unknown.contains("'q'"), "{unknown}");
    }
}
