use std::{borrow::Cow, fmt, str::FromStr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use stargate_sdk::ActionError;

use crate::client::{GroupName, NetworkName, RESOURCE_GROUP, ResourceType, SubscriptionId};

/// Characters that are percent-encoded: all but the unreserved ones of RFC 3986, section 2.3, and
/// the parentheses that names of resource groups can contain.
const SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'(').remove(b')');

/// Encodes `text` as one segment of a URL's path.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// Id of a resource or a resource group, checked part by part.
///
/// Ids that differ in case only are equal, as in ARM. An id that was built from a [`ResourceType`]
/// can be requested and has a noun; one that was parsed has neither until [`Self::with_type`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ResourceId {
    subscription: SubscriptionId,
    group: GroupName,
    /// Namespace, then pairs of type and name; `None` for the group itself.
    resource: Option<(String, Vec<(String, String)>)>,
    resource_type: Option<ResourceType>,
}

/// Text that is not a resource id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a resource id: expected /subscriptions/…/resourceGroups/…/providers/…/type/name")]
pub(crate) struct ResourceIdError(String);

impl ResourceId {
    /// Returns the id of a resource group.
    pub(crate) fn of_group(subscription: &SubscriptionId, group: &GroupName) -> Self {
        let (subscription, group) = (subscription.clone(), group.clone());
        Self { subscription, group, resource: None, resource_type: Some(RESOURCE_GROUP) }
    }

    /// Returns the id of a resource of this id's group, such as a route table.
    pub(crate) fn resource(&self, resource_type: ResourceType, name: impl fmt::Display) -> Self {
        let (namespace, segment) = resource_type.namespace();
        let resource = Some((namespace.into(), vec![(segment.into(), name.to_string())]));
        Self { resource, resource_type: Some(resource_type), ..self.clone() }
    }

    /// Returns the id of a child of this resource, such as a subnet of a virtual network.
    ///
    /// # Panics
    /// If this is the id of a group: an error of the program.
    pub(crate) fn child(&self, resource_type: ResourceType, name: impl fmt::Display) -> Self {
        let mut child = Self { resource_type: Some(resource_type), ..self.clone() };
        let (_, segments) = child.resource.as_mut().expect("only resources have children");
        let segment = resource_type.kind.rsplit('/').next().unwrap_or_default();
        segments.push((segment.into(), name.to_string()));
        child
    }

    /// Returns the id of the parent, which has no type; of a resource without parent, the id
    /// itself.
    pub(crate) fn parent(&self) -> Self {
        let mut parent = self.clone();
        if let Some((_, segments)) = parent.resource.as_mut().filter(|(_, segments)| segments.len() > 1) {
            segments.pop();
            parent.resource_type = None;
        }
        parent
    }

    /// Adds `resource_type`, if the id is of that kind; otherwise returns the id unchanged.
    #[must_use]
    pub(crate) fn with_type(mut self, resource_type: ResourceType) -> Self {
        if self.is(resource_type.kind) {
            self.resource_type = Some(resource_type);
        }
        self
    }

    /// API version for requests to the resource; `None` if the id has no type.
    pub(crate) fn api_version(&self) -> Option<&'static str> {
        self.resource_type.map(|it| it.api_version)
    }

    /// Name of the resource group.
    pub(crate) fn group(&self) -> &GroupName {
        &self.group
    }

    /// Last name in the id: that of the resource itself.
    pub(crate) fn name(&self) -> &str {
        match &self.resource {
            Some((_, segments)) => segments.last().map_or("", |(_, name)| name),
            None => self.group.as_str(),
        }
    }

    /// Namespace and types, such as `Microsoft.Network/virtualNetworks/subnets`, in the id's
    /// spelling.
    pub(crate) fn kind(&self) -> String {
        match &self.resource {
            Some((namespace, segments)) => {
                segments.iter().fold(namespace.clone(), |kind, (segment, _)| format!("{kind}/{segment}"))
            }
            None => RESOURCE_GROUP.kind.into(),
        }
    }

    /// True if the resource is of this kind, in any spelling.
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kind().eq_ignore_ascii_case(kind)
    }

    /// Checks that the id, which the input `input` refers to, is that of a resource of this type.
    ///
    /// # Errors
    /// `Permanent`, with the input, the id and the noun of the type.
    pub(crate) fn check_type(&self, input: &str, resource_type: ResourceType) -> Result<(), ActionError> {
        if self.is(resource_type.kind) {
            return Ok(());
        }
        Err(ActionError::permanent(format!("{input} is {self}, which is not a {}", resource_type.noun)))
    }

    /// Noun and name for messages, such as `route table "x"`; the kind instead of the noun if the
    /// id has no type.
    pub(crate) fn label(&self) -> String {
        match self.resource_type {
            Some(resource_type) => format!("{} {:?}", resource_type.noun, self.name()),
            None => format!("{} {:?}", self.kind(), self.name()),
        }
    }

    /// Text that is equal for each spelling of this id.
    pub(crate) fn key(&self) -> String {
        self.to_string().to_lowercase()
    }

    /// Path of the resource in a URL, percent-encoded.
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

/// Parses an id; `None` if a part is not valid.
fn parse(text: &str) -> Option<ResourceId> {
    let mut parts = text.strip_prefix('/')?.split('/');
    let subscription = SubscriptionId::parse(keyword(&mut parts, "subscriptions")?).ok()?;
    let group = GroupName::parse(keyword(&mut parts, "resourceGroups")?).ok()?;
    let rest: Vec<&str> = parts.collect();
    let resource = match rest.split_first() {
        None => None,
        Some((providers, rest)) if providers.eq_ignore_ascii_case("providers") => Some(parse_resource(rest)?),
        Some(_) => return None,
    };
    let resource_type = if resource.is_none() { Some(RESOURCE_GROUP) } else { None };
    Some(ResourceId { subscription, group, resource, resource_type })
}

/// Value that follows the keyword, which ARM writes in any case.
fn keyword<'a>(parts: &mut impl Iterator<Item = &'a str>, word: &str) -> Option<&'a str> {
    parts.next().filter(|part| part.eq_ignore_ascii_case(word))?;
    parts.next()
}

/// Parses namespace, types and names. A name that follows the rule is one segment of a path.
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
    fn an_id_is_parsed_and_written_again_unchanged() {
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
    fn an_id_that_would_change_the_path_of_a_url_is_refused() {
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

    const SUBNETS: ResourceType =
        ResourceType { kind: "Microsoft.Network/virtualNetworks/subnets", api_version: "2024-01-01", noun: "subnet" };

    #[test]
    fn a_parsed_id_gets_noun_and_version_from_its_type_only() {
        let id: ResourceId = SUBNET.parse().expect("id");
        assert_eq!(id.label(), "Microsoft.Network/virtualNetworks/subnets \"s\"");
        assert_eq!((id.clone().with_type(RESOURCE_GROUP).api_version(), id.api_version()), (None, None));
        let id = id.with_type(SUBNETS);
        assert_eq!((id.label().as_str(), id.api_version()), ("subnet \"s\"", Some("2024-01-01")));
        assert_eq!(id.parent().api_version(), None, "the type is the subnet's");
        assert_eq!(id.parent().child(SUBNETS, "s"), id);
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
