use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::arm::call::Reply;
use crate::arm::compute::disk::user_of;
use crate::arm::compute::image::VERSION;
use crate::arm::compute::machine::os_disk_id;
use crate::arm::json::{Object, default};
use crate::arm::kind::Kind;
use crate::arm::store::{Arm, Resource, uuid};

/// Adds what the provider computes.
pub(crate) fn computed(arm: &Arm, resource: &Resource, shown: &mut Object) {
    match resource.kind {
        Kind::VirtualMachine => machine(arm, resource, shown),
        Kind::Disk => disk(arm, resource, shown),
        Kind::ScaleSetVm => {
            shown.insert("vmId".to_owned(), json!(resource.guid));
            shown.insert("timeCreated".to_owned(), json!(resource.created.to_string()));
        }
        Kind::ScaleSet => {
            shown.insert("uniqueId".to_owned(), json!(resource.guid));
            shown.insert("timeCreated".to_owned(), json!(resource.created.to_string()));
        }
        Kind::ScaleSetNic => crate::arm::network::computed(arm, resource, shown),
        _ => {}
    }
}

fn machine(arm: &Arm, machine: &Resource, shown: &mut Object) {
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

fn disk(arm: &Arm, disk: &Resource, shown: &mut Object) {
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

/// A system-assigned identity has a principal.
pub(crate) fn describe_identity(body: &mut Value) {
    let id = body.get("id").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let system =
        body.pointer("/identity/type").and_then(Value::as_str).is_some_and(|kind| kind.contains("SystemAssigned"));
    if let (true, Some(identity)) = (system, body.get_mut("identity").and_then(Value::as_object_mut)) {
        identity.insert("principalId".to_owned(), json!(uuid(&Sha256::digest(id))));
    }
}

/// The compute provider's own rate limits.
pub(crate) fn with_limits(reply: Reply) -> Reply {
    let remaining = "Microsoft.Compute/GetOperation3Min;14976,Microsoft.Compute/GetOperation30Min;29759";
    reply.with_header("x-ms-ratelimit-remaining-resource", remaining).with_header("x-ms-request-charge", "1")
}
