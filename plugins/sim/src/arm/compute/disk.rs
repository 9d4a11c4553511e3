use serde_json::{Value, json};

use crate::arm::behaviour::{Draft, WriteTarget};
use crate::arm::compute::machine::os_disk_id;
use crate::arm::error::ArmError;
use crate::arm::json::{Object, default, drop_keys, text};
use crate::arm::store::{Arm, ArmResourceType, StoredResource};

/// Checks a disk and adds the provider's defaults. A disk cannot become smaller.
pub(crate) fn prepare_disk(target: &WriteTarget, mut top: Object, mut properties: Object) -> Result<Draft, ArmError> {
    let creation = properties.get("creationData").ok_or_else(|| ArmError::missing("disk.creationData"))?;
    let option =
        text(creation, &["createOption"]).ok_or_else(|| ArmError::missing("disk.creationData.createOption"))?;
    let size = properties.get("diskSizeGB").and_then(Value::as_u64);
    if option == "Empty" && size.is_none() {
        return Err(ArmError::missing("disk.diskSizeGB"));
    }
    let held = target.existing.as_ref().and_then(|disk| disk.properties.get("diskSizeGB")).and_then(Value::as_u64);
    if let (Some(size), Some(held)) = (size, held)
        && size < held
    {
        let message = "New disk size should be greater than or equal to the current size of the disk.";
        return Err(ArmError::new(409, "OperationNotAllowed", message));
    }
    let sku = top.get("sku").and_then(|sku| text(sku, &["name"])).unwrap_or("Standard_LRS").to_owned();
    top.insert("sku".to_owned(), json!({ "name": sku }));
    drop_keys(
        &mut properties,
        &["timeCreated", "diskState", "diskSizeBytes", "uniqueId", "diskIOPSReadWrite", "diskMBpsReadWrite"],
    );
    for (key, value) in [
        ("encryption", json!({ "type": "EncryptionAtRestWithPlatformKey" })),
        ("networkAccessPolicy", json!("AllowAll")),
        ("publicNetworkAccess", json!("Enabled")),
    ] {
        default(&mut properties, key, value);
    }
    Ok(Draft { top, properties, ..Draft::default() })
}

/// Returns the machine that has this OS disk.
pub(crate) fn user_of<'a>(arm: &'a Arm, disk: &StoredResource) -> Option<&'a StoredResource> {
    arm.of_kind(ArmResourceType::VirtualMachine)
        .find(|machine| os_disk_id(arm, machine).is_some_and(|id| id.eq_ignore_ascii_case(&disk.id)))
}

/// Refuses to delete a disk that a machine has.
pub(crate) fn check_unused(arm: &Arm, disk: &StoredResource) -> Result<(), ArmError> {
    match user_of(arm, disk) {
        None => Ok(()),
        Some(machine) => {
            let message = format!("Disk {} is attached to VM {}.", disk.name, machine.id);
            Err(ArmError::new(409, "OperationNotAllowed", message))
        }
    }
}
