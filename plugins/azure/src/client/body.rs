use azure_mgmt_network::package_2024_03::models::{Resource, SubResource};
use serde::Serialize;
use serde_json::Value;

use crate::client::{Location, ResourceId};

/// Serialises a generated model as the body of a request, without null members.
///
/// Some models write absent values as null, which the API specifications do not allow.
pub(crate) fn body(model: &impl Serialize) -> Value {
    let mut body = serde_json::to_value(model).expect("models are structs of JSON values");
    drop_nulls(&mut body);
    body
}

/// Returns the part of a network model that names its region.
pub(crate) fn in_location(location: &Location) -> Resource {
    Resource { location: Some(location.to_string()), ..Resource::default() }
}

/// Returns the reference of a network model to another resource.
pub(crate) fn reference(id: &ResourceId) -> SubResource {
    SubResource { id: Some(id.to_string()) }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_has_no_null_member() {
        let model = json!({"a": null, "b": {"c": null, "d": 1}, "e": [{"f": null}]});
        assert_eq!(body(&model), json!({"b": {"d": 1}, "e": [{}]}));
    }
}
