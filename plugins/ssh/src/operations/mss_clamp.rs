use serde::Deserialize;
use serde_json::Value;
use stargate_sdk::ActionError;

use crate::{command::RemoteCommand, outcome::NOT_INSTALLED, remote::Remote};

use super::file;

/// tailscaled's interface.
const DEVICE: &str = "tailscale0";
/// The table that is ours alone: tailscaled, kubelet and iptables have tables of their own, and none of them empties another's.
const TABLE: [&str; 2] = ["inet", "stargate_mss_clamp"];
/// Only root may use it, and root's PATH leads to it.
const NFT: &str = "nft";
/// What loads the rules, at boot too.
pub(crate) const UNIT: &str = "stargate-mss-clamp.service";
/// Its file.
pub(crate) const UNIT_PATH: &str = "/etc/systemd/system/stargate-mss-clamp.service";
/// The rules that it loads.
pub(crate) const RULES_PATH: &str = "/etc/stargate/mss-clamp.nft";

/// Where TCP's segment size is clamped now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clamped {
    /// Both ways through the tunnel, by just the rules that are ours.
    BothWays,
    /// Our table is there, with other rules than ours.
    Otherwise,
    /// Our table is not there.
    No,
}

impl Clamped {
    /// In words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::BothWays => "both ways",
            Self::Otherwise => "by other rules",
            Self::No => "not clamped",
        }
    }
}

/// Asks the kernel.
pub(crate) async fn read(remote: &Remote<'_>) -> Result<Clamped, ActionError> {
    let list = RemoteCommand::read(NFT).args(["-j", "list", "table"]).args(TABLE).with_root();
    let listed = file::read_with(remote, list).await.map_err(|error| match error.code.as_deref() {
        Some(NOT_INSTALLED) => error.with_hint("install the package nftables on the host"),
        _ => error,
    })?;
    let Some(listed) = listed else { return Ok(Clamped::No) };
    let listing: Listing = serde_json::from_str(&listed)
        .map_err(|e| remote.context(ActionError::permanent(format!("nft: the output is not as expected: {e}"))))?;
    Ok(if listing.is_ours() { Clamped::BothWays } else { Clamped::Otherwise })
}

/// The rules' text: in one transaction, whatever was in our table before.
///
/// A segment must fit the way to either end: the kernel takes the smaller of both routes' MTUs when it sets `rt mtu`, so that
/// what comes out of the tunnel is clamped to the tunnel's MTU as well as what goes into it. It only ever lowers a size.
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

/// The unit's text; systemd wants a full path, and Debian, Ubuntu and Red Hat all have nft there. Whoever restarts nftables' own unit empties every table, and has this one restarted.
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

/// The answer of `nft -j list table`, as far as it matters.
#[derive(Deserialize)]
struct Listing {
    nftables: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    chain: Option<Chain>,
    rule: Option<Rule>,
}

#[derive(Deserialize)]
struct Chain {
    hook: Option<String>,
}

#[derive(Deserialize)]
struct Rule {
    expr: Vec<Value>,
}

impl Listing {
    fn is_ours(&self) -> bool {
        let chains: Vec<&Chain> = self.nftables.iter().filter_map(|item| item.chain.as_ref()).collect();
        let rules: Vec<&Rule> = self.nftables.iter().filter_map(|item| item.rule.as_ref()).collect();
        let [chain] = chains.as_slice() else { return false };
        let [first, second] = rules.as_slice() else { return false };
        chain.hook.as_deref() == Some("forward") && first.clamps("iifname") && second.clamps("oifname")
    }
}

impl Rule {
    /// Three expressions and no more: any other would narrow it.
    fn clamps(&self, way: &str) -> bool {
        let [device, flags, size] = self.expr.as_slice() else { return false };
        let is = |value: &Value, pointer: &str, wanted: &str| value.pointer(pointer).is_some_and(|v| v == wanted);
        is(device, "/match/left/meta/key", way)
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

    /// What nft 1.0.6 and 1.1.3 both print, but for their versions.
    const LISTED: &str = r#"{"nftables": [{"metainfo": {"version": "1.1.3", "release_name": "Commodore Bullmoose #4", "json_schema_version": 1}},
        {"table": {"family": "inet", "name": "stargate_mss_clamp", "handle": 2}},
        {"chain": {"family": "inet", "table": "stargate_mss_clamp", "name": "forward", "handle": 1, "type": "filter", "hook": "forward", "prio": -150, "policy": "accept"}},
        {"rule": {"family": "inet", "table": "stargate_mss_clamp", "chain": "forward", "handle": 2, "expr": [{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "tailscale0"}}, {"match": {"op": "in", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": "syn"}}, {"mangle": {"key": {"tcp option": {"name": "maxseg", "field": "size"}}, "value": {"rt": {"key": "mtu"}}}}]}},
        {"rule": {"family": "inet", "table": "stargate_mss_clamp", "chain": "forward", "handle": 3, "expr": [{"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "tailscale0"}}, {"match": {"op": "in", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": "syn"}}, {"mangle": {"key": {"tcp option": {"name": "maxseg", "field": "size"}}, "value": {"rt": {"key": "mtu"}}}}]}}]}"#;

    fn check(from: &str, to: &str, is_ours: bool) {
        let listing: Listing = serde_json::from_str(&LISTED.replacen(from, to, 1)).expect("JSON");
        assert_eq!(listing.is_ours(), is_ours, "{from} -> {to}");
    }

    #[test]
    fn only_just_our_rules_are_ours() {
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
