use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::arm::behaviour::{Consequences, Draft, NewResource, PowerChange, WriteTarget};
use crate::arm::compute::size::check_size;
use crate::arm::error::ArmError;
use crate::arm::json::{Object, default, drop_keys, field, object, objects, text};
use crate::arm::network::nics_of;
use crate::arm::store::{Arm, ArmResourceType, StoredResource, group_of, name_of};
use crate::event::Event;

/// Maximum size of decoded `customData`, in bytes.
const CUSTOM_DATA_LIMIT: usize = 65_535;

/// Account names that Azure refuses.
const FORBIDDEN_USERS: [&str; 8] = ["administrator", "admin", "root", "guest", "user", "test", "sys", "a"];

/// Checks a machine in the order in which the provider does: NICs, disk and image, OS profile, size
/// and quota.
pub(crate) fn prepare_machine(
    arm: &mut Arm,
    target: &WriteTarget,
    top: Object,
    mut properties: Object,
) -> Result<Draft, ArmError> {
    let size = properties
        .get("hardwareProfile")
        .and_then(|profile| text(profile, &["vmSize"]))
        .unwrap_or("Standard_A0")
        .to_owned();
    let hardware = json!({ "vmSize": size });
    check_network(arm, target, &properties)?;
    let storage = storage(arm, target, &properties)?;
    let (os, custom_data) = os_profile(target, &properties)?;
    check_size(arm, &size, &target.location, target.existing.as_ref())?;
    drop_keys(&mut properties, &["vmId", "timeCreated", "instanceView", "provisioningState"]);
    properties.insert("hardwareProfile".to_owned(), hardware);
    properties.insert("storageProfile".to_owned(), storage);
    properties.insert("osProfile".to_owned(), os);
    let mut hidden = Object::new();
    if let Some(custom_data) = custom_data {
        hidden.insert("customData".to_owned(), json!(custom_data));
    }
    Ok(Draft { top, properties, hidden, ..Draft::default() })
}

/// Checks that there is a NIC, and one primary NIC if there are several.
fn check_network(arm: &Arm, target: &WriteTarget, properties: &Object) -> Result<(), ArmError> {
    let profile = properties
        .get("networkProfile")
        .and_then(Value::as_object)
        .ok_or_else(|| ArmError::missing("networkProfile"))?;
    let nics = objects(profile, "networkInterfaces");
    if nics.is_empty() {
        return Err(ArmError::missing("networkProfile.networkInterfaces"));
    }
    let primaries = nics
        .iter()
        .filter(|nic| nic.get("properties").and_then(|inner| inner.get("primary")) == Some(&json!(true)))
        .count();
    if nics.len() > 1 && primaries != 1 {
        let message = "The virtual machine has more than one network interface: exactly one of them must be primary.";
        return Err(ArmError::invalid("networkProfile", message));
    }
    for nic in nics {
        let id = field(nic, "id").ok_or_else(|| ArmError::missing("networkInterface.id"))?;
        check_nic(arm, target, id)?;
    }
    Ok(())
}

/// Checks that a NIC exists in the machine's location and that no other machine has it.
fn check_nic(arm: &Arm, target: &WriteTarget, id: &str) -> Result<(), ArmError> {
    let nic = arm.find_kind(id, ArmResourceType::NetworkInterface).filter(|nic| nic.location() == target.location);
    let Some(nic) = nic else { return Err(ArmError::bad_reference(id, &target.id)) };
    let user = arm.of_kind(ArmResourceType::VirtualMachine).find(|machine| {
        !machine.id.eq_ignore_ascii_case(&target.id)
            && nics_of(machine).iter().any(|used| used.eq_ignore_ascii_case(&nic.id))
    });
    match user {
        None => Ok(()),
        Some(user) => Err(ArmError::network(
            "NicInUse",
            format!("Network Interface {} is used by existing resource {}.", nic.id, user.id),
        )),
    }
}

/// Returns the storage profile with its defaults. The name of the disk cannot change.
fn storage(arm: &mut Arm, target: &WriteTarget, properties: &Object) -> Result<Value, ArmError> {
    let mut profile = properties
        .get("storageProfile")
        .and_then(Value::as_object)
        .cloned()
        .ok_or_else(|| ArmError::missing("storageProfile"))?;
    let mut disk =
        profile.get("osDisk").and_then(Value::as_object).cloned().ok_or_else(|| ArmError::missing("osDisk"))?;
    let option = field(&disk, "createOption").ok_or_else(|| ArmError::missing("osDisk.createOption"))?.to_owned();
    let before = target.existing.as_ref().and_then(|machine| machine.properties.get("storageProfile"));
    if option == "FromImage" {
        check_image(&mut profile, before)?;
    }
    let held = before.and_then(|storage| text(storage, &["osDisk", "name"])).map(str::to_owned);
    let name = match (field(&disk, "name"), held) {
        (Some(asked), Some(held)) if !asked.eq_ignore_ascii_case(&held) => {
            return Err(change_not_allowed("osDisk.name"));
        }
        (_, Some(held)) => held,
        (Some(asked), None) => asked.to_owned(),
        (None, None) => format!("{}_OsDisk_1_{}", name_of(&target.id), arm.guid().replace('-', "")),
    };
    disk.insert("name".to_owned(), json!(name));
    let kind =
        disk.get("managedDisk").and_then(|managed| text(managed, &["storageAccountType"])).unwrap_or("Standard_LRS");
    disk.insert("managedDisk".to_owned(), json!({ "storageAccountType": kind }));
    for (key, value) in [
        ("osType", json!("Linux")),
        ("caching", json!("ReadWrite")),
        ("deleteOption", json!("Detach")),
        ("diskSizeGB", json!(30)),
    ] {
        default(&mut disk, key, value);
    }
    profile.insert("osDisk".to_owned(), Value::Object(disk));
    default(&mut profile, "dataDisks", json!([]));
    Ok(Value::Object(profile))
}

/// Checks an image reference, which cannot change.
fn check_image(profile: &mut Object, before: Option<&Value>) -> Result<(), ArmError> {
    let mut image = profile
        .get("imageReference")
        .and_then(Value::as_object)
        .cloned()
        .ok_or_else(|| ArmError::missing("imageReference"))?;
    drop_keys(&mut image, &["exactVersion"]);
    if !image.contains_key("id")
        && !image.contains_key("communityGalleryImageId")
        && !image.contains_key("sharedGalleryImageId")
    {
        for key in ["publisher", "offer", "sku", "version"] {
            field(&image, key).ok_or_else(|| ArmError::missing(&format!("imageReference.{key}")))?;
        }
    }
    let image = Value::Object(image);
    if before.and_then(|storage| storage.get("imageReference")).is_some_and(|held| *held != image) {
        return Err(change_not_allowed("imageReference"));
    }
    profile.insert("imageReference".to_owned(), image);
    Ok(())
}

/// Returns the profile as it is shown, and the custom data, which never is.
fn os_profile(target: &WriteTarget, properties: &Object) -> Result<(Value, Option<String>), ArmError> {
    let held = target.existing.as_ref().and_then(|machine| machine.properties.get("osProfile"));
    let profile = properties.get("osProfile").and_then(Value::as_object);
    let mut profile = match (profile, held) {
        (Some(profile), _) => profile.clone(),
        (None, Some(held)) => return Ok((held.clone(), None)),
        (None, None) => return Err(ArmError::missing("osProfile")),
    };
    let custom_data = field(&profile, "customData").filter(|data| !data.is_empty()).map(str::to_owned);
    if let Some(data) = &custom_data {
        check_custom_data(target, data)?;
    }
    let user = field(&profile, "adminUsername").ok_or_else(|| ArmError::missing("adminUsername"))?.to_owned();
    if FORBIDDEN_USERS.contains(&user.to_ascii_lowercase().as_str()) {
        let message = "The Admin Username specified is not allowed. For more information about disallowed usernames, see https://aka.ms/vmosprofile";
        return Err(ArmError::invalid("adminUsername", message));
    }
    let has_password = field(&profile, "adminPassword").is_some();
    drop_keys(&mut profile, &["customData", "adminPassword"]);
    default(&mut profile, "computerName", json!(name_of(&target.id)));
    if profile.get("windowsConfiguration").is_none() {
        linux(&mut profile, has_password || held.is_some())?;
    }
    default(&mut profile, "secrets", json!([]));
    default(&mut profile, "allowExtensionOperations", json!(true));
    default(&mut profile, "requireGuestProvisionSignal", json!(true));
    if let Some(held) = held {
        check_kept(held, &profile)?;
    }
    Ok((Value::Object(profile), custom_data))
}

/// Checks the encoding and size of the custom data, which cannot change.
fn check_custom_data(target: &WriteTarget, data: &str) -> Result<(), ArmError> {
    let decoded = STANDARD.decode(data).ok().filter(|decoded| decoded.len() <= CUSTOM_DATA_LIMIT);
    if decoded.is_none() {
        let message =
            "Custom data in OSProfile must be in Base64 encoding and with a maximum length of 87380 characters.";
        return Err(ArmError::invalid("customData", message));
    }
    let held = target.existing.as_ref().map(|machine| machine.hidden.get("customData").and_then(Value::as_str));
    match held {
        Some(held) if held != Some(data) => Err(change_not_allowed("customData")),
        _ => Ok(()),
    }
}

/// Adds the defaults of the Linux configuration. Refuses a machine without SSH key and password.
fn linux(profile: &mut Object, has_password: bool) -> Result<(), ArmError> {
    let mut configuration = profile.get("linuxConfiguration").and_then(Value::as_object).cloned().unwrap_or_default();
    let keys = configuration
        .get("ssh")
        .and_then(Value::as_object)
        .map(|ssh| objects(ssh, "publicKeys").len())
        .unwrap_or_default();
    default(&mut configuration, "disablePasswordAuthentication", json!(keys > 0 && !has_password));
    if keys == 0 && !has_password {
        let message = "Authentication using either SSH or by user name and password must be enabled in Linux profile.";
        return Err(ArmError::invalid("linuxConfiguration", message));
    }
    default(&mut configuration, "provisionVMAgent", json!(true));
    default(
        &mut configuration,
        "patchSettings",
        json!({ "patchMode": "ImageDefault", "assessmentMode": "ImageDefault" }),
    );
    default(&mut configuration, "enableVMAgentPlatformUpdates", json!(true));
    profile.insert("linuxConfiguration".to_owned(), Value::Object(configuration));
    Ok(())
}

/// Refuses a change of the properties that a machine keeps for its lifetime.
fn check_kept(held: &Value, profile: &Object) -> Result<(), ArmError> {
    for key in ["computerName", "adminUsername"] {
        if held.get(key) != profile.get(key) {
            return Err(change_not_allowed(key));
        }
    }
    let keys = |profile: Option<&Value>| profile.and_then(|linux| linux.get("ssh")).cloned();
    if keys(held.get("linuxConfiguration")) != keys(profile.get("linuxConfiguration")) {
        return Err(change_not_allowed("linuxConfiguration.ssh.publicKeys"));
    }
    Ok(())
}

/// Returns the error for a property that cannot change.
fn change_not_allowed(property: &str) -> ArmError {
    let error =
        ArmError::new(409, "PropertyChangeNotAllowed", format!("Changing property '{property}' is not allowed."));
    ArmError { target: Some(property.into()), ..error }
}

/// Returns the consequences of a machine's creation: it runs and has its disk. A change of a
/// machine has none.
pub(crate) fn finish_machine(arm: &Arm, machine: &StoredResource, created: bool) -> Consequences {
    if !created {
        return Consequences::default();
    }
    Consequences {
        power: Some(PowerChange { machine: machine.id.clone(), state: "running" }),
        new: new_disk(arm, machine).into_iter().collect(),
        created_machine: Some(machine.id.clone()),
        ..Consequences::default()
    }
}

/// Returns the ids of the NICs that a machine has, which show it in themselves.
pub(crate) fn references(_: &Arm, machine: &StoredResource) -> Vec<String> {
    nics_of(machine)
}

/// Returns the description of the OS disk in the storage profile.
fn os_disk(machine: &StoredResource) -> Option<&Value> {
    machine.properties.get("storageProfile")?.get("osDisk")
}

/// Returns the id that the OS disk of a machine has or will have.
pub(crate) fn os_disk_id(arm: &Arm, machine: &StoredResource) -> Option<String> {
    let name = text(os_disk(machine)?, &["name"])?;
    Some(format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Compute/disks/{name}",
        arm.subscription,
        group_of(&machine.id)
    ))
}

/// Returns the OS disk of a machine, unless it exists.
fn new_disk(arm: &Arm, machine: &StoredResource) -> Option<NewResource> {
    let id = os_disk_id(arm, machine).filter(|id| arm.find(id).is_none())?;
    let os_disk = os_disk(machine)?;
    let sku = text(os_disk, &["managedDisk", "storageAccountType"]).unwrap_or("Standard_LRS");
    let top = json!({ "location": machine.location(), "sku": { "name": sku } });
    let properties = json!({
        "osType": "Linux",
        "creationData": { "createOption": "FromImage" },
        "diskSizeGB": os_disk.get("diskSizeGB").cloned().unwrap_or(json!(30)),
    });
    Some(NewResource {
        id,
        kind: ArmResourceType::Disk,
        name: None,
        top: object(top),
        properties: object(properties),
        created: machine.created,
    })
}

/// Returns the consequences of a machine's deletion: its disk and NICs go if they have
/// `deleteOption: Delete`.
pub(crate) fn after_delete(arm: &Arm, machine: &StoredResource) -> Consequences {
    let removes_disk = os_disk(machine).and_then(|disk| text(disk, &["deleteOption"])) == Some("Delete");
    let disk = os_disk_id(arm, machine).filter(|_| removes_disk);
    let profile = machine.properties.get("networkProfile").and_then(Value::as_object).cloned().unwrap_or_default();
    let nics = objects(&profile, "networkInterfaces").into_iter().filter_map(|nic| {
        let option = nic.get("properties").and_then(|inner| text(inner, &["deleteOption"]));
        field(nic, "id").filter(|_| option == Some("Delete")).map(str::to_owned)
    });
    Consequences {
        gone: disk.into_iter().chain(nics).collect(),
        events: vec![Event::MachineDeleted { name: machine.name.clone() }],
        ..Consequences::default()
    }
}
