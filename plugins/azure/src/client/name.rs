use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Name that Azure would refuse, or that would change the path of a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?} is not valid: {rule}")]
pub struct NameError {
    what: &'static str,
    name: String,
    rule: &'static str,
}

// One name type per rule of
// https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules: a parsed
// name is one segment of a path.
macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $pattern:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub(crate) struct $name(String);

        impl $name {
            /// Checks `name` against Azure's rule.
            ///
            /// # Errors
            /// With the rule, if the name breaks it.
            pub(crate) fn parse(name: impl Into<String>) -> Result<Self, NameError> {
                let name = name.into();
                let valid: fn(&str) -> bool = $valid;
                if valid(&name) { Ok(Self(name)) } else { Err(NameError { what: $what, name, rule: $rule }) }
            }

            /// Returns the name as text.
            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                Self::parse(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

name_type!(
    /// Id of a subscription, a GUID.
    SubscriptionId, "subscription", "it must be a GUID",
    "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
    is_guid
);
name_type!(
    /// Name of a resource group.
    GroupName, "resource group",
    "1 to 90 letters, digits, underscores, parentheses, hyphens and periods, not ending in a period",
    r"^[\w().-]{0,89}[\w()-]$",
    |name| name.chars().count() <= 90 && !name.ends_with('.') && all(name, |c| c.is_alphanumeric() || "_().-".contains(c))
);
name_type!(
    /// Name of a subnet, network interface, public address, security group, route table or route.
    NetworkName, "name",
    "1 to 80 letters, digits, underscores, periods and hyphens, starting with a letter or digit and ending with one or an underscore",
    "^[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,78}[a-zA-Z0-9_])?$",
    |name| name.len() <= 80 && is_network_name(name)
);
name_type!(
    /// Name of a virtual network.
    VnetName, "virtual network",
    "2 to 64 letters, digits, underscores, periods and hyphens, starting with a letter or digit and ending with one or an underscore",
    "^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}[a-zA-Z0-9_]$",
    |name| (2..=64).contains(&name.len()) && is_network_name(name)
);
name_type!(
    /// Name of a Linux virtual machine, which is also its host name.
    VmName, "virtual machine",
    "1 to 64 letters, digits, periods and hyphens, starting and ending with a letter or digit",
    "^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,62}[a-zA-Z0-9])?$",
    |name| name.len() <= 64 && starts_and_ends(name, alphanumeric, alphanumeric) && all(name, |c| alphanumeric(c) || ".-".contains(c))
);
name_type!(
    /// Name of an AKS cluster.
    ClusterName, "cluster",
    "1 to 63 letters, digits, underscores and hyphens, starting and ending with a letter or digit",
    "^[a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?$",
    |name| name.len() <= 63 && starts_and_ends(name, alphanumeric, alphanumeric) && all(name, |c| alphanumeric(c) || "_-".contains(c))
);
name_type!(
    /// Region, written as `westeurope` or `West Europe`.
    Location, "location", "1 to 60 letters, digits and spaces",
    "^[a-zA-Z0-9][a-zA-Z0-9 ]{0,59}$",
    |name| name.len() <= 60 && starts_and_ends(name, alphanumeric, |_| true) && all(name, |c| alphanumeric(c) || c == ' ')
);

name_type!(
    /// Value of the tag `stargate-owner`: the deployment and the site for which a resource was
    /// created, such as `my-group/my-cluster/lyon`.
    Owner, "owner", "1 to 256 visible ASCII characters",
    "^[!-~]{1,256}$",
    |name| name.len() <= 256 && all(name, |c| c.is_ascii_graphic())
);

impl Location {
    /// True if `other` is the same region in any spelling: ARM returns `westeurope` for `West
    /// Europe`.
    pub(crate) fn is(&self, other: &str) -> bool {
        let plain = |text: &str| text.replace(' ', "").to_ascii_lowercase();
        plain(&self.0) == plain(other)
    }
}

/// True if the text is not empty and has allowed characters only.
fn all(name: &str, allowed: impl Fn(char) -> bool) -> bool {
    !name.is_empty() && name.chars().all(allowed)
}

fn alphanumeric(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

fn starts_and_ends(name: &str, start: impl Fn(char) -> bool, end: impl Fn(char) -> bool) -> bool {
    name.starts_with(start) && name.ends_with(end)
}

/// True if the text has the characters that names of network resources can have.
fn is_network_name(name: &str) -> bool {
    starts_and_ends(name, alphanumeric, |c| alphanumeric(c) || c == '_')
        && all(name, |c| alphanumeric(c) || "_.-".contains(c))
}

/// True if the text has the form 8-4-4-4-12 in hexadecimal digits, in any case.
fn is_guid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_real_resources_are_accepted() {
        assert!(GroupName::parse("MC_e2e-7_aks-e2e-7_westeurope").is_ok());
        assert!(GroupName::parse("gruppe-größe(1)").is_ok());
        assert!(NetworkName::parse("stargate-10.50.0.0-16").is_ok());
        assert!(VnetName::parse("aks-vnet-12345678").is_ok());
        assert!(VmName::parse("aks-router").is_ok());
        assert!(SubscriptionId::parse("00000000-0000-0000-0000-000000000000").is_ok());
    }

    #[test]
    fn a_name_that_would_change_the_path_of_a_url_is_refused() {
        for name in ["", ".", "..", "../../../../providers/X", "a/b", "a?b", "a#b", "a%2fb", "a b", "a\n"] {
            assert!(GroupName::parse(name).is_err(), "group {name:?}");
            assert!(NetworkName::parse(name).is_err(), "network {name:?}");
            assert!(VmName::parse(name).is_err(), "machine {name:?}");
            assert!(ClusterName::parse(name).is_err(), "cluster {name:?}");
            assert!(SubscriptionId::parse(name).is_err(), "subscription {name:?}");
        }
    }

    #[test]
    fn a_region_is_the_same_in_either_spelling() {
        let location = Location::parse("West Europe").expect("valid");
        assert!(location.is("westeurope") && !location.is("northeurope"));
    }

    proptest! {
        #[test]
        fn an_accepted_name_is_one_segment_of_a_url(name in any::<String>()) {
            let accepted = [
                GroupName::parse(name.clone()).is_ok(),
                NetworkName::parse(name.clone()).is_ok(),
                VnetName::parse(name.clone()).is_ok(),
                VmName::parse(name.clone()).is_ok(),
                ClusterName::parse(name.clone()).is_ok(),
                SubscriptionId::parse(name.clone()).is_ok(),
            ];
            if accepted.contains(&true) {
                let encoded = crate::client::resource_id::encode(&name);
                let url = url::Url::parse(&format!("http://arm/before/{encoded}/after?x=1")).expect("URL");
                let segments: Vec<&str> = url.path_segments().expect("path").collect();
                prop_assert_eq!(segments.len(), 3);
                prop_assert_eq!(percent_encoding::percent_decode_str(segments[1]).decode_utf8_lossy(), name);
                prop_assert_eq!(url.query(), Some("x=1"));
            }
        }

        #[test]
        fn names_of_allowed_characters_are_accepted_by_azures_rule(name in "[a-zA-Z0-9_.-]{1,82}") {
            let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
            let last = name.chars().last().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
            prop_assert_eq!(NetworkName::parse(name.clone()).is_ok(), first && last && name.len() <= 80);
        }
    }
}
