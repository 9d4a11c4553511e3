use serde_json::{Value, json};

use crate::arm::error::ArmError;
use crate::arm::group;
use crate::arm::path::{ArmTarget, parse};
use crate::arm::request::{ArmCall, ArmReply, ArmResult};
use crate::arm::store::Arm;

/// Refuses a request whose operation is withheld.
///
/// # Errors
/// 403 `AuthorizationFailed` with the operation and its scope. Permissions on resources that the
/// body refers to are not checked.
pub(crate) fn check(arm: &Arm, call: &ArmCall) -> Result<(), ArmError> {
    let target = parse(&call.segments);
    let Some(operation) = operation(&call.method, &target) else { return Ok(()) };
    if arm.access.allows(&operation, group_of(&target)) {
        return Ok(());
    }
    let scope = call.segments.iter().fold(String::new(), |scope, segment| scope + "/" + segment);
    let message = format!(
        "The client '{client}' with object id '{client}' does not have authorization to perform action '{operation}' over \
         scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
        client = crate::login::CLIENT_ID
    );
    Err(ArmError::gateway(403, "AuthorizationFailed", message))
}

/// Answers `Microsoft.Authorization/permissions` of the subscription or of a group.
pub(crate) fn permissions(arm: &Arm, group: Option<&str>) -> ArmResult {
    if let Some(name) = group {
        group::find(arm, name)?;
    }
    let entry = |actions: Value, not_actions: Value| json!({ "actions": actions, "notActions": not_actions, "dataActions": [], "notDataActions": [] });
    let own = arm.access.granted_in(group).map(|granted| entry(json!(granted), json!([])));
    let value: Vec<Value> = [entry(json!(["*"]), json!(arm.access.withheld))].into_iter().chain(own).collect();
    Ok(ArmReply::json(200, json!({ "value": value })))
}

/// Returns the operation as roles name it, or `None` for requests that need no permission.
fn operation(method: &str, target: &ArmTarget) -> Option<String> {
    let of = match target {
        ArmTarget::Subscription => "Microsoft.Resources/subscriptions".to_owned(),
        ArmTarget::Groups | ArmTarget::Group(_) => "Microsoft.Resources/subscriptions/resourceGroups".to_owned(),
        ArmTarget::Collection { kind, .. } | ArmTarget::Item { kind, .. } => {
            format!("{}/{}", kind.namespace(), kind.types().join("/"))
        }
        ArmTarget::Action { kind, verb, .. } => {
            let done = if method == "GET" { "read" } else { "action" };
            return Some(format!("{}/{}/{verb}/{done}", kind.namespace(), kind.types().join("/")));
        }
        _ => return None,
    };
    let done = match method {
        "GET" | "HEAD" => "read",
        "DELETE" => "delete",
        _ => "write",
    };
    Some(format!("{of}/{done}"))
}

/// Returns the name of the group that a path names.
fn group_of(target: &ArmTarget) -> Option<&str> {
    match target {
        ArmTarget::Group(group) | ArmTarget::Item { group, .. } | ArmTarget::Action { group, .. } => Some(group),
        ArmTarget::Collection { group, .. } => group.as_deref(),
        _ => None,
    }
}
