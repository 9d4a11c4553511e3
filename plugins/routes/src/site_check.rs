use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Preview, Recovery, RequiredPermissions};

use crate::{
    action::conflict_error,
    addresses::{site_address_conflicts, site_subnet_conflict},
    compute::conflicts,
    conflict::{Conflict, ConflictParty},
    facts::{AksSite, Datacenter, Facts, NodeFacts, Strategy},
    overlap::site_prefix_conflicts,
};

/// Action `routes.site.check`: checks a datacenter before it is created.
///
/// Without the cluster, the prefixes and addresses of the site are compared with each other only,
/// for which no read is needed. An AKS node that conflicts with another part of the deployment is
/// not an error of the site.
pub(crate) struct SiteCheck;

/// A datacenter that will be created, and the deployment that it will belong to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SiteCheckInput {
    /// The new site. The pod CIDR of a worker may be unknown.
    site: Datacenter,
    /// The cluster's site [default: the new site is checked alone].
    #[serde(default)]
    aks: Option<AksSite>,
    /// Other datacenters of the deployment.
    #[serde(default)]
    sites: Vec<Datacenter>,
    /// Prefix length of each worker's pod CIDR, to check that the site pod CIDR has one for each
    /// [default: that is not checked].
    #[serde(default)]
    pod_cidr_length: Option<u8>,
}

/// No output: the site has no conflict.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SiteCheckOutput {}

impl RequiredPermissions for SiteCheck {}

impl Action for SiteCheck {
    type Input = SiteCheckInput;
    type Output = SiteCheckOutput;
    const NAME: &'static str = "routes.site.check";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Checks that prefixes and addresses of a new datacenter fit together and collide \
                                   with none of the deployment.";

    async fn run(&self, _: &ActionContext, input: &SiteCheckInput) -> Result<SiteCheckOutput, ActionError> {
        let found = input.conflicts();
        if found.is_empty() { Ok(SiteCheckOutput {}) } else { Err(conflict_error(&found)) }
    }

    async fn preview(&self, cx: &ActionContext, input: &SiteCheckInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl SiteCheckInput {
    /// Conflict of a site pod CIDR that has too few pod CIDRs for the workers. Those outside of it
    /// need no room.
    fn room_conflict(&self) -> Option<Conflict> {
        let Datacenter { name, pod_block, workers, .. } = &self.site;
        let length = self.pod_cidr_length?;
        let room = 1_u64.checked_shl(u32::from(length.checked_sub(pod_block.prefix_len())?)).unwrap_or(u64::MAX);
        let is_inside = |worker: &&NodeFacts| worker.pod_cidr.is_none_or(|pod_cidr| pod_block.contains(&pod_cidr));
        let needed = workers.iter().filter(is_inside).count();
        let message = format!(
            "pod CIDR {pod_block} of site {name} has {room} × /{length}, fewer than the site has workers: {needed}"
        );
        (needed as u64 > room).then(|| Conflict::new(message, "give the site a larger pod CIDR, or fewer workers"))
    }

    /// Conflicts of the new site and, with the cluster, those that stop each workflow.
    fn conflicts(&self) -> Vec<Conflict> {
        let subnet = site_subnet_conflict(&self.site).into_iter().chain(self.room_conflict());
        let Some(aks) = &self.aks else {
            let found = site_prefix_conflicts(&self.site).into_iter().chain(site_address_conflicts(&self.site));
            return subnet.chain(found.map(|found| found.conflict)).collect();
        };
        let sites: Vec<Datacenter> = self.sites.iter().chain([&self.site]).cloned().collect();
        let new = ConflictParty::Site(sites.len() - 1);
        let facts = Facts { aks: aks.clone(), sites, strategy: Strategy::default(), others: Vec::new() };
        let found = conflicts(&facts).into_iter();
        let found = found.filter(|found| !found.is_of_aks_node() || found.parties.contains(&new));
        subnet.chain(found.map(|found| found.conflict)).collect()
    }
}
