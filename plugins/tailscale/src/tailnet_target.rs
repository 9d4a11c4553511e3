use std::sync::Arc;

use futures::future::BoxFuture;
use reqwest::StatusCode;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use stargate_sdk::{ActionContext, ActionError, Permission, Target, TargetId};

use crate::{client::TailscaleClient, permission::scope};

/// Name of the target of all actions of the provider.
pub(crate) const TARGET: &str = "tailscale";
/// Name of the tailnet that the OAuth client belongs to.
const OWN: &str = "-";

/// Tailnet of the OAuth client, as a target of runs.
///
/// The API has no id for it. The domain of its devices' names is unique, and the API derives it
/// from the tailnet and not from the name in the request. A tailnet without devices is identified
/// by the OAuth client, which belongs to one tailnet only.
pub(crate) struct TailnetTarget(pub(crate) Arc<TailscaleClient>);

/// Devices of a tailnet, each with what shows its domain.
#[derive(Deserialize)]
struct NamedDevices {
    #[serde(default)]
    devices: Vec<NamedDevice>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NamedDevice {
    name: String,
    /// True for a device of another tailnet that is shared with this one.
    is_external: bool,
}

impl Target for TailnetTarget {
    fn name(&self) -> &'static str {
        TARGET
    }

    fn permissions(&self) -> &'static [Permission] {
        const { &[scope("devices:core:read")] }
    }

    fn identify<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<TargetId, ActionError>> {
        Box::pin(async {
            let path = ["tailnet", self.0.tailnet(), "devices"];
            let devices = match self.0.get::<NamedDevices>(cx, &path, &[]).await {
                Ok(listed) => listed.devices,
                // An OAuth client that only creates keys cannot list devices.
                Err(error) if error.status == Some(StatusCode::FORBIDDEN) => Vec::new(),
                Err(error) => return Err(error.into()),
            };
            self.id(cx, domain(&devices)).await
        })
    }

    fn setting(&self) -> &'static str {
        "--tailscale-tailnet NAME and the OAuth client of that tailnet"
    }
}

impl TailnetTarget {
    async fn id(&self, cx: &ActionContext, domain: Option<String>) -> Result<TargetId, ActionError> {
        let base = self.0.base().as_str();
        let endpoint = base.strip_suffix("/api/v2").unwrap_or(base);
        let address = match self.0.tailnet() {
            OWN => format!("{endpoint}, OAuth client {}", self.client_digest(cx).await?),
            name => format!("{endpoint}, tailnet {name}"),
        };
        let description = match &domain {
            Some(domain) => format!("tailnet {domain}, at {endpoint}"),
            None => format!("tailnet without devices, at {address}"),
        };
        Ok(TargetId { id: domain, address, description })
    }

    /// Start of the digest of the OAuth client's id, which is a secret reference.
    async fn client_digest(&self, cx: &ActionContext) -> Result<String, ActionError> {
        let id = cx.secret(self.0.credentials().0).await?;
        let digest = Sha256::digest(id.expose());
        let number = digest.iter().take(6).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        Ok(format!("{number:012x}"))
    }
}

/// Domain of the tailnet's own devices; `None` if there are none, or if their names have no domain.
fn domain(devices: &[NamedDevice]) -> Option<String> {
    let own = devices.iter().filter(|device| !device.is_external);
    own.filter_map(|device| Some(device.name.trim_end_matches('.').split_once('.')?.1.to_ascii_lowercase())).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_is_that_of_the_tailnets_own_devices() {
        let device = |name: &str, is_external| NamedDevice { name: name.into(), is_external };
        assert_eq!(domain(&[]), None);
        assert_eq!(domain(&[device("r", false), device("a.tail1.ts.net", true)]), None);
        let devices = [device("a.tail1.ts.net", true), device("r.Tail9.ts.net.", false)];
        assert_eq!(domain(&devices).as_deref(), Some("tail9.ts.net"));
    }
}
