use serde_json::{Value, json};

use crate::arm::json::{field, objects, reference};
use crate::arm::store::{Arm, ArmResourceType, StoredResource};

/// Returns the ids of the IP configurations whose reference `key` is `id`.
pub(crate) fn configurations_with<'a>(
    nic: &'a StoredResource,
    key: &'a str,
    id: &'a str,
) -> impl Iterator<Item = String> + 'a {
    objects(&nic.properties, "ipConfigurations").into_iter().filter_map(move |configuration| {
        let inner = configuration.get("properties").and_then(Value::as_object)?;
        let matches = reference(inner, key).is_some_and(|referenced| referenced.eq_ignore_ascii_case(id));
        matches.then(|| format!("{}/ipConfigurations/{}", nic.id, field(configuration, "name").unwrap_or_default()))
    })
}

/// Returns the machine that has the NIC.
pub(crate) fn machine_of<'a>(arm: &'a Arm, nic: &str) -> Option<&'a StoredResource> {
    arm.of_kind(ArmResourceType::VirtualMachine)
        .find(|machine| nics_of(machine).iter().any(|id| id.eq_ignore_ascii_case(nic)))
}

/// Returns the ids of a machine's NICs, the primary first.
pub(crate) fn nics_of(machine: &StoredResource) -> Vec<String> {
    let profile = machine.properties.get("networkProfile").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut nics = objects(&profile, "networkInterfaces");
    nics.sort_by_key(|nic| {
        nic.get("properties").and_then(|properties| properties.get("primary")) != Some(&json!(true))
    });
    nics.into_iter().filter_map(|nic| field(nic, "id")).map(str::to_owned).collect()
}

/// Returns the public address of the NIC's first configuration that has one.
pub(crate) fn public_address(arm: &Arm, nic: &StoredResource) -> Option<String> {
    objects(&nic.properties, "ipConfigurations").into_iter().find_map(|configuration| {
        let inner = configuration.get("properties")?.as_object()?;
        let public = arm.find(reference(inner, "publicIPAddress")?)?;
        public.hidden.get("address").and_then(Value::as_str).map(str::to_owned)
    })
}
