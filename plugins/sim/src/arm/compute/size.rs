use serde_json::{Value, json};

use crate::arm::error::ArmError;
use crate::arm::json::text;
use crate::arm::request::ArmReply;
use crate::arm::store::{Arm, ArmResourceType, StoredResource};

/// Sizes that are listed. Other sizes with a name of the same form are accepted too.
const LISTED: [&str; 9] = [
    "Standard_B2s",
    "Standard_B2ms",
    "Standard_D2s_v3",
    "Standard_D4s_v3",
    "Standard_D2ads_v5",
    "Standard_D2s_v5",
    "Standard_D4s_v5",
    "Standard_D8s_v5",
    "Standard_E4s_v5",
];

/// Returns the number of virtual processors in the name of a size, or `None` if it is not a name of
/// a size.
pub(crate) fn cores(size: &str) -> Option<u64> {
    let rest = size.strip_prefix("Standard_").or_else(|| size.strip_prefix("Basic_"))?;
    let family = rest.chars().take_while(char::is_ascii_uppercase).count();
    let digits: String = rest.chars().skip(family).take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|_| family > 0)
}

/// Refuses a size that does not exist, has no capacity in the region, or exceeds the quota.
pub(crate) fn check_size(
    arm: &Arm,
    size: &str,
    location: &str,
    existing: Option<&StoredResource>,
) -> Result<(), ArmError> {
    let Some(wanted) = cores(size) else {
        return Err(ArmError::invalid("vmSize", format!("The value {size} provided for the VM size is not valid.")));
    };
    if arm.quota.unavailable_sizes.iter().any(|unavailable| unavailable.eq_ignore_ascii_case(size)) {
        let message = format!(
            "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: {size}' is currently \
             not available in location '{location}'. Please try another size or deploy to a different location or different \
             zone. See https://aka.ms/azureskunotavailable for details."
        );
        return Err(ArmError::new(409, "SkuNotAvailable", message));
    }
    let held = existing.and_then(machine_cores).unwrap_or_default();
    let used = used_cores(arm, location);
    let required = wanted.saturating_sub(held);
    match arm.quota.cores {
        Some(limit) if required > 0 && used + required > limit => Err(over_quota(location, limit, used, required)),
        _ => Ok(()),
    }
}

/// Returns the error for a write that exceeds the quota of cores.
fn over_quota(location: &str, limit: u64, used: u64, required: u64) -> ArmError {
    let message = format!(
        "Operation could not be completed as it results in exceeding approved Total Regional Cores quota. Additional details \
         - Deployment Model: Resource Manager, Location: {location}, Current Limit: {limit}, Current Usage: {used}, \
         Additional Required: {required}, (Minimum) New Limit Required: {}. Submit a request for Quota increase.",
        used + required
    );
    ArmError::new(409, "OperationNotAllowed", message)
}

/// Returns the number of cores of a machine.
fn machine_cores(machine: &StoredResource) -> Option<u64> {
    let profile = machine.properties.get("hardwareProfile")?;
    text(profile, &["vmSize"]).and_then(cores)
}

/// Returns the number of cores of all machines in a location.
fn used_cores(arm: &Arm, location: &str) -> u64 {
    let machines = arm.of_kind(ArmResourceType::VirtualMachine).chain(arm.of_kind(ArmResourceType::ScaleSetVm));
    machines.filter(|machine| machine.location() == location).filter_map(machine_cores).sum()
}

/// Answers with the usage of cores and machines in a location.
pub(crate) fn usages(arm: &Arm, location: &str) -> ArmReply {
    // What a fresh pay-as-you-go subscription has.
    let limit = arm.quota.cores.unwrap_or(100);
    let value = json!([
        {
            "unit": "Count",
            "currentValue": used_cores(arm, location),
            "limit": limit,
            "name": { "value": "cores", "localizedValue": "Total Regional vCPUs" },
        },
        {
            "unit": "Count",
            "currentValue": arm.of_kind(ArmResourceType::VirtualMachine).filter(|machine| machine.location() == location).count(),
            "limit": 25000,
            "name": { "value": "virtualMachines", "localizedValue": "Virtual Machines" },
        },
    ]);
    ArmReply::json(200, json!({ "value": value }))
}

/// Answers with the listed sizes.
pub(crate) fn sizes() -> ArmReply {
    let value: Vec<Value> = LISTED
        .iter()
        .map(|size| {
            let cores = cores(size).unwrap_or_default();
            json!({
                "name": size,
                "numberOfCores": cores,
                "osDiskSizeInMB": 1_047_552,
                "resourceDiskSizeInMB": 0,
                "memoryInMB": cores * 4096,
                "maxDataDiskCount": cores * 2,
            })
        })
        .collect();
    ArmReply::json(200, json!({ "value": value }))
}
