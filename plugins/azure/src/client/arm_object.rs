use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use stargate_sdk::{ActionError, Difference};

use crate::client::{Location, ResourceId, ResourceType};

/// Resource as ARM returned it.
///
/// An update edits the JSON and writes it back, so that properties that this crate does not know
/// survive.
#[derive(Debug, Clone)]
pub(crate) struct ArmObject {
    pub(crate) id: ResourceId,
    pub(crate) body: Value,
    pub(crate) etag: Option<String>,
}

impl ArmObject {
    /// Wraps a body; its own `etag` counts more than that of the headers.
    pub(crate) fn new(id: ResourceId, headers: &HeaderMap, body: Value) -> Self {
        let header = headers.get("etag").and_then(|etag| etag.to_str().ok());
        let etag = body["etag"].as_str().or(header).map(str::to_owned);
        Self { id, body, etag }
    }

    /// Wraps an item of a list, or a child in its parent's body, such as a subnet in its network's.
    ///
    /// `None` if the item has no readable id.
    pub(crate) fn part(body: &Value, resource_type: ResourceType) -> Option<Self> {
        let id: ResourceId = body["id"].as_str()?.parse().ok()?;
        Some(Self::new(id.with_type(resource_type), &HeaderMap::new(), body.clone()))
    }

    /// Wraps a part of this resource's body that has no id of its own, such as an address
    /// configuration.
    pub(crate) fn section(&self, body: Option<&Value>) -> Self {
        Self { id: self.id.clone(), body: body.cloned().unwrap_or_default(), etag: None }
    }

    /// Returns the text at a JSON pointer.
    pub(crate) fn text(&self, pointer: &str) -> Option<&str> {
        self.body.pointer(pointer)?.as_str()
    }

    /// Returns the items of the list at a JSON pointer; empty if there is no list.
    pub(crate) fn items(&self, pointer: &str) -> &[Value] {
        self.body.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Returns the resource id at a JSON pointer; `None` if there is none that can be parsed.
    pub(crate) fn id_at(&self, pointer: &str) -> Option<ResourceId> {
        self.text(pointer)?.parse().ok()
    }

    /// True if the list of references at a JSON pointer, each as `{"id": …}`, contains `id`, in
    /// any spelling.
    pub(crate) fn has_reference(&self, pointer: &str, id: &ResourceId) -> bool {
        let parsed = |item: &Value| item["id"].as_str().and_then(|text| text.parse::<ResourceId>().ok());
        self.items(pointer).iter().any(|item| parsed(item).as_ref() == Some(id))
    }

    /// Adds `id` to the list of references at a JSON pointer, unless it is there. Others are kept.
    pub(crate) fn add_reference(&mut self, pointer: &str, id: &ResourceId) {
        if !self.has_reference(pointer, id) {
            let references = self.items(pointer).iter().cloned().chain([json!({ "id": id })]).collect();
            *pointer.split('/').skip(1).fold(&mut self.body, |part, name| &mut part[name]) = references;
        }
    }

    /// Returns the text at a JSON pointer that each complete response has.
    ///
    /// # Errors
    /// `Transient`, if it is absent: ARM shows some properties later than the resource.
    pub(crate) fn required(&self, pointer: &str) -> Result<&str, ActionError> {
        self.text(pointer).ok_or_else(|| {
            let property = pointer.trim_start_matches('/').replace('/', ".");
            ActionError::transient(format!("azure's answer has no {property}")).context(self.id.label())
        })
    }

    /// Name of the resource in ARM's spelling; as in the id, if the response names another one.
    pub(crate) fn name(&self) -> &str {
        let name = self.id.name();
        self.text("/name").filter(|spelled| spelled.eq_ignore_ascii_case(name)).unwrap_or(name)
    }

    /// Id of the resource in ARM's spelling; as requested, if the response has another one.
    pub(crate) fn id(&self) -> String {
        let id = self.id.to_string();
        self.text("/id").filter(|spelled| spelled.eq_ignore_ascii_case(&id)).map_or(id.clone(), str::to_owned)
    }

    /// Value of `provisioningState`, such as `Succeeded`.
    pub(crate) fn state(&self) -> Option<&str> {
        provisioning_state(&self.body)
    }

    /// Value of `provisioningState` while an operation is in progress, such as `Updating`.
    pub(crate) fn pending_state(&self) -> Option<&str> {
        self.state().filter(|state| !is_terminal(state))
    }

    /// True if the last operation on the resource failed or was cancelled.
    pub(crate) fn has_failed(&self) -> bool {
        self.state().is_some_and(|state| is_terminal(state) && !state.eq_ignore_ascii_case("Succeeded"))
    }

    /// Returns a failed last operation as a difference, which another write corrects.
    pub(crate) fn failed_state(&self) -> Option<Difference> {
        let state = self.state().filter(|_| self.has_failed())?;
        Some(Difference::new("provisioning state", state, "Succeeded"))
    }

    /// Checks that the resource is in the desired region.
    ///
    /// # Errors
    /// `Permanent`, if it is in another one: a resource cannot be moved.
    pub(crate) fn check_location(&self, desired: &Location) -> Result<(), ActionError> {
        match self.text("/location") {
            Some(actual) if !desired.is(actual) => {
                Err(ActionError::permanent(format!("it is in {actual}, not in {desired}, and cannot be moved"))
                    .context(self.id.label())
                    .with_hint("delete it, or choose its location or another name"))
            }
            _ => Ok(()),
        }
    }

    /// Difference of the region, which cannot be changed in place.
    pub(crate) fn location_difference(&self, desired: &Location) -> Option<Difference> {
        let actual = self.text("/location").filter(|actual| !desired.is(actual))?;
        Some(Difference::new("location", actual, desired.to_string()))
    }

    /// Checks the SKU, in any case. `default` is the one that ARM chooses if none is given.
    ///
    /// # Errors
    /// `Permanent`, if it is another one: it cannot be changed.
    pub(crate) fn check_sku(&self, default: &str, desired: &str) -> Result<(), ActionError> {
        match self.text("/sku/name").unwrap_or(default) {
            sku if sku.eq_ignore_ascii_case(desired) => Ok(()),
            sku => Err(ActionError::permanent(format!("it exists with SKU {sku}, not {desired}"))
                .context(self.id.label())
                .with_hint("delete it, or choose another name")),
        }
    }
}

/// Value of `provisioningState` in a body of any type.
pub(crate) fn provisioning_state(body: &Value) -> Option<&str> {
    body.pointer("/properties/provisioningState")?.as_str()
}

/// True if an operation in this state has finished.
pub(crate) fn is_terminal(state: &str) -> bool {
    ["Succeeded", "Failed", "Canceled"].iter().any(|end| state.eq_ignore_ascii_case(end))
}
