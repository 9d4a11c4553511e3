use serde_json::{Value, json};

use crate::arm::compute::disk::user_of;
use crate::arm::compute::image::VERSION;
use crate::arm::compute::machine::os_disk_id;
use crate::arm::json::{Object, default};
use crate::arm::network::add_part_ids;
use crate::arm::request::ArmReply;
use crate::arm::store::{Arm, StoredResource};

/// Adds the identifier and the time of creation of a scale set.
pub(crate) fn scale_set(_: &Arm, set: &StoredResource, shown: &mut Object) {
    shown.insert("uniqueId".to_owned(), json!(set.guid));
    shown.insert("timeCreated".to_owned(), json!(set.created.to_string()));
}

/// Adds the identifier and the time of creation of a scale set's instance.
pub(crate) fn scale_set_vm(_: &Arm, machine: &StoredResource, shown: &mut Object) {
    shown.insert("vmId".to_owned(), json!(machine.guid));
    shown.insert("timeCreated".to_owned(), json!(machine.created.to_string()));
}

/// Adds the ids of the IP configurations of an instance's NIC.
pub(crate) fn scale_set_nic(_: &Arm, nic: &StoredResource, shown: &mut Object) {
    add_part_ids(nic, shown);
}

/// Adds the identifiers of a machine, the exact version of its image and the id of its disk.
pub(crate) fn machine(arm: &Arm, machine: &StoredResource, shown: &mut Object) {
    shown.insert("vmId".to_owned(), json!(machine.guid));
    shown.insert("timeCreated".to_owned(), json!(machine.created.to_string()));
    if let Some(storage) = shown.get_mut("storageProfile") {
        if let Some(image) = storage.get_mut("imageReference").and_then(Value::as_object_mut) {
            default(image, "exactVersion", json!(VERSION));
        }
        let exists = os_disk_id(arm, machine).filter(|id| arm.find(id).is_some());
        if let (Some(id), Some(disk)) =
            (exists, storage.pointer_mut("/osDisk/managedDisk").and_then(Value::as_object_mut))
        {
            disk.insert("id".to_owned(), json!(id));
        }
    }
}

/// Adds the state and the limits of a finished disk.
pub(crate) fn disk(arm: &Arm, disk: &StoredResource, shown: &mut Object) {
    if disk.state != "Succeeded" {
        return;
    }
    let size = disk.properties.get("diskSizeGB").and_then(Value::as_u64).unwrap_or_default();
    let user = user_of(arm, disk);
    for (key, value) in [
        ("diskIOPSReadWrite", json!(500)),
        ("diskMBpsReadWrite", json!(60)),
        ("timeCreated", json!(disk.created.to_string())),
        ("diskState", json!(if user.is_some() { "Attached" } else { "Unattached" })),
        ("diskSizeBytes", json!(size << 30)),
        ("uniqueId", json!(disk.guid)),
    ] {
        shown.insert(key.to_owned(), value);
    }
}

/// Adds the headers of the compute provider's own rate limits.
pub(crate) fn with_limits(reply: ArmReply) -> ArmReply {
    let remaining = "Microsoft.Compute/GetOperation3Min;14976,Microsoft.Compute/GetOperation30Min;29759";
    reply.with_header("x-ms-ratelimit-remaining-resource", remaining).with_header("x-ms-request-charge", "1")
}
