use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError};

use crate::{
    api::Api,
    kind::{At, CONFIG_MAPS},
    pod_cidr_registry::{Registry, Site},
};

const NAMESPACE: &str = "kube-system";
const CONFIG_MAP: &str = "stargate-pod-cidrs";

/// The registry and the `ConfigMap` that it was read from.
pub(crate) struct Recorded {
    config_map: Option<Value>,
    pub(crate) registry: Registry,
}

/// What is recorded in the cluster; an empty registry where nothing is yet.
pub(crate) async fn read(api: &Api, cx: &ActionContext) -> Result<Recorded, ActionError> {
    let config_map = api.get(cx, &CONFIG_MAPS, At::namespaced(NAMESPACE, CONFIG_MAP)).await?;
    let registry = config_map.as_ref().map(parse).transpose()?.unwrap_or_default();
    Ok(Recorded { config_map, registry })
}

/// Records `registry`, unless somebody else has recorded something since: false then.
pub(crate) async fn record(
    api: &Api,
    cx: &ActionContext,
    recorded: Recorded,
    registry: &Registry,
) -> Result<bool, ActionError> {
    let data = data(registry)?;
    let written = match recorded.config_map {
        Some(mut config_map) => {
            config_map["data"] = data;
            api.replace(cx, &CONFIG_MAPS, At::namespaced(NAMESPACE, CONFIG_MAP), None, config_map).await
        }
        None => api.create(cx, &CONFIG_MAPS, Some(NAMESPACE), new_config_map(&data)).await,
    };
    match written {
        Ok(_) => Ok(true),
        Err(error) if error.is_stale() || error.already_exists() || error.is_not_found() => Ok(false),
        Err(error) => Err(error.error.context(format_args!("config map {NAMESPACE}/{CONFIG_MAP}"))),
    }
}

fn parse(config_map: &Value) -> Result<Registry, ActionError> {
    let sites = config_map["data"].as_object().into_iter().flatten();
    sites
        .map(|(site, text)| {
            let parsed: Result<Site, _> = serde_json::from_str(text.as_str().unwrap_or_default());
            parsed.map(|parsed| (site.clone(), parsed)).map_err(|e| {
                ActionError::permanent(format!(
                    "config map {NAMESPACE}/{CONFIG_MAP}: site {site:?} cannot be read: {e}"
                ))
                .with_hint("it is the only record of which node has which block: mend it by hand, do not delete it")
            })
        })
        .collect()
}

fn data(registry: &Registry) -> Result<Value, ActionError> {
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
