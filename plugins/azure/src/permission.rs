use stargate_sdk::Permission;

use crate::client::{RESOURCE_GROUP, ResourceType};

/// Authority that grants the permissions of this crate.
pub(crate) const AUTHORITY: &str = "azure";

/// Returns the permission for one operation of ARM, as roles list it:
/// `Microsoft.Network/routeTables/read`.
///
/// A write also requires `join/action` on each resource that the written one refers to.
pub(crate) const fn arm(operation: &'static str) -> Permission {
    Permission::new(AUTHORITY, operation)
}

/// Returns the permission for `verb`, such as `read`, on resources of a type.
pub(crate) fn on(resource_type: ResourceType, verb: &str) -> Permission {
    Permission::of(AUTHORITY, format!("{}/{verb}", resource_type.kind))
}

/// Returns the permissions to read and write resources of a type, and to poll the writes.
pub(crate) fn read_and_write(resource_type: ResourceType) -> Vec<Permission> {
    let (namespace, _) = resource_type.namespace();
    let mut permissions = vec![on(resource_type, "read"), on(resource_type, "write")];
    // Azure answers a write of a resource group with its result.
    if resource_type != RESOURCE_GROUP {
        permissions.push(Permission::of(AUTHORITY, format!("{namespace}/locations/operations/read")));
    }
    permissions
}
