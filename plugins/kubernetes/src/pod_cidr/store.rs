use std::time::Duration;

use serde_json::{Value, json};
use stargate_kubernetes_client::{CONFIG_MAPS, KubeClient, ObjectName};
use stargate_sdk::{ActionContext, ActionError, Backoff, Waiter};

use super::{PodCidrRegistry, SitePodCidrs};

const NAMESPACE: &str = "kube-system";
const CONFIG_MAP: &str = "stargate-pod-cidrs";
const LABEL: &str = "config map kube-system/stargate-pod-cidrs";

/// Delays before the registry is read again, once another process has changed it between a read and
/// a write.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// The registry, with the config map that it was read from.
pub(crate) struct StoredRegistry {
    /// `None` if there is no config map yet.
    config_map: Option<Value>,
    /// Pod CIDRs of all sites.
    pub(crate) registry: PodCidrRegistry,
}

/// Reads the registry; it is empty if there is no config map yet.
///
/// # Errors
/// `Permanent` for a config map that cannot be parsed.
pub(crate) async fn read(client: &KubeClient, cx: &ActionContext) -> Result<StoredRegistry, ActionError> {
    let config_map = client.get(cx, &CONFIG_MAPS, ObjectName::namespaced(NAMESPACE, CONFIG_MAP)?).await?;
    let registry = config_map.as_ref().map(parse).transpose()?.unwrap_or_default();
    Ok(StoredRegistry { config_map, registry })
}

/// Replaces `stored` by `registry`. Returns false if the stored one has changed since it was
/// read: then nothing was written.
pub(crate) async fn write(
    client: &KubeClient,
    cx: &ActionContext,
    stored: StoredRegistry,
    registry: &PodCidrRegistry,
) -> Result<bool, ActionError> {
    let data = data(registry)?;
    let written = match stored.config_map {
        Some(mut config_map) => {
            config_map["data"] = data;
            client.replace(cx, &CONFIG_MAPS, ObjectName::namespaced(NAMESPACE, CONFIG_MAP)?, None, config_map).await
        }
        None => client.create(cx, &CONFIG_MAPS, Some(NAMESPACE), new_config_map(&data)).await,
    };
    match written {
        Ok(_) => Ok(true),
        Err(error) if error.is_stale() || error.already_exists() || error.is_not_found() => Ok(false),
        Err(error) => Err(error.error.context(LABEL)),
    }
}

/// The delays of one attempt to change the registry.
pub(crate) fn waiter(cx: &ActionContext) -> Waiter<'_> {
    Waiter::new(cx, BACKOFF).with_hint("run the same command again when no other run changes pod CIDRs")
}

/// Waits after a [`write()`] that returned false, longer each time.
///
/// # Errors
/// `Transient` if the delay does not end before the step's deadline, or the attempt is cancelled.
/// Nothing was written.
pub(crate) async fn wait_to_read_again(waiter: &mut Waiter<'_>) -> Result<(), ActionError> {
    waiter.pending(format!("{LABEL}: changed by another process since it was read"), None).await
}

fn parse(config_map: &Value) -> Result<PodCidrRegistry, ActionError> {
    let sites = config_map["data"].as_object().into_iter().flatten();
    sites
        .map(|(site, text)| {
            let parsed: Result<SitePodCidrs, _> = serde_json::from_str(text.as_str().unwrap_or_default());
            parsed.map(|parsed| (site.clone(), parsed)).map_err(|e| {
                ActionError::permanent(format!("{LABEL}: cannot parse site {site:?}: {e}"))
                    .with_hint("correct it by hand and do not delete it: it is the only record of the pod CIDRs")
            })
        })
        .collect()
}

fn data(registry: &PodCidrRegistry) -> Result<Value, ActionError> {
    let mut data = serde_json::Map::new();
    for (name, site) in registry {
        let text = serde_json::to_string(site).map_err(|e| ActionError::permanent(e.to_string()))?;
        data.insert(name.clone(), text.into());
    }
    Ok(Value::Object(data))
}

fn new_config_map(data: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": CONFIG_MAP,
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/managed-by": "stargate"},
        },
        "data": data,
    })
}
