use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc};

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Preview, Recovery, RequiredPermissions};

use crate::{
    SshHost,
    client::{ConnectionPool, NOT_INSTALLED, Remote, RemoteCommand},
    operations::{
        forward_filter::{DroppingChain, FirewallRules, ForwardedPacket, legacy_drops},
        kernel_lookup::{self, TableRoute},
    },
};

/// Full path of the program, which is not on every user's PATH.
const NFT: &str = "/usr/sbin/nft";
/// File that lists the tables of legacy iptables. Reading the tables themselves would create them.
const LEGACY_TABLES: &str = "/proc/net/ip_tables_names";

/// A host that forwards packets, and their addresses.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForwardFilterCheckInput {
    /// Host to connect to.
    pub host: SshHost,
    /// True if one side of the host is the tailnet's tunnel.
    #[serde(default)]
    pub tunnel: bool,
    /// Prefixes at the host's own site.
    #[schemars(with = "Vec<String>")]
    pub local: Vec<Ipv4Net>,
    /// Prefixes of the other sites. One that overlaps a prefix of the host's own site is left out.
    #[schemars(with = "Vec<String>")]
    pub remote: Vec<Ipv4Net>,
}

/// Result of a check that found no dropping rule or route.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ForwardFilterCheckOutput {
    /// Number of packets that were traced through the rules.
    pub packets: usize,
}

/// Action `ssh.forward_filter.check`: checks that the host's firewall lets forwarded packets pass,
/// and that no route of its kernel drops them.
pub(crate) struct ForwardFilterCheck {
    pool: Arc<ConnectionPool>,
}

impl ForwardFilterCheck {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for ForwardFilterCheck {}

impl Action for ForwardFilterCheck {
    type Input = ForwardFilterCheckInput;
    type Output = ForwardFilterCheckOutput;
    const NAME: &'static str = "ssh.forward_filter.check";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str =
        "Checks that a host's firewall and routes let the packets pass that the host forwards.";

    async fn run(
        &self,
        cx: &ActionContext,
        input: &ForwardFilterCheckInput,
    ) -> Result<ForwardFilterCheckOutput, ActionError> {
        let remote = self.pool.remote(cx, &input.host)?;
        let packets = packets(input);
        if let Some(rules) = firewall_rules(&remote).await? {
            let dropping: BTreeSet<DroppingChain> = packets.iter().flat_map(|it| rules.dropping(it)).collect();
            if !dropping.is_empty() {
                return Err(remote.context(drop_error(input, &rules, &dropping)));
            }
        }
        if input.tunnel && has_legacy_drop(&remote).await? {
            return Err(remote.context(legacy_error()));
        }
        check_routes(&remote, input).await?;
        Ok(ForwardFilterCheckOutput { packets: packets.len() })
    }

    async fn preview(&self, cx: &ActionContext, input: &ForwardFilterCheckInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl ForwardFilterCheckInput {
    /// Prefixes of the other sites alone.
    fn others(&self) -> impl Iterator<Item = &Ipv4Net> {
        let is_own = |remote: &Ipv4Net| self.local.iter().any(|own| own.contains(remote) || remote.contains(own));
        self.remote.iter().filter(move |remote| !is_own(remote))
    }
}

/// Checks that no route drops packets for the other sites or, on a router, for its own. On a
/// worker, the agents of some CNI plugins have such a route for the unused addresses of its pods.
async fn check_routes(remote: &Remote<'_>, input: &ForwardFilterCheckInput) -> Result<(), ActionError> {
    let tables = kernel_lookup::read(remote).await?;
    let own = input.local.iter().filter(|_| input.tunnel);
    let dropping: BTreeSet<String> =
        input.others().chain(own).flat_map(|net| tables.dropping_in(*net)).map(TableRoute::text).collect();
    if dropping.is_empty() {
        return Ok(());
    }
    let listed = |before: &str| dropping.iter().map(|route| format!("{before}{route}")).collect::<Vec<_>>();
    let message = format!("a route of the kernel drops packets of pods: {}", listed("").join(", "));
    let hint = format!("run on the host: {}", listed("sudo ip route delete ").join(" && "));
    Err(remote.context(ActionError::permanent(message).with_hint(hint)))
}

/// First address of a prefix that a host can have.
fn first_host(net: Ipv4Net) -> Ipv4Addr {
    net.hosts().next().unwrap_or_else(|| net.network())
}

/// One packet of each pair of prefixes, in both directions.
fn packets(input: &ForwardFilterCheckInput) -> Vec<ForwardedPacket> {
    let remotes = |local: Ipv4Addr| input.others().map(move |remote| (local, first_host(*remote)));
    let pairs = input.local.iter().flat_map(|local| remotes(first_host(*local)));
    pairs
        .flat_map(|(local, remote)| {
            [
                ForwardedPacket {
                    from_tunnel: false,
                    to_tunnel: input.tunnel,
                    source: local,
                    destination: remote,
                    is_reply: false,
                },
                ForwardedPacket {
                    from_tunnel: input.tunnel,
                    to_tunnel: false,
                    source: remote,
                    destination: local,
                    is_reply: false,
                },
            ]
        })
        .collect()
}

/// Reads the rules; `None` on a host without nftables.
pub(super) async fn firewall_rules(remote: &Remote<'_>) -> Result<Option<FirewallRules>, ActionError> {
    let list = RemoteCommand::read(NFT).args(["-j", "list", "ruleset"]).with_root().confidential();
    match remote.json(&list).await {
        Ok(rules) => Ok(Some(rules)),
        Err(error) if error.code.as_deref() == Some(NOT_INSTALLED) => Ok(None),
        Err(error) => Err(error),
    }
}

/// True if the rules of legacy iptables, which nft does not list, drop the tunnel's packets.
async fn has_legacy_drop(remote: &Remote<'_>) -> Result<bool, ActionError> {
    let tables = remote.run(&RemoteCommand::read("cat").args([LEGACY_TABLES]).with_root().confidential()).await?;
    if !tables.is_success() || !tables.stdout.lines().any(|table| table == "filter") {
        return Ok(false);
    }
    let rules = remote.run(&RemoteCommand::read("iptables-legacy").args(["-S", "FORWARD"]).with_root()).await?;
    Ok(rules.is_success() && legacy_drops(&rules.stdout))
}

fn drop_error(
    input: &ForwardFilterCheckInput,
    rules: &FirewallRules,
    dropping: &BTreeSet<DroppingChain>,
) -> ActionError {
    let text = |it: &DroppingChain| {
        let cause = if it.by_policy { "its policy is drop" } else { "by a rule" };
        format!("chain {} of table {} drops packets of pods ({cause})", it.chain, it.table)
    };
    let messages: Vec<String> = dropping.iter().map(text).collect();
    let commands: Vec<String> = dropping.iter().map(|it| command(input, rules, it)).collect();
    ActionError::permanent(messages.join("; ")).with_hint(format!("run on the host: {}", commands.join("; ")))
}

/// Command that inserts accepting rules, in the form of the program that keeps the chain.
fn command(input: &ForwardFilterCheckInput, rules: &FirewallRules, it: &DroppingChain) -> String {
    let is_kept_by_iptables = it.table == "ip filter" && it.chain == "FORWARD";
    if input.tunnel && is_kept_by_iptables && rules.has_chain(&it.table, "ufw-user-forward") {
        return "sudo ufw route allow in on tailscale0 && sudo ufw route allow out on tailscale0".to_owned();
    }
    let matches = match (input.tunnel, is_kept_by_iptables) {
        (true, true) => vec!["-i tailscale0".to_owned(), "-o tailscale0".to_owned()],
        (true, false) => vec!["iifname tailscale0".to_owned(), "oifname tailscale0".to_owned()],
        (false, true) => input.local.iter().flat_map(|net| [format!("-s {net}"), format!("-d {net}")]).collect(),
        (false, false) => {
            input.local.iter().flat_map(|net| [format!("ip saddr {net}"), format!("ip daddr {net}")]).collect()
        }
    };
    let chain = if rules.has_chain(&it.table, "DOCKER-USER") { "DOCKER-USER" } else { it.chain.as_str() };
    let insert = |matched: &String| {
        if is_kept_by_iptables {
            format!("sudo iptables -I {chain} {matched} -j ACCEPT")
        } else {
            format!("sudo nft insert rule {} {} {matched} accept", it.table, it.chain)
        }
    };
    matches.iter().map(insert).collect::<Vec<_>>().join(" && ")
}

fn legacy_error() -> ActionError {
    ActionError::permanent("chain FORWARD of legacy iptables drops packets of pods (its policy is DROP)").with_hint(
        "run on the host: sudo iptables-legacy -I FORWARD -i tailscale0 -j ACCEPT && sudo iptables-legacy -I FORWARD \
         -o tailscale0 -j ACCEPT",
    )
}
