use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::{
    ArmClient, ResourceId,
    arm::Condition,
    live::Live,
    name::{GroupName, Location, NetworkName},
    permission::{NETWORK_OPERATIONS, arm},
};

pub(crate) const SECURITY_GROUP: &str = "Microsoft.Network/networkSecurityGroups";

/// `azure.network_security_group.ensure`.
pub(crate) struct SecurityGroup(pub(crate) ArmClient);

/// How a network security group is to be. Rules of other names are left alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecurityGroupInput {
    /// Resource group of the security group.
    resource_group: GroupName,
    /// Name of the security group.
    name: NetworkName,
    /// Its region.
    location: Location,
    /// Rules that it is to have.
    rules: Vec<Rule>,
}

/// A rule of a security group.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Name of the rule.
    name: NetworkName,
    /// From 100 to 4096; the lowest that matches decides.
    #[schemars(range(min = 100, max = 4096))]
    priority: u16,
    /// Which packets it is for.
    direction: Direction,
    /// What becomes of them.
    #[serde(default)]
    access: Access,
    /// Their protocol.
    #[serde(default)]
    protocol: Protocol,
    /// Where they come from: a prefix, an address or a service tag; `*` for anywhere.
    #[serde(default = "any")]
    source: String,
    /// Where they go to: a prefix, an address or a service tag; `*` for anywhere.
    #[serde(default = "any")]
    destination: String,
    /// A port or a range such as `22` or `8000-8080`; `*` for all.
    #[serde(default = "any")]
    destination_port: String,
}

/// Which way packets go.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
enum Direction {
    /// To the machines.
    #[serde(rename = "inbound")]
    Inbound,
    /// From the machines.
    #[serde(rename = "outbound")]
    Outbound,
}

/// What becomes of packets.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Access {
    /// They pass.
    #[default]
    Allow,
    /// They are dropped.
    Deny,
}

/// The protocol of packets.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Protocol {
    /// Every protocol.
    #[default]
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP.
    Icmp,
}

/// A network security group.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SecurityGroupOutput {
    /// Resource id.
    pub id: String,
    /// Name of the security group.
    pub name: String,
}

fn any() -> String {
    "*".into()
}

impl SecurityGroup {
    fn id(&self, wanted: &SecurityGroupInput) -> ResourceId {
        self.0.group(&wanted.resource_group).resource(SECURITY_GROUP, &wanted.name)
    }
}

impl Resource for SecurityGroup {
    type Desired = SecurityGroupInput;
    type Actual = Live;
    type Output = SecurityGroupOutput;
    const NAME: &'static str = "azure.network_security_group.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Makes sure that a network security group has some rules, and leaves its others alone.";

    async fn read(&self, cx: &ActionContext, wanted: &SecurityGroupInput) -> Result<Option<Live>, ActionError> {
        self.0.get_settled(cx, &self.id(wanted)).await
    }

    fn diff(&self, wanted: &SecurityGroupInput, actual: Option<&Live>) -> Result<Vec<Difference>, ActionError> {
        let Some(live) = actual else {
            let names: Vec<&str> = wanted.rules.iter().map(|rule| rule.name.as_str()).collect();
            return Ok(vec![Difference::missing(self.id(wanted).label(), names.join(", "))]);
        };
        live.check_location(&wanted.location)?;
        let rules = wanted.rules.iter().filter_map(|rule| difference(rule, live));
        Ok(rules.chain(live.failed_state()).collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        wanted: &SecurityGroupInput,
        actual: Option<&Live>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let id = self.id(wanted);
        let Some(live) = actual else { return self.0.put(cx, &id, new(wanted), Some(Condition::Absent)).await };
        let mut body = live.body.clone();
        let mut rules = rules(live).to_vec();
        for rule in &wanted.rules {
            match rules.iter_mut().find(|other| is_named(other, rule)) {
                Some(live) => merge(&mut live["properties"], properties(rule)),
                None => rules.push(whole(rule)),
            }
        }
        body["properties"]["securityRules"] = rules.into();
        self.0.put(cx, &id, body, Condition::unchanged(live)).await
    }

    fn output(
        &self,
        _: &ActionContext,
        _: &SecurityGroupInput,
        live: &Live,
    ) -> Result<SecurityGroupOutput, ActionError> {
        Ok(SecurityGroupOutput { id: live.id(), name: live.name().into() })
    }

    async fn resume(&self, cx: &ActionContext, _: &SecurityGroupInput, checkpoint: Value) -> Result<(), ActionError> {
        self.0.resume(cx, checkpoint).await
    }
}

impl RequiredPermissions for SecurityGroup {
    const PERMISSIONS: &'static [Permission] = &[
        arm("Microsoft.Network/networkSecurityGroups/read"),
        arm("Microsoft.Network/networkSecurityGroups/write"),
        NETWORK_OPERATIONS,
    ];
}

fn rules(live: &Live) -> &[Value] {
    live.body.pointer("/properties/securityRules").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn is_named(live: &Value, rule: &Rule) -> bool {
    live["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(rule.name.as_str()))
}

/// What of a rule differs, as one difference.
fn difference(rule: &Rule, live: &Live) -> Option<Difference> {
    let wanted = properties(rule);
    let what = format!("rule {}", rule.name);
    let Some(live) = rules(live).iter().find(|live| is_named(live, rule)) else {
        return Some(Difference::missing(what, wanted));
    };
    let actual: Value = wanted
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| (key.clone(), live["properties"][key.as_str()].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let same = wanted.as_object().into_iter().flatten().all(|(key, value)| same(value, &actual[key.as_str()]));
    (!same).then(|| Difference::new(what, actual, wanted))
}

/// ARM answers enumerations in its own case.
fn same(wanted: &Value, actual: &Value) -> bool {
    match (wanted.as_str(), actual.as_str()) {
        (Some(wanted), Some(actual)) => wanted.eq_ignore_ascii_case(actual),
        _ => wanted == actual,
    }
}

fn properties(rule: &Rule) -> Value {
    let direction = match rule.direction {
        Direction::Inbound => "Inbound",
        Direction::Outbound => "Outbound",
    };
    let access = match rule.access {
        Access::Allow => "Allow",
        Access::Deny => "Deny",
    };
    let protocol = match rule.protocol {
        Protocol::Any => "*",
        Protocol::Tcp => "Tcp",
        Protocol::Udp => "Udp",
        Protocol::Icmp => "Icmp",
    };
    json!({
        "priority": rule.priority, "direction": direction, "access": access, "protocol": protocol,
        "sourceAddressPrefix": rule.source, "sourcePortRange": "*",
        "destinationAddressPrefix": rule.destination, "destinationPortRange": rule.destination_port,
    })
}

fn whole(rule: &Rule) -> Value {
    json!({ "name": rule.name, "properties": properties(rule) })
}

fn merge(into: &mut Value, from: Value) {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        // The plural forms would say something else beside the singular ones.
        for plural in
            ["sourceAddressPrefixes", "sourcePortRanges", "destinationAddressPrefixes", "destinationPortRanges"]
        {
            into.remove(plural);
        }
        into.extend(from);
    }
}

fn new(wanted: &SecurityGroupInput) -> Value {
    let rules: Vec<Value> = wanted.rules.iter().map(whole).collect();
    json!({ "location": wanted.location, "properties": { "securityRules": rules } })
}
