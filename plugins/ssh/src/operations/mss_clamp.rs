use serde::Deserialize;
use serde_json::Value;
use stargate_sdk::ActionError;

use crate::client::{NOT_INSTALLED, Remote, RemoteCommand};

use super::file;

/// Network device of tailscaled.
const DEVICE: &str = "tailscale0";
/// The managed nftables table. tailscaled, kubelet and iptables have tables of their own and do not
/// flush others.
const TABLE: [&str; 2] = ["inet", "stargate_mss_clamp"];
/// The nftables program, which is on root's PATH.
const NFT: &str = "nft";
/// Systemd unit that loads the rules, also at boot.
pub(crate) const UNIT: &str = "stargate-mss-clamp.service";
/// Path of the unit's file.
pub(crate) const UNIT_PATH: &str = "/etc/systemd/system/stargate-mss-clamp.service";
/// Path of the rules that the unit loads.
pub(crate) const RULES_PATH: &str = "/etc/stargate/mss-clamp.nft";

/// Actual state of the MSS clamp in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clamped {
    /// Exactly the managed rules are loaded, which clamp in both directions.
    BothDirections,
    /// The managed table exists with other rules.
    OtherRules,
    /// The managed table does not exist.
    Absent,
}

impl Clamped {
    /// Text for differences.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BothDirections => "both directions",
            Self::OtherRules => "other rules",
            Self::Absent => "not clamped",
        }
    }
}

/// Reads the managed table from the kernel.
///
/// # Errors
/// If nftables is not installed or prints something unexpected.
pub(crate) async fn read(remote: &Remote<'_>) -> Result<Clamped, ActionError> {
    let list = RemoteCommand::read(NFT).args(["-j", "list", "table"]).args(TABLE).with_root();
    let listed = file::read_with(remote, list).await.map_err(|error| match error.code.as_deref() {
        Some(NOT_INSTALLED) => error.with_hint("install the package nftables on the host"),
        _ => error,
    })?;
    let Some(listed) = listed else { return Ok(Clamped::Absent) };
    let listing: NftListing = serde_json::from_str(&listed)
        .map_err(|e| remote.context(ActionError::permanent(format!("nft: the output is not as expected: {e}"))))?;
    Ok(if listing.is_managed() { Clamped::BothDirections } else { Clamped::OtherRules })
}

/// Text of the rules, which replaces the managed table in one transaction.
///
/// A segment must fit into the path in both directions. For `rt mtu` the kernel uses the smaller
/// MTU of both routes, so that packets from the tunnel are clamped to its MTU as well as packets
/// into it. The size is only ever lowered.
pub(crate) fn rules() -> String {
    let table = TABLE.join(" ");
    let clamp = format!("\"{DEVICE}\" tcp flags syn tcp option maxseg size set rt mtu");
    format!(
        "# Kept by stargate: TCP's segments fit into the tunnel.
table {table}
delete table {table}
table {table} {{
\tchain forward {{
\t\ttype filter hook forward priority mangle; policy accept;
\t\tiifname {clamp}
\t\toifname {clamp}
\t}}
}}
"
    )
}

/// Text of the unit. systemd requires a full path, which is the same on Debian, Ubuntu and Red Hat.
/// A restart of nftables' own unit flushes all tables; `PartOf` restarts this unit with it.
pub(crate) fn unit() -> String {
    format!(
        "# Kept by stargate: TCP's segments fit into the tunnel after a reboot, too.
[Unit]
Description=MSS clamp kept by stargate
After=nftables.service
PartOf=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {RULES_PATH}

[Install]
WantedBy=multi-user.target
"
    )
}

/// The part of the output of `nft -j list table` that is compared.
#[derive(Deserialize)]
struct NftListing {
    nftables: Vec<NftItem>,
}

#[derive(Deserialize)]
struct NftItem {
    chain: Option<NftChain>,
    rule: Option<NftRule>,
}

#[derive(Deserialize)]
struct NftChain {
    hook: Option<String>,
}

#[derive(Deserialize)]
struct NftRule {
    expr: Vec<Value>,
}

impl NftListing {
    /// True if the table contains exactly the managed rules.
    fn is_managed(&self) -> bool {
        let chains: Vec<&NftChain> = self.nftables.iter().filter_map(|item| item.chain.as_ref()).collect();
        let rules: Vec<&NftRule> = self.nftables.iter().filter_map(|item| item.rule.as_ref()).collect();
        let [chain] = chains.as_slice() else { return false };
        let [first, second] = rules.as_slice() else { return false };
        chain.hook.as_deref() == Some("forward") && first.clamps("iifname") && second.clamps("oifname")
    }
}

impl NftRule {
    /// True if the rule has exactly the three expressions of the clamp: a further one would
    /// restrict it.
    fn clamps(&self, direction: &str) -> bool {
        let [device, flags, size] = self.expr.as_slice() else { return false };
        let is = |value: &Value, pointer: &str, expected: &str| value.pointer(pointer).is_some_and(|v| v == expected);
        is(device, "/match/left/meta/key", direction)
            && is(device, "/match/right", DEVICE)
            && is(flags, "/match/left/payload/field", "flags")
            && is(flags, "/match/right", "syn")
            && is(size, "/mangle/key/tcp option/name", "maxseg")
            && is(size, "/mangle/value/rt/key", "mtu")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Output of nft 1.1.3; that of 1.0.6 differs in the version only.
    const LISTED: &str = r#"{"nftables": [{"metainfo": {"version": "1.1.3", "release_name": "Commodore Bullmoose #4", "json_schema_version": 1}},
        {"table": {"family": "inet", "name": "stargate_mss_clamp", "handle": 2}},
        {"chain": {"family": "inet", "table": "stargate_mss_clamp", "name": "forward", "handle": 1, "type": "filter", "hook": "forward", "prio": -150, "policy": "accept"}},
        {"rule": {"family": "inet", "table": "stargate_mss_clamp", "chain": "forward", "handle": 2, "expr": [{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "tailscale0"}}, {"match": {"op": "in", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": "syn"}}, {"mangle": {"key": {"tcp option": {"name": "maxseg", "field": "size"}}, "value": {"rt": {"key": "mtu"}}}}]}},
        {"rule": {"family": "inet", "table": "stargate_mss_clamp", "chain": "forward", "handle": 3, "expr": [{"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "tailscale0"}}, {"match": {"op": "in", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": "syn"}}, {"mangle": {"key": {"tcp option": {"name": "maxseg", "field": "size"}}, "value": {"rt": {"key": "mtu"}}}}]}}]}"#;

    fn check(from: &str, to: &str, expected: bool) {
        let listing: NftListing = serde_json::from_str(&LISTED.replacen(from, to, 1)).expect("JSON");
        assert_eq!(listing.is_managed(), expected, "{from} -> {to}");
    }

    #[test]
    fn only_exactly_the_managed_rules_are_accepted() {
        check("", "", true);
        check("oifname", "iifname", false);
        check("tailscale0", "eth0", false);
        check(r#""hook": "forward""#, r#""hook": "input""#, false);
        check(r#"{"rt": {"key": "mtu"}}"#, "1400", false);
        check(r#""expr": ["#, r#""expr": [{"counter": {"packets": 0, "bytes": 0}}, "#, false);
        check(r#""rule""#, r#""set""#, false);
    }

    #[test]
    fn the_unit_loads_the_rules() {
        assert!(unit().contains("\nExecStart=/usr/sbin/nft -f /etc/stargate/mss-clamp.nft\n"));
        assert!(rules().contains("\n\t\toifname \"tailscale0\" tcp flags syn tcp option maxseg size set rt mtu\n"));
    }
}
