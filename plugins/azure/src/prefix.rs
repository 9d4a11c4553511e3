use std::{borrow::Cow, fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// An address prefix such as `10.50.0.0/16`, without host bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Prefix(IpNet);

/// The text is no prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PrefixError {
    /// It cannot be read at all.
    #[error("{0:?} is no address prefix: expected a form like 10.50.0.0/16")]
    Malformed(String),
    /// It names an address inside the prefix.
    #[error("{given} has host bits set; the prefix is {meant}")]
    HostBits {
        /// As it was given.
        given: IpNet,
        /// What it lies in.
        meant: IpNet,
    },
}

impl Prefix {
    /// Whether the two share an address.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.contains(other) || other.contains(self)
    }

    /// Whether all of `other` lies in this.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }

    /// The first host address: where Azure puts a subnet's gateway.
    pub(crate) fn gateway(&self) -> Option<IpAddr> {
        self.0.hosts().next()
    }

    /// The prefix as a part of a name: `10.50.0.0-16`, and hyphens for the colons of IPv6.
    pub(crate) fn name_part(&self) -> String {
        self.to_string().replace(['/', ':'], "-")
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let given: IpNet = text.parse().map_err(|_| PrefixError::Malformed(text.into()))?;
        let meant = given.trunc();
        if given == meant { Ok(Self(given)) } else { Err(PrefixError::HostBits { given, meant }) }
    }
}

impl TryFrom<String> for Prefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Self, PrefixError> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

impl JsonSchema for Prefix {
    fn schema_name() -> Cow<'static, str> {
        "Prefix".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "cidr" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_refused_with_what_was_meant() {
        let error = "10.50.1.6/16".parse::<Prefix>().expect_err("host bits");
        assert_eq!(error.to_string(), "10.50.1.6/16 has host bits set; the prefix is 10.50.0.0/16");
    }

    #[test]
    fn the_gateway_is_the_first_host() {
        let prefix: Prefix = "10.237.0.0/24".parse().expect("prefix");
        assert_eq!(prefix.gateway(), Some("10.237.0.1".parse().expect("address")));
    }

    #[test]
    fn one_inside_the_other_overlaps_both_ways() {
        let [wide, narrow, apart] =
            ["10.224.0.0/16", "10.224.250.0/24", "10.237.0.0/24"].map(|p| p.parse::<Prefix>().expect("prefix"));
        assert!(wide.overlaps(&narrow) && narrow.overlaps(&wide) && !wide.overlaps(&apart));
    }
}
