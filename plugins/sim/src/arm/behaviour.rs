use jiff::Timestamp;
use serde_json::Value;

use crate::arm::error::ArmError;
use crate::arm::json::Object;
use crate::arm::store::{Arm, ArmResourceType, StoredResource};
use crate::event::Event;

/// Behaviour of one resource type: a row of the table in `resource_types.rs`.
///
/// A behaviour reads the store and returns data. What follows from it for other resources is
/// returned as [`Consequences`], which `consequences.rs` performs; so no behaviour calls another
/// one.
#[derive(Clone, Copy)]
pub(crate) struct Behaviour {
    /// Checks a write and adds the provider's defaults. `None` for types that only other resources
    /// create.
    pub(crate) prepare: Option<Prepare>,
    /// Adds the properties that the provider computes to the stored ones.
    pub(crate) show: fn(&Arm, &StoredResource, &mut Object),
    /// Builds the JSON of a resource from its properties, in the order of the provider's members.
    pub(crate) assemble: fn(&Arm, &StoredResource, Object) -> Value,
    /// Builds the view that `$expand=instanceView` adds; `None` for types without one.
    pub(crate) instance_view: Option<fn(&Arm, &StoredResource, Timestamp) -> Value>,
    /// Returns the consequences of a successful write, which created the resource if the last
    /// argument is `true`.
    pub(crate) finish: fn(&Arm, &StoredResource, bool) -> Consequences,
    /// Returns the consequences of a deletion, after the resource has left the store.
    pub(crate) after_delete: fn(&Arm, &StoredResource) -> Consequences,
    /// Returns the ids of resources that show this one in themselves: their etags change with it.
    pub(crate) references: fn(&Arm, &StoredResource) -> Vec<String>,
    /// Refuses to delete a resource that another one uses.
    pub(crate) check_unused: fn(&Arm, &StoredResource) -> Result<(), ArmError>,
    /// True if a PUT has finished when it answers, and starts no operation.
    pub(crate) is_synchronous: bool,
    /// Duration of a creation in the real service, in seconds: the order of magnitude seen in
    /// activity logs of the portal.
    pub(crate) create_seconds: f64,
    /// Duration of a deletion in the real service, in seconds.
    pub(crate) delete_seconds: f64,
}

/// Checks and completes a write to a target, given its top-level members and its properties.
///
/// It may draw identifiers from the store and changes nothing else there.
pub(crate) type Prepare = fn(&mut Arm, &WriteTarget, Object, Object) -> Result<Draft, ArmError>;

impl Behaviour {
    /// Duration of a change of an existing resource, in seconds: a fraction of what a machine or a
    /// cluster takes to create.
    pub(crate) fn update_seconds(&self) -> f64 {
        self.create_seconds.min(5.0)
    }
}

/// Returns no consequences: for types whose writes or deletions concern no other resource.
pub(crate) fn none_of_write(_: &Arm, _: &StoredResource, _: bool) -> Consequences {
    Consequences::default()
}

/// Returns no consequences of a deletion.
pub(crate) fn none_of_delete(_: &Arm, _: &StoredResource) -> Consequences {
    Consequences::default()
}

/// Adds no computed properties.
pub(crate) fn shows_nothing(_: &Arm, _: &StoredResource, _: &mut Object) {}

/// Returns no ids: for types that no other resource shows in itself.
pub(crate) fn no_references(_: &Arm, _: &StoredResource) -> Vec<String> {
    Vec::new()
}

/// Allows every deletion.
#[expect(clippy::unnecessary_wraps, reason = "an entry of the behaviour table, whose other entries can refuse")]
pub(crate) fn always_unused(_: &Arm, _: &StoredResource) -> Result<(), ArmError> {
    Ok(())
}

/// Resource that a write creates or replaces.
#[derive(Debug, Clone)]
pub(crate) struct WriteTarget {
    pub(crate) kind: ArmResourceType,
    /// Id with names as they were first written.
    pub(crate) id: String,
    pub(crate) location: String,
    /// Stored resource that the write replaces.
    pub(crate) existing: Option<StoredResource>,
}

/// Desired state of a resource, checked and completed with defaults.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Draft {
    /// Top-level members: `location`, `tags`, `sku`, …
    pub(crate) top: Object,
    /// Properties with their defaults, without those that are computed.
    pub(crate) properties: Object,
    /// Values that are stored and never shown; absent keys keep their stored value.
    pub(crate) hidden: Object,
    /// Children from the body: they replace all that the resource has.
    pub(crate) children: Vec<DraftChild>,
    /// Id and address of each public address that gets its address with this write.
    pub(crate) assigned_addresses: Vec<(String, String)>,
}

/// Child of a [`Draft`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DraftChild {
    pub(crate) kind: ArmResourceType,
    pub(crate) name: String,
    pub(crate) properties: Object,
}

/// Changes of the store that follow from a finished write, a deletion or a change of power.
#[derive(Debug, Clone, Default)]
pub(crate) struct Consequences {
    /// Groups to create before the new resources.
    pub(crate) new_groups: Vec<NewGroup>,
    /// Resources to create, in this order.
    pub(crate) new: Vec<NewResource>,
    /// Ids of resources to remove, each with its children and its own consequences.
    pub(crate) gone: Vec<String>,
    /// Names of groups to remove, each with everything in it.
    pub(crate) gone_groups: Vec<String>,
    /// Machine whose power changed.
    pub(crate) power: Option<PowerChange>,
    /// Id of a machine whose creation has finished: its event is published with its NICs of that
    /// time.
    pub(crate) created_machine: Option<String>,
    /// Events to publish.
    pub(crate) events: Vec<Event>,
}

/// Group that a consequence creates.
#[derive(Debug, Clone)]
pub(crate) struct NewGroup {
    pub(crate) name: String,
    pub(crate) location: String,
    /// Id of the resource that manages the group.
    pub(crate) managed_by: Option<String>,
}

/// Resource that a consequence creates.
#[derive(Debug, Clone)]
pub(crate) struct NewResource {
    pub(crate) id: String,
    pub(crate) kind: ArmResourceType,
    /// Name, if it differs from the last segment of the id.
    pub(crate) name: Option<String>,
    pub(crate) top: Object,
    pub(crate) properties: Object,
    /// Time of the creation that the resource shows.
    pub(crate) created: Timestamp,
}

impl NewResource {
    /// Returns a resource with these properties; an empty `location` is left out.
    pub(crate) fn new(id: &str, kind: ArmResourceType, location: &str, properties: Object, created: Timestamp) -> Self {
        let mut top = Object::new();
        if !location.is_empty() {
            top.insert("location".to_owned(), location.into());
        }
        Self { id: id.to_owned(), kind, name: None, top, properties, created }
    }
}

/// New power state of a machine.
#[derive(Debug, Clone)]
pub(crate) struct PowerChange {
    /// Id of the machine.
    pub(crate) machine: String,
    /// `running`, `stopped` or `deallocated`.
    pub(crate) state: &'static str,
}
