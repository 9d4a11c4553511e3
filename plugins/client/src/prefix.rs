use std::{borrow::Cow, fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use stargate_sdk::ActionError;

/// An IP network such as `10.50.0.0/16` or `fd00::/64`, without host bits.
///
/// Parsing refuses host bits: Azure, Tailscale and the kernel do, and a rounded prefix would not be
/// the requested one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix(IpNet);

/// A text that is not a [`Prefix`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// The text has another form.
    #[error("{0:?} is not an address prefix: expected a form like 10.50.0.0/16")]
    Malformed(String),
    /// The text is an address inside the prefix.
    #[error("{given} has host bits set; the prefix is {prefix}")]
    HostBits {
        /// The network as it was given.
        given: IpNet,
        /// The network without the host bits.
        prefix: IpNet,
    },
}

impl Prefix {
    /// Accepts a network without host bits.
    ///
    /// # Errors
    /// [`PrefixError::HostBits`].
    pub fn new(net: IpNet) -> Result<Self, PrefixError> {
        let prefix = net.trunc();
        if net == prefix { Ok(Self(net)) } else { Err(PrefixError::HostBits { given: net, prefix }) }
    }

    /// The network, for arithmetic.
    pub fn net(self) -> IpNet {
        self.0
    }

    /// True if the two have an address in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other) || other.contains(self)
    }

    /// True if each address of `other` is one of this prefix.
    pub fn contains(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }

    /// True if `address` is one of this prefix.
    pub fn contains_address(self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// The first host address, which Azure gives to a subnet's gateway.
    pub fn first_host(self) -> Option<IpAddr> {
        self.0.hosts().next()
    }

    /// The prefixes of length `length` in this one, in ascending order; `None` if the length does
    /// not fit.
    pub fn subnets(self, length: u8) -> Option<impl Iterator<Item = Self>> {
        Some(self.0.subnets(length).ok()?.map(Self))
    }

    /// The prefix as a part of a name: `10.50.0.0-16`, with hyphens for the colons of IPv6.
    pub fn name_part(self) -> String {
        self.to_string().replace(['/', ':'], "-")
    }
}

/// Accepts networks without host bits; `noun` names one of them in the error, such as `route`.
///
/// For inputs that are parsed as plain networks, so that the error has a hint.
///
/// # Errors
/// `Permanent` for the first one with host bits; the hint is the prefix to write.
pub fn check_prefixes(noun: &str, nets: impl IntoIterator<Item = IpNet>) -> Result<Vec<Prefix>, ActionError> {
    let check = |net: IpNet| {
        Prefix::new(net).map_err(|_| {
            ActionError::permanent(format!("{noun} {net} has host bits set"))
                .with_hint(format!("write {}", net.trunc()))
        })
    };
    nets.into_iter().map(check).collect()
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        Self::new(text.parse().map_err(|_| PrefixError::Malformed(text.into()))?)
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

    fn prefix(text: &str) -> Prefix {
        text.parse().expect("prefix")
    }

    #[test]
    fn host_bits_are_refused_with_the_prefix() {
        let error = "10.50.1.6/16".parse::<Prefix>().expect_err("host bits");
        assert_eq!(error.to_string(), "10.50.1.6/16 has host bits set; the prefix is 10.50.0.0/16");
        let error = "fd00::1/64".parse::<Prefix>().expect_err("host bits");
        assert_eq!(error.to_string(), "fd00::1/64 has host bits set; the prefix is fd00::/64");
    }

    #[test]
    fn a_list_is_refused_with_what_to_write() {
        let nets = ["10.1.0.0/16", "10.2.0.5/16"].map(|text| text.parse().expect("network"));
        let error = check_prefixes("route", nets).expect_err("host bits");
        assert_eq!(error.message, "route 10.2.0.5/16 has host bits set");
        assert_eq!(error.hint.as_deref(), Some("write 10.2.0.0/16"));
        assert_eq!(check_prefixes("route", [nets[0]]), Ok(vec![prefix("10.1.0.0/16")]));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "10.50.0.0", "10.50.0.0/33", "10.50.0/16", "fd00::/129", "x/8"] {
            assert_eq!(text.parse::<Prefix>(), Err(PrefixError::Malformed(text.into())));
        }
    }

    #[test]
    fn the_first_host_follows_the_networks_address() {
        assert_eq!(prefix("10.237.0.0/24").first_host(), Some("10.237.0.1".parse().expect("address")));
    }

    #[test]
    fn one_prefix_inside_another_overlaps_in_both_directions() {
        let [wide, narrow, apart] = ["10.224.0.0/16", "10.224.250.0/24", "10.237.0.0/24"].map(prefix);
        assert!(wide.overlaps(narrow) && narrow.overlaps(wide) && !wide.overlaps(apart));
        assert!(!prefix("::/0").overlaps(prefix("0.0.0.0/0")), "two protocols");
        assert!(wide.contains_address("10.224.1.1".parse().expect("address")));
    }

    #[test]
    fn subnets_are_of_the_length_and_in_order() {
        let texts =
            |length| prefix("10.0.0.0/23").subnets(length).map(|nets| nets.map(String::from).collect::<Vec<_>>());
        assert_eq!(texts(24), Some(vec!["10.0.0.0/24".to_owned(), "10.0.1.0/24".to_owned()]));
        assert_eq!(texts(8), None);
    }

    #[test]
    fn json_has_the_text() {
        assert_eq!(serde_json::to_string(&prefix("10.0.0.0/8")).expect("JSON"), r#""10.0.0.0/8""#);
        let error = serde_json::from_str::<Prefix>(r#""10.0.0.1/8""#).expect_err("host bits");
        assert!(error.to_string().starts_with("10.0.0.1/8 has host bits set"), "{error}");
    }
}
