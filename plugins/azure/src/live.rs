use reqwest::header::HeaderMap;
use serde_json::Value;
use stargate_sdk::{ActionError, Difference};

use crate::{ResourceId, name::Location};

/// A resource as ARM has it. Its body is edited as JSON, so that properties that this crate does not know survive.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) id: ResourceId,
    pub(crate) body: Value,
    pub(crate) etag: Option<String>,
}

impl Live {
    pub(crate) fn new(id: ResourceId, headers: &HeaderMap, body: Value) -> Self {
        let header = headers.get("etag").and_then(|etag| etag.to_str().ok());
        let etag = body["etag"].as_str().or(header).map(str::to_owned);
        Self { id, body, etag }
    }

    /// A resource inside another's body, such as a subnet in its network's.
    pub(crate) fn part(id: ResourceId, body: &Value) -> Self {
        Self::new(id, &HeaderMap::new(), body.clone())
    }

    /// The text at a JSON pointer.
    pub(crate) fn text(&self, pointer: &str) -> Option<&str> {
        self.body.pointer(pointer)?.as_str()
    }

    /// The resource id at a JSON pointer; `None` if there is none, or none that can be read.
    pub(crate) fn id_at(&self, pointer: &str) -> Option<ResourceId> {
        self.text(pointer)?.parse().ok()
    }

    /// The text at a JSON pointer, which is always there in a complete answer.
    pub(crate) fn required(&self, pointer: &str) -> Result<&str, ActionError> {
        self.text(pointer).ok_or_else(|| {
            ActionError::transient(format!(
                "azure's answer has no {}",
                pointer.trim_start_matches('/').replace('/', ".")
            ))
            .context(self.id.label())
        })
    }

    /// The name in ARM's spelling.
    pub(crate) fn name(&self) -> &str {
        self.text("/name").unwrap_or_else(|| self.id.name())
    }

    /// The id in ARM's spelling.
    pub(crate) fn id(&self) -> String {
        self.text("/id").map_or_else(|| self.id.to_string(), str::to_owned)
    }

    /// `provisioningState`.
    pub(crate) fn state(&self) -> Option<&str> {
        provisioning_state(&self.body)
    }

    /// `provisioningState` while an operation is in progress.
    pub(crate) fn moving(&self) -> Option<&str> {
        self.state().filter(|state| !is_terminal(state))
    }

    /// Whether the last operation on it failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.state().is_some_and(|state| is_terminal(state) && !state.eq_ignore_ascii_case("Succeeded"))
    }

    /// That the last operation failed, as a difference that another write mends.
    pub(crate) fn failed_state(&self) -> Option<Difference> {
        self.state()
            .filter(|_| self.has_failed())
            .map(|state| Difference::new("provisioning state", state, "Succeeded"))
    }

    /// Refuses a resource that is in another region: it cannot be moved.
    pub(crate) fn check_location(&self, wanted: &Location) -> Result<(), ActionError> {
        match self.text("/location") {
            Some(actual) if !wanted.is(actual) => {
                Err(ActionError::permanent(format!("it is in {actual}, not in {wanted}, and cannot be moved"))
                    .context(self.id.label())
                    .with_hint("delete it, or choose its location or another name"))
            }
            _ => Ok(()),
        }
    }
}

/// `provisioningState` of any ARM body.
pub(crate) fn provisioning_state(body: &Value) -> Option<&str> {
    body.pointer("/properties/provisioningState")?.as_str()
}

/// Whether an operation in this state has ended.
pub(crate) fn is_terminal(state: &str) -> bool {
    ["Succeeded", "Failed", "Canceled"].iter().any(|end| state.eq_ignore_ascii_case(end))
}
