use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::{ActionContext, ActionError, Permission};

/// Identity of the external system that a run works on: one subscription, one cluster, one tailnet.
///
/// It is stored with the run, so that the run never continues against another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetId {
    /// Identity that the system assigns and reports itself; `None` if it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Address under which the settings name the system.
    pub address: String,
    /// Text for operators, such as `cluster https://…, by context "prod"`.
    pub description: String,
}

impl TargetId {
    /// True if both are the same system. Addresses are compared only if one of the two has no id:
    /// a system may have several addresses.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.id, &other.id) {
            (Some(own), Some(other)) => own == other,
            _ => self.address == other.address,
        }
    }
}

/// An external system that the settings choose, such as a cluster by a kubeconfig.
///
/// A provider adds it to the [`Registry`](crate::Registry) together with the actions that work on
/// it.
pub trait Target: Send + Sync {
    /// Name of the target in stored runs, such as `azure`.
    fn name(&self) -> &'static str;

    /// Permissions that [`Self::identify`] requires.
    fn permissions(&self) -> &'static [Permission];

    /// Reads the identity from the system. Writes nothing.
    ///
    /// # Errors
    /// The settings cannot be used, or the system does not answer.
    fn identify<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<TargetId, ActionError>>;

    /// Setting that chooses the system, as a part of a hint, such as `--kubeconfig FILE`.
    fn setting(&self) -> &'static str;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(id: Option<&str>, address: &str) -> TargetId {
        TargetId { id: id.map(str::to_owned), address: address.into(), description: String::new() }
    }

    #[test]
    fn an_id_decides_and_otherwise_the_address() {
        assert!(target(Some("a"), "x").is_same(&target(Some("a"), "y")));
        assert!(!target(Some("a"), "x").is_same(&target(Some("b"), "x")));
        assert!(target(None, "x").is_same(&target(Some("b"), "x")));
        assert!(!target(None, "x").is_same(&target(None, "y")));
    }

    #[test]
    fn stored_identities_are_read_and_written_byte_for_byte() {
        for stored in
            [r#"{"id":"1","address":"https://a","description":"d"}"#, r#"{"address":"https://a","description":"d"}"#]
        {
            let read: TargetId = serde_json::from_str(stored).expect("JSON");
            assert_eq!(serde_json::to_string(&read).expect("JSON"), stored);
        }
    }
}
