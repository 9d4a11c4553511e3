use azure_mgmt_network::package_2024_03::models::{
    NetworkSecurityGroup, NetworkSecurityGroupPropertiesFormat, SecurityRule, SecurityRuleAccess,
    SecurityRuleDirection, SecurityRulePropertiesFormat, security_rule_properties_format,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stargate_sdk::{ActionError, Difference};

use crate::{
    arm_resource::{ArmResource, ResourceOutput},
    client::{ArmClient, ArmObject, GroupName, Location, NetworkName, Owner, ResourceId, ResourceType, body},
};

/// Properties of a rule that are compared, in the order in which a difference shows them.
const COMPARED: [&str; 8] = [
    "priority",
    "direction",
    "access",
    "protocol",
    "sourceAddressPrefix",
    "sourcePortRange",
    "destinationAddressPrefix",
    "destinationPortRange",
];
/// Plural forms of compared properties: with one of them, the singular form would not be the whole
/// rule.
const PLURAL_FORMS: [&str; 4] =
    ["sourceAddressPrefixes", "sourcePortRanges", "destinationAddressPrefixes", "destinationPortRanges"];

/// Desired state of a network security group. Rules of other names are kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecurityGroupInput {
    /// Resource group of the security group.
    resource_group: GroupName,
    /// Name of the security group.
    name: NetworkName,
    /// Region of the security group.
    location: Location,
    /// Rules that the group must have, matched by name.
    rules: Vec<SecurityRuleInput>,
    /// Owner of the resource, if this step creates it. `azure.resources.delete` deletes the
    /// resources of an owner.
    #[serde(default)]
    owner: Option<Owner>,
}

/// Desired state of a rule of a security group.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecurityRuleInput {
    /// Name of the rule.
    name: NetworkName,
    /// Priority from 100 to 4096; of the rules that match a packet, the lowest one decides.
    #[schemars(range(min = 100, max = 4096))]
    priority: u16,
    /// Direction of the packets that the rule matches.
    direction: RuleDirection,
    /// Decision about the packets: allow or deny.
    #[serde(default)]
    access: RuleAccess,
    /// Protocol of the packets.
    #[serde(default)]
    protocol: RuleProtocol,
    /// Source of the packets: a prefix, an address or a service tag; `*` for any.
    #[serde(default = "any")]
    source: String,
    /// Destination of the packets: a prefix, an address or a service tag; `*` for any.
    #[serde(default = "any")]
    destination: String,
    /// Destination port or range of ports, such as `22` or `8000-8080`; `*` for any.
    #[serde(default = "any")]
    destination_port: String,
}

/// Direction of packets, seen from the machines.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RuleDirection {
    /// Packets to the machines.
    Inbound,
    /// Packets from the machines.
    Outbound,
}

/// Decision about packets.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RuleAccess {
    /// Matching packets pass.
    #[default]
    Allow,
    /// Matching packets are dropped.
    Deny,
}

/// Protocol of packets.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RuleProtocol {
    /// Packets of any protocol.
    #[default]
    Any,
    /// Packets of TCP only.
    Tcp,
    /// Packets of UDP only.
    Udp,
    /// Packets of ICMP only.
    Icmp,
}

fn any() -> String {
    "*".into()
}

impl ArmResource for SecurityGroupInput {
    type Output = ResourceOutput;
    const NAME: &'static str = "azure.network_security_group.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Makes sure that a network security group has some rules, and leaves its others alone.";
    const TYPE: ResourceType =
        ResourceType::new("Microsoft.Network/networkSecurityGroups", "2024-01-01", "network security group");

    fn id(&self, arm: &ArmClient) -> ResourceId {
        arm.group(&self.resource_group).resource(Self::TYPE, &self.name)
    }

    fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    fn essence(&self) -> String {
        let names: Vec<&str> = self.rules.iter().map(|rule| rule.name.as_str()).collect();
        names.join(", ")
    }

    fn diff(&self, actual: &ArmObject) -> Result<Vec<Difference>, ActionError> {
        actual.check_location(&self.location)?;
        Ok(self.rules.iter().filter_map(|rule| rule.diff(actual)).collect())
    }

    fn immutable(&self, actual: &ArmObject) -> Vec<Difference> {
        actual.location_difference(&self.location).into_iter().collect()
    }

    fn body(&self) -> Value {
        let mut body = body(&NetworkSecurityGroup {
            resource: body::in_location(&self.location),
            properties: Some(NetworkSecurityGroupPropertiesFormat::default()),
            ..NetworkSecurityGroup::default()
        });
        // Set here, because the model would leave an empty list out.
        body["properties"]["securityRules"] = self.rules.iter().map(SecurityRuleInput::body).collect();
        body
    }

    fn update(&self, actual: &mut ArmObject) {
        set_rules(actual, &self.rules);
    }

    fn output(actual: &ArmObject) -> Result<ResourceOutput, ActionError> {
        Ok(actual.into())
    }
}

impl SecurityRuleInput {
    /// True if `other`, a rule as ARM returned it, has the name of this rule.
    fn is_named_like(&self, other: &Value) -> bool {
        other["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(self.name.as_str()))
    }

    /// Compares the rule with the one of its name in the group, as one difference.
    pub(super) fn diff(&self, group: &ArmObject) -> Option<Difference> {
        let desired = compared(&self.properties());
        let what = format!("rule {}", self.name);
        let Some(actual) = rules(group).iter().find(|other| self.is_named_like(other)) else {
            return Some(Difference::missing(what, desired));
        };
        let actual = compared(&actual["properties"]);
        let is_equal = desired.iter().all(|(name, value)| same_value(value, &actual[name]));
        (!is_equal).then(|| Difference::new(what, actual, desired))
    }

    /// Model of the rule's properties. Source ports are not restricted.
    fn model(&self) -> SecurityRulePropertiesFormat {
        let (protocol, access) = (self.protocol.into(), self.access.into());
        SecurityRulePropertiesFormat {
            source_address_prefix: Some(self.source.clone()),
            source_port_range: Some(any()),
            destination_address_prefix: Some(self.destination.clone()),
            destination_port_range: Some(self.destination_port.clone()),
            ..SecurityRulePropertiesFormat::new(protocol, access, self.priority.into(), self.direction.into())
        }
    }

    fn properties(&self) -> Value {
        body(&self.model())
    }

    fn body(&self) -> Value {
        let name = Some(self.name.to_string());
        body(&SecurityRule { name, properties: Some(self.model()), ..SecurityRule::default() })
    }
}

impl From<RuleDirection> for SecurityRuleDirection {
    fn from(direction: RuleDirection) -> Self {
        match direction {
            RuleDirection::Inbound => Self::Inbound,
            RuleDirection::Outbound => Self::Outbound,
        }
    }
}

impl From<RuleAccess> for SecurityRuleAccess {
    fn from(access: RuleAccess) -> Self {
        match access {
            RuleAccess::Allow => Self::Allow,
            RuleAccess::Deny => Self::Deny,
        }
    }
}

impl From<RuleProtocol> for security_rule_properties_format::Protocol {
    fn from(protocol: RuleProtocol) -> Self {
        match protocol {
            RuleProtocol::Any => Self::U2a, // the generated name of "*"
            RuleProtocol::Tcp => Self::Tcp,
            RuleProtocol::Udp => Self::Udp,
            RuleProtocol::Icmp => Self::Icmp,
        }
    }
}

/// Makes a group have the desired rules. Its rules of other names are kept.
pub(super) fn set_rules(group: &mut ArmObject, desired: &[SecurityRuleInput]) {
    let mut rules = rules(group).to_vec();
    for rule in desired {
        match rules.iter_mut().find(|other| rule.is_named_like(other)) {
            Some(other) => merge(&mut other["properties"], rule.properties()),
            None => rules.push(rule.body()),
        }
    }
    group.body["properties"]["securityRules"] = rules.into();
}

/// Rules of a group that were added to it; Azure's default rules are in another list.
fn rules(group: &ArmObject) -> &[Value] {
    group.items("/properties/securityRules")
}

/// Compared properties of a rule; `null` for an absent one.
fn compared(properties: &Value) -> Map<String, Value> {
    COMPARED.iter().map(|name| ((*name).to_owned(), properties[*name].clone())).collect()
}

/// True if the values are equal, texts in any case: ARM returns enumerations in its own.
fn same_value(desired: &Value, actual: &Value) -> bool {
    match (desired.as_str(), actual.as_str()) {
        (Some(desired), Some(actual)) => desired.eq_ignore_ascii_case(actual),
        _ => desired == actual,
    }
}

/// Sets the desired properties of an existing rule. Others, such as its description, are kept.
fn merge(actual: &mut Value, desired: Value) {
    if let (Some(actual), Value::Object(desired)) = (actual.as_object_mut(), desired) {
        for plural in PLURAL_FORMS {
            actual.remove(plural);
        }
        actual.extend(desired);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn desired(rules: &Value) -> SecurityGroupInput {
        let input = json!({"resource_group": "g", "name": "nsg", "location": "westeurope", "rules": rules});
        serde_json::from_value(input).expect("input")
    }

    #[test]
    fn the_body_of_a_new_group_has_each_rule_with_all_its_properties() {
        let rules = json!([
            {"name": "ssh", "priority": 100, "direction": "inbound", "protocol": "tcp", "destination_port": "22"},
            {"name": "out", "priority": 200, "direction": "outbound", "access": "deny", "source": "10.0.0.0/8", "destination": "Internet"},
        ]);
        let expected = json!({"location": "westeurope", "properties": {"securityRules": [
            {"name": "ssh", "properties": {"priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp",
                "sourceAddressPrefix": "*", "sourcePortRange": "*",
                "destinationAddressPrefix": "*", "destinationPortRange": "22"}},
            {"name": "out", "properties": {"priority": 200, "direction": "Outbound", "access": "Deny", "protocol": "*",
                "sourceAddressPrefix": "10.0.0.0/8", "sourcePortRange": "*",
                "destinationAddressPrefix": "Internet", "destinationPortRange": "*"}},
        ]}});
        assert_eq!(desired(&rules).body(), expected);
    }

    #[test]
    fn a_group_without_rules_is_created_with_an_empty_list() {
        let expected = json!({"location": "westeurope", "properties": {"securityRules": []}});
        assert_eq!(desired(&json!([])).body(), expected);
    }
}
