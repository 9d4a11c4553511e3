use serde::{Deserialize, Serialize};

/// A machine of the tailnet.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) node_id: String,
    pub(crate) name: String,
    pub(crate) hostname: String,
    pub(crate) addresses: Vec<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) authorized: bool,
    pub(crate) last_seen: Option<String>,
    pub(crate) connected_to_control: bool,
    #[serde(deserialize_with = "null_is_empty")]
    pub(crate) advertised_routes: Vec<String>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(crate) enabled_routes: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct DeviceList {
    #[serde(default)]
    pub(crate) devices: Vec<Device>,
}

/// What a device offers and what the tailnet lets it serve.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeviceRoutes {
    #[serde(deserialize_with = "null_is_empty")]
    pub(crate) advertised_routes: Vec<String>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(crate) enabled_routes: Vec<String>,
}

/// An auth key as listed or read; its secret part is only in the answer to its creation.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) description: Option<String>,
    pub(crate) revoked: Option<String>,
    pub(crate) invalid: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct KeyList {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) keys: Vec<Key>,
}

/// The answer to a key's creation. No `Debug`: it holds the key.
#[derive(Deserialize)]
pub(crate) struct MintedKey {
    pub(crate) key: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateKey<'a> {
    pub(crate) description: &'a str,
    pub(crate) expiry_seconds: i64,
    pub(crate) capabilities: Capabilities<'a>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Capabilities<'a> {
    pub(crate) devices: DeviceCapabilities<'a>,
}

#[derive(Debug, Serialize)]
pub(crate) struct DeviceCapabilities<'a> {
    pub(crate) create: CreateCapabilities<'a>,
}

#[derive(Debug, Serialize)]
pub(crate) struct CreateCapabilities<'a> {
    pub(crate) reusable: bool,
    pub(crate) ephemeral: bool,
    pub(crate) preauthorized: bool,
    pub(crate) tags: &'a [String],
}

fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}
