use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{ActionContext, ActionError};

use crate::client::operation::ArmOperation;

/// Version of the JSON of [`Checkpoint`]. Another one is ignored: ARM is then asked for the
/// resources.
const VERSION: u32 = 1;

/// Writes that an attempt has started, stored for the attempts after it. It never contains a
/// secret.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    #[serde(default)]
    version: u32,
    /// Operation that has not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) operation: Option<ArmOperation>,
    /// Public half of the host key that a machine is created with, in OpenSSH's one-line form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host_key: Option<String>,
}

impl Checkpoint {
    /// Reads the checkpoint of this step; empty if there is none.
    pub(crate) fn load(cx: &ActionContext) -> Self {
        cx.checkpoint().map(Self::read).unwrap_or_default()
    }

    /// Reads a stored value; empty if it is of another version.
    pub(crate) fn read(value: Value) -> Self {
        serde_json::from_value(value).ok().filter(|it: &Self| it.version == VERSION).unwrap_or_default()
    }

    /// Returns the checkpoint of a machine that is about to be created with this public key.
    pub(crate) fn of_host_key(public: &str) -> Self {
        Self { host_key: Some(public.to_owned()), ..Self::default() }
    }

    /// Stores this checkpoint; an empty one clears the stored value.
    ///
    /// # Errors
    /// If it could not be stored; the caller must not rely on it then.
    pub(crate) async fn save(&mut self, cx: &ActionContext) -> Result<(), ActionError> {
        self.version = VERSION;
        let is_empty = self.operation.is_none() && self.host_key.is_none();
        let value = if is_empty { Value::Null } else { serde_json::to_value(&*self).expect("strings are JSON") };
        cx.save_checkpoint(value).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bytes_of_the_previous_version_are_read() {
        let stored = json!({"version": 1, "operation": {"kind": "status", "url": "https://arm/op?t=1&s=a%2Bb",
            "resource": "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/Microsoft.Network/routeTables/t"}});
        let checkpoint = Checkpoint::read(stored.clone());
        assert_eq!(checkpoint.operation.as_ref().map(|o| o.url.as_str()), Some("https://arm/op?t=1&s=a%2Bb"));
        assert_eq!(serde_json::to_value(&checkpoint).expect("JSON"), stored);
    }

    #[test]
    fn another_version_is_ignored() {
        assert_eq!(Checkpoint::read(json!({"version": 2, "host_key": "k"})), Checkpoint::default());
        assert_eq!(Checkpoint::read(json!("?")), Checkpoint::default());
    }
}
