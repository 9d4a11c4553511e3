use serde_json::{Value, json};

use crate::arm::behaviour::{Draft, DraftChild, WriteTarget};
use crate::arm::error::ArmError;
use crate::arm::json::{Object, default, drop_keys, field, objects};
use crate::arm::request::ArmReply;
use crate::arm::store::{Arm, ArmResourceType, StoredResource, name_of, parent_id};

/// Checks a security group with the rules in its body.
pub(crate) fn prepare(target: &WriteTarget, top: Object, mut properties: Object) -> Result<Draft, ArmError> {
    let mut children: Vec<DraftChild> = Vec::new();
    for rule in objects(&properties, "securityRules") {
        let name = field(rule, "name").ok_or_else(|| ArmError::missing("securityRule.name"))?.to_owned();
        let inner = rule.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        let inner = rule_properties(&format!("{}/securityRules/{name}", target.id), inner)?;
        check_priority(&name, &inner, children.iter().map(|child| (child.name.as_str(), &child.properties)))?;
        children.push(DraftChild { kind: ArmResourceType::SecurityRule, name, properties: inner });
    }
    drop_keys(&mut properties, &["securityRules", "defaultSecurityRules", "networkInterfaces", "subnets", "flowLogs"]);
    Ok(Draft { top, properties, children, ..Draft::default() })
}

/// Checks one rule against the other rules of its group.
pub(crate) fn prepare_rule(arm: &Arm, target: &WriteTarget, properties: Object) -> Result<Draft, ArmError> {
    let properties = rule_properties(&target.id, properties)?;
    let others = arm
        .below(parent_id(&target.id), ArmResourceType::SecurityRule)
        .into_iter()
        .filter(|rule| !rule.id.eq_ignore_ascii_case(&target.id));
    check_priority(name_of(&target.id), &properties, others.map(|rule| (rule.name.as_str(), &rule.properties)))?;
    Ok(Draft { properties, ..Draft::default() })
}

/// Checks the members of a rule and adds the defaults.
fn rule_properties(id: &str, mut properties: Object) -> Result<Object, ArmError> {
    for (key, allowed) in [
        ("protocol", &["Tcp", "Udp", "Icmp", "Esp", "*", "Ah"][..]),
        ("access", &["Allow", "Deny"]),
        ("direction", &["Inbound", "Outbound"]),
    ] {
        let value = field(&properties, key).ok_or_else(|| {
            ArmError::network("SecurityRuleParameterMissing", format!("Security rule {id} has no {key}."))
        })?;
        let Some(known) = allowed.iter().find(|known| known.eq_ignore_ascii_case(value)) else {
            return Err(ArmError::network(
                "SecurityRuleInvalidParameter",
                format!("Security rule has invalid {key}: {value}."),
            ));
        };
        properties.insert(key.to_owned(), json!(known));
    }
    let priority = properties.get("priority").and_then(Value::as_i64).unwrap_or_default();
    if !(100..=4096).contains(&priority) {
        let message = format!("Security rule has invalid priority. Value provided: {priority} Allowed range 100-4096.");
        return Err(ArmError::network("SecurityRuleInvalidPriority", message));
    }
    drop_keys(&mut properties, &["provisioningState"]);
    for key in ["sourcePortRanges", "destinationPortRanges", "sourceAddressPrefixes", "destinationAddressPrefixes"] {
        default(&mut properties, key, json!([]));
    }
    Ok(properties)
}

/// Refuses two rules of a direction with the same priority.
fn check_priority<'a>(
    name: &str,
    rule: &Object,
    mut others: impl Iterator<Item = (&'a str, &'a Object)>,
) -> Result<(), ArmError> {
    let clash = others.find(|(_, other)| {
        other.get("priority") == rule.get("priority") && other.get("direction") == rule.get("direction")
    });
    match clash {
        None => Ok(()),
        Some((other, _)) => {
            let message = format!(
                "Security rule {name} conflicts with rule {other}. Rules cannot have the same Priority and Direction. To \
                 add this rule, please specify a different priority."
            );
            Err(ArmError::network("SecurityRuleConflict", message))
        }
    }
}

/// Name, description, source, destination, access, priority and direction of a default rule.
type DefaultRule = (&'static str, &'static str, &'static str, &'static str, &'static str, u32, &'static str);

/// Default rules of every group, as Azure documents them.
const DEFAULT_RULES: [DefaultRule; 6] = [
    (
        "AllowVnetInBound",
        "Allow inbound traffic from all VMs in VNET",
        "VirtualNetwork",
        "VirtualNetwork",
        "Allow",
        65000,
        "Inbound",
    ),
    (
        "AllowAzureLoadBalancerInBound",
        "Allow inbound traffic from azure load balancer",
        "AzureLoadBalancer",
        "*",
        "Allow",
        65001,
        "Inbound",
    ),
    ("DenyAllInBound", "Deny all inbound traffic", "*", "*", "Deny", 65500, "Inbound"),
    (
        "AllowVnetOutBound",
        "Allow outbound traffic from all VMs to all VMs in VNET",
        "VirtualNetwork",
        "VirtualNetwork",
        "Allow",
        65000,
        "Outbound",
    ),
    (
        "AllowInternetOutBound",
        "Allow outbound traffic from all VMs to Internet",
        "*",
        "Internet",
        "Allow",
        65001,
        "Outbound",
    ),
    ("DenyAllOutBound", "Deny all outbound traffic", "*", "*", "Deny", 65500, "Outbound"),
];

/// Returns the six rules that every group ends with.
pub(crate) fn default_rules(group: &StoredResource) -> Vec<Value> {
    let rule = |(name, description, source, destination, access, priority, direction): DefaultRule| {
        json!({
            "name": name,
            "id": format!("{}/defaultSecurityRules/{name}", group.id),
            "etag": group.shown_etag(),
            "type": "Microsoft.Network/networkSecurityGroups/defaultSecurityRules",
            "properties": {
                "provisioningState": group.state,
                "description": description,
                "protocol": "*",
                "sourcePortRange": "*",
                "destinationPortRange": "*",
                "sourceAddressPrefix": source,
                "destinationAddressPrefix": destination,
                "access": access,
                "priority": priority,
                "direction": direction,
                "sourcePortRanges": [],
                "destinationPortRanges": [],
                "sourceAddressPrefixes": [],
                "destinationAddressPrefixes": [],
            },
        })
    };
    DEFAULT_RULES.into_iter().map(rule).collect()
}

/// Answers with the default rules of a group.
pub(crate) fn list_default_rules(arm: &Arm, id: &str) -> ArmReply {
    let rules = arm.find(id).map(default_rules).unwrap_or_default();
    ArmReply::json(200, json!({ "value": rules }))
}
