use serde::{Deserialize, Serialize};

/// A device of the tailnet, as the API returns it with `fields=all`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Device {
    /// Numeric id, of the older form.
    pub(crate) id: String,
    /// Stable id, which the machine itself reports too.
    pub(crate) node_id: String,
    /// Name in the tailnet, with the domain.
    pub(crate) name: String,
    pub(crate) hostname: String,
    pub(crate) addresses: Vec<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) authorized: bool,
    /// End of the node key, in RFC 3339.
    pub(crate) expires: Option<String>,
    pub(crate) key_expiry_disabled: bool,
    /// Time at which the device was connected last, as RFC 3339; absent while it is connected.
    pub(crate) last_seen: Option<String>,
    /// True if the device has a connection to the coordination server.
    pub(crate) connected_to_control: bool,
    #[serde(deserialize_with = "null_as_empty")]
    pub(crate) advertised_routes: Vec<String>,
    #[serde(deserialize_with = "null_as_empty")]
    pub(crate) enabled_routes: Vec<String>,
}

/// Devices of a tailnet, or those that a query selects.
#[derive(Debug, Deserialize)]
pub(crate) struct DeviceList {
    #[serde(deserialize_with = "null_as_empty")]
    pub(crate) devices: Vec<Device>,
}

/// Routes that a device advertises and routes that are approved, as CIDR texts. The specification
/// requires neither list.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeviceRoutes {
    #[serde(deserialize_with = "null_as_empty")]
    pub(crate) advertised_routes: Vec<String>,
    #[serde(deserialize_with = "null_as_empty")]
    pub(crate) enabled_routes: Vec<String>,
}

/// An auth key as listed or read. Its secret part is only in the response to its creation.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct AuthKey {
    pub(crate) id: String,
    /// Absent from some listings.
    #[serde(default)]
    pub(crate) description: Option<String>,
    /// Time of revocation, if it was revoked.
    #[serde(default)]
    pub(crate) revoked: Option<String>,
    /// True if the key has been used or has expired.
    #[serde(default)]
    pub(crate) invalid: bool,
}

/// Auth keys of a tailnet. The specification does not require the list.
#[derive(Debug, Deserialize)]
pub(crate) struct AuthKeyList {
    #[serde(default, deserialize_with = "null_as_empty")]
    pub(crate) keys: Vec<AuthKey>,
}

/// Response to the creation of an auth key. It has no `Debug`, because it contains the key.
#[derive(Deserialize)]
pub(crate) struct MintedAuthKey {
    pub(crate) key: String,
}

/// Request for a new auth key.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateAuthKey<'a> {
    pub(crate) description: &'a str,
    pub(crate) expiry_seconds: i64,
    pub(crate) capabilities: KeyCapabilities<'a>,
}

/// Capabilities of an auth key, by kind of object.
#[derive(Debug, Serialize)]
pub(crate) struct KeyCapabilities<'a> {
    pub(crate) devices: DeviceCapabilities<'a>,
}

/// Capabilities of an auth key for devices, by operation.
#[derive(Debug, Serialize)]
pub(crate) struct DeviceCapabilities<'a> {
    pub(crate) create: CreateCapabilities<'a>,
}

/// Properties of the devices that join with an auth key.
#[derive(Debug, Serialize)]
pub(crate) struct CreateCapabilities<'a> {
    pub(crate) reusable: bool,
    pub(crate) ephemeral: bool,
    pub(crate) preauthorized: bool,
    pub(crate) tags: &'a [String],
}

/// Deserializes a list that some servers return as `null` when it is empty.
fn null_as_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}
