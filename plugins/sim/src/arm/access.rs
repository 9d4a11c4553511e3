use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::arm::call::{Answer, Call, Reply};
use crate::arm::error::ArmError;
use crate::arm::group;
use crate::arm::path::{Target, parse};
use crate::arm::store::Arm;

/// What whoever has a token may do: everything, but for what was taken away.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Access {
    /// Operations that are withheld in the whole subscription, as roles list them.
    withheld: BTreeSet<String>,
    /// Operations that are granted all the same, by lower-case name of the group that it is for.
    in_groups: BTreeMap<String, BTreeSet<String>>,
}

impl Access {
    /// Grants an operation, or takes it away; in one group only if one is named.
    pub(crate) fn set(&mut self, operation: &str, group: Option<&str>, on: bool) {
        let operation = operation.to_owned();
        match group.map(str::to_ascii_lowercase) {
            Some(group) if on => drop(self.in_groups.entry(group).or_default().insert(operation)),
            Some(group) => drop(self.in_groups.entry(group).or_default().remove(&operation)),
            None if on => drop(self.withheld.remove(&operation)),
            None => drop(self.withheld.insert(operation)),
        }
    }

    fn granted_in(&self, group: Option<&str>) -> Option<&BTreeSet<String>> {
        self.in_groups.get(&group?.to_ascii_lowercase())
    }

    fn allows(&self, operation: &str, group: Option<&str>) -> bool {
        let has = |set: &BTreeSet<String>| set.iter().any(|each| each.eq_ignore_ascii_case(operation));
        !has(&self.withheld) || self.granted_in(group).is_some_and(has)
    }
}

/// Refuses what the caller may not do. What a written resource refers to is not asked about.
pub(crate) fn check(arm: &Arm, call: &Call) -> Result<(), ArmError> {
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

/// `Microsoft.Authorization/permissions` of the subscription or of one of its groups.
pub(crate) fn permissions(arm: &Arm, group: Option<&str>) -> Answer {
    if let Some(name) = group {
        group::find(arm, name)?;
    }
    let entry = |actions: Value, not_actions: Value| json!({ "actions": actions, "notActions": not_actions, "dataActions": [], "notDataActions": [] });
    let own = arm.access.granted_in(group).map(|granted| entry(json!(granted), json!([])));
    let value: Vec<Value> = [entry(json!(["*"]), json!(arm.access.withheld))].into_iter().chain(own).collect();
    Ok(Reply::json(200, json!({ "value": value })))
}

/// What roles call it; none for what everybody may do who is let in.
fn operation(method: &str, target: &Target) -> Option<String> {
    let of = match target {
        Target::Subscription => "Microsoft.Resources/subscriptions".to_owned(),
        Target::Groups | Target::Group(_) => "Microsoft.Resources/subscriptions/resourceGroups".to_owned(),
        Target::Collection { kind, .. } | Target::Item { kind, .. } => {
            format!("{}/{}", kind.namespace(), kind.types().join("/"))
        }
        Target::Action { kind, verb, .. } => {
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

fn group_of(target: &Target) -> Option<&str> {
    match target {
        Target::Group(group) | Target::Item { group, .. } | Target::Action { group, .. } => Some(group),
        Target::Collection { group, .. } => group.as_deref(),
        _ => None,
    }
}
