use std::{borrow::Cow, fmt, str::FromStr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::name::{GroupName, NetworkName, Subscription};

/// The unreserved characters of RFC 3986 and the parentheses that resource groups may have stay as they are.
const SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'(').remove(b')');

/// `text` as one segment of a URL's path.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// Id of a resource or a resource group, checked part by part; ids that differ in case only are equal, as in ARM.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ResourceId {
    subscription: Subscription,
    group: GroupName,
    /// Namespace, then pairs of type and name; `None` for the group itself.
    resource: Option<(String, Vec<(String, String)>)>,
}

/// The text is no resource id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no resource id: expected /subscriptions/…/resourceGroups/…/providers/…/type/name")]
pub(crate) struct ResourceIdError(String);

impl ResourceId {
    /// Id of a resource group.
    pub(crate) fn of_group(subscription: &Subscription, group: &GroupName) -> Self {
        Self { subscription: subscription.clone(), group: group.clone(), resource: None }
    }

    /// Id of the resource of type `kind` and that name in this resource's group. `kind` is ours, such as `Microsoft.Network/routeTables`.
    pub(crate) fn resource(&self, kind: &'static str, name: impl fmt::Display) -> Self {
        let (namespace, kind) = kind.split_once('/').expect("a type has a namespace");
        Self { resource: Some((namespace.into(), vec![(kind.into(), name.to_string())])), ..self.clone() }
    }

    /// Id of a child, such as a subnet of this virtual network.
    pub(crate) fn child(&self, kind: &'static str, name: impl fmt::Display) -> Self {
        let mut child = self.clone();
        let (_, segments) = child.resource.as_mut().expect("only resources have children");
        segments.push((kind.into(), name.to_string()));
        child
    }

    /// Id of the resource that this is a child of; itself for one without a parent.
    pub(crate) fn parent(&self) -> Self {
        let mut parent = self.clone();
        if let Some((_, segments)) = parent.resource.as_mut().filter(|(_, segments)| segments.len() > 1) {
            segments.pop();
        }
        parent
    }

    /// The resource group.
    pub(crate) fn group(&self) -> &GroupName {
        &self.group
    }

    /// The last name in the id.
    pub(crate) fn name(&self) -> &str {
        match &self.resource {
            Some((_, segments)) => segments.last().map_or("", |(_, name)| name),
            None => self.group.as_str(),
        }
    }

    /// Namespace and type, such as `Microsoft.Network/virtualNetworks/subnets`.
    pub(crate) fn kind(&self) -> String {
        match &self.resource {
            Some((namespace, segments)) => {
                segments.iter().fold(namespace.clone(), |kind, (segment, _)| format!("{kind}/{segment}"))
            }
            None => "Microsoft.Resources/resourceGroups".into(),
        }
    }

    /// Whether this is of type `kind`.
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kind().eq_ignore_ascii_case(kind)
    }

    /// The resource in words, for messages: `route table "x"`.
    pub(crate) fn label(&self) -> String {
        format!("{} {:?}", noun(&self.kind()), self.name())
    }

    /// The same for every spelling of this id.
    pub(crate) fn key(&self) -> String {
        self.to_string().to_lowercase()
    }

    /// The id as a URL's path.
    pub(crate) fn path(&self) -> String {
        self.to_string().split('/').map(encode).collect::<Vec<_>>().join("/")
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for ResourceId {}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/subscriptions/{}/resourceGroups/{}", self.subscription, self.group)?;
        if let Some((namespace, segments)) = &self.resource {
            write!(f, "/providers/{namespace}")?;
            segments.iter().try_for_each(|(kind, name)| write!(f, "/{kind}/{name}"))?;
        }
        Ok(())
    }
}

impl FromStr for ResourceId {
    type Err = ResourceIdError;

    fn from_str(text: &str) -> Result<Self, ResourceIdError> {
        parse(text).ok_or_else(|| ResourceIdError(text.into()))
    }
}

impl TryFrom<String> for ResourceId {
    type Error = ResourceIdError;

    fn try_from(text: String) -> Result<Self, ResourceIdError> {
        text.parse()
    }
}

impl From<ResourceId> for String {
    fn from(id: ResourceId) -> Self {
        id.to_string()
    }
}

impl JsonSchema for ResourceId {
    fn schema_name() -> Cow<'static, str> {
        "ResourceId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^/[sS]ubscriptions/[^/]+/[rR]esource[gG]roups/[^/]+" })
    }
}

fn noun(kind: &str) -> &str {
    match kind.rsplit('/').next().unwrap_or(kind).to_ascii_lowercase().as_str() {
        "resourcegroups" => "resource group",
        "managedclusters" => "cluster",
        "virtualnetworks" => "virtual network",
        "subnets" => "subnet",
        "publicipaddresses" => "public address",
        "networkinterfaces" => "network interface",
        "virtualmachines" => "virtual machine",
        "virtualmachinescalesets" => "scale set",
        "routetables" => "route table",
        "routes" => "route",
        "networksecuritygroups" => "network security group",
        "natgateways" => "NAT gateway",
        _ => kind,
    }
}

fn parse(text: &str) -> Option<ResourceId> {
    let mut parts = text.strip_prefix('/')?.split('/');
    let subscription = Subscription::parse(keyword(&mut parts, "subscriptions")?).ok()?;
    let group = GroupName::parse(keyword(&mut parts, "resourceGroups")?).ok()?;
    let rest: Vec<&str> = parts.collect();
    let resource = match rest.split_first() {
        None => None,
        Some((providers, rest)) if providers.eq_ignore_ascii_case("providers") => Some(parse_resource(rest)?),
        Some(_) => return None,
    };
    Some(ResourceId { subscription, group, resource })
}

fn keyword<'a>(parts: &mut impl Iterator<Item = &'a str>, word: &str) -> Option<&'a str> {
    parts.next().filter(|part| part.eq_ignore_ascii_case(word))?;
    parts.next()
}

fn parse_resource(parts: &[&str]) -> Option<(String, Vec<(String, String)>)> {
    let (namespace, rest) = parts.split_first()?;
    let word = |text: &str| {
        !text.is_empty() && text.split('.').all(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    let pairs = rest.chunks_exact(2);
    let whole = pairs.remainder().is_empty() && !rest.is_empty() && word(namespace);
    let segments: Option<Vec<_>> = pairs
        .map(|pair| (word(pair[0]) && NetworkName::parse(pair[1]).is_ok()).then(|| (pair[0].into(), pair[1].into())))
        .collect();
    segments.filter(|_| whole).map(|segments| ((*namespace).to_owned(), segments))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SUBNET: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/s";

    #[test]
    fn an_id_is_taken_apart_and_put_together_again() {
        let id: ResourceId = SUBNET.parse().expect("id");
        assert_eq!(id.to_string(), SUBNET);
        assert_eq!((id.name(), id.group().as_str()), ("s", "g"));
        assert!(id.is("microsoft.network/virtualnetworks/SUBNETS"));
        assert_eq!(id.parent().name(), "v");
    }

    #[test]
    fn ids_are_equal_in_any_case() {
        let id: ResourceId = SUBNET.parse().expect("id");
        assert_eq!(id, SUBNET.to_uppercase().parse().expect("id"));
        assert_ne!(id, id.parent());
    }

    #[test]
    fn an_id_that_would_lead_elsewhere_is_refused() {
        let group = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g";
        for rest in [
            "/../x",
            "/providers",
            "/providers/N/t",
            "/providers/N/t/..",
            "/providers/N/t/a?x=1",
            "/providers/N/t/a/",
            "/providers/N/t/%2e%2e",
        ] {
            assert!(format!("{group}{rest}").parse::<ResourceId>().is_err(), "{rest}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_what_parses_round_trips(text in "(/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/)?[ -~]{0,60}") {
            if let Ok(id) = text.parse::<ResourceId>() {
                prop_assert_eq!(id.to_string().to_lowercase(), text.to_lowercase());
            }
        }
    }
}
