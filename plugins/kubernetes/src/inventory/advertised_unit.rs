use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_kubernetes_client::json::text;

/// Annotation of the cluster's `Site` object with the strategy of the deployment.
pub(crate) const STRATEGY_ANNOTATION: &str = "stargate.io/strategy";

/// Unit in which the datacenters' pod CIDRs are advertised: the strategy of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AdvertisedUnit {
    /// One prefix for each site.
    #[default]
    PerSite,
    /// One prefix for each worker.
    PerNode,
}

impl AdvertisedUnit {
    /// The word for the unit in inputs and in the annotation.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::PerSite => "per_site",
            Self::PerNode => "per_node",
        }
    }

    /// Strategy that is recorded in the cluster's site among `sites`; the default without a record.
    ///
    /// # Errors
    /// The recorded word, if it is not a strategy.
    pub(crate) fn recorded(sites: &[Value]) -> Result<Self, &str> {
        let annotation = |site: &'_ Value| site["metadata"]["annotations"].get(STRATEGY_ANNOTATION).is_some();
        let Some(site) = aks_site_object(sites).filter(|site| annotation(site)) else { return Ok(Self::default()) };
        match site["metadata"]["annotations"][STRATEGY_ANNOTATION].as_str().unwrap_or_default() {
            "per_site" => Ok(Self::PerSite),
            "per_node" => Ok(Self::PerNode),
            other => Err(other),
        }
    }
}

/// The `Site` object of the cluster among those of all sites.
pub(crate) fn aks_site_object(sites: &[Value]) -> Option<&Value> {
    sites.iter().find(|site| text(site, "/spec/type") == Some("aks"))
}
