use jiff::Timestamp;
use serde_json::{Value, json};

use crate::arm::compute::machine::os_disk_id;
use crate::arm::json::text;
use crate::arm::request::ArmReply;
use crate::arm::store::{Arm, StoredResource, name_of};

/// Returns the instance view of a machine: its states, its disk, and the report of its agent while
/// it runs.
pub(crate) fn instance_view(arm: &Arm, machine: &StoredResource, now: Timestamp) -> Value {
    let power = machine.hidden.get("power").and_then(Value::as_str).unwrap_or("starting");
    let computer = machine.properties.get("osProfile").and_then(|profile| text(profile, &["computerName"]));
    let mut view = json!({
        "disks": disks(arm, machine),
        "hyperVGeneration": "V2",
        "statuses": statuses(machine, power, now),
    });
    if power == "running" {
        view["computerName"] = json!(computer);
        view["osName"] = json!("ubuntu");
        view["osVersion"] = json!("22.04");
        view["vmAgent"] = agent(now);
    }
    view
}

/// Returns the provisioning state and the power state of a machine.
fn statuses(machine: &StoredResource, power: &str, now: Timestamp) -> Value {
    let (code, display) = match machine.state.as_str() {
        "Succeeded" => ("succeeded".to_owned(), "Provisioning succeeded".to_owned()),
        "Failed" => ("failed".to_owned(), "Provisioning failed".to_owned()),
        other => (other.to_ascii_lowercase(), other.to_owned()),
    };
    json!([
        { "code": format!("ProvisioningState/{code}"), "level": "Info", "displayStatus": display, "time": now.to_string() },
        { "code": format!("PowerState/{power}"), "level": "Info", "displayStatus": format!("VM {power}") },
    ])
}

/// Returns the report of a guest agent that runs.
fn agent(now: Timestamp) -> Value {
    json!({
        "vmAgentVersion": "2.15.0.1",
        "statuses": [{
            "code": "ProvisioningState/succeeded",
            "level": "Info",
            "displayStatus": "Ready",
            "message": "Guest Agent is running",
            "time": now.to_string(),
        }],
        "extensionHandlers": [],
    })
}

/// Returns the state of the OS disk; nothing before it exists.
fn disks(arm: &Arm, machine: &StoredResource) -> Value {
    match os_disk_id(arm, machine).and_then(|id| arm.find(&id)) {
        None => json!([]),
        Some(disk) => json!([{
            "name": disk.name,
            "statuses": [{
                "code": "ProvisioningState/succeeded",
                "level": "Info",
                "displayStatus": "Provisioning succeeded",
                "time": disk.created.to_string(),
            }],
        }]),
    }
}

/// Answers with the instance view of a scale set's instance, which always runs.
pub(crate) fn scale_set_instance_view(arm: &Arm, id: &str) -> ArmReply {
    let instance = arm.find(id);
    let computer = instance.and_then(|instance| text(instance.properties.get("osProfile")?, &["computerName"]));
    let now = instance.map_or(Timestamp::UNIX_EPOCH, |instance| instance.created);
    let body = json!({
        "platformUpdateDomain": 0,
        "platformFaultDomain": name_of(id).parse::<u32>().unwrap_or_default() % 5,
        "computerName": computer,
        "osName": "ubuntu",
        "osVersion": "22.04",
        "vmAgent": agent(now),
        "hyperVGeneration": "V2",
        "statuses": [
            { "code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded", "time": now.to_string() },
            { "code": "PowerState/running", "level": "Info", "displayStatus": "VM running" },
        ],
    });
    ArmReply::json(200, body)
}
