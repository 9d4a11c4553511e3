use serde_json::Value;

use crate::arm::request::{ArmCall, ArmReply};

/// Members of network resources that 2025-05-01 has and 2024-01-01 does not. The version that added
/// each is not known here.
const LATER: [&str; 4] =
    ["privateEndpointVNetPolicies", "allowPort25Out", "defaultOutboundConnectivityEnabled", "kind"];

/// Latest API version that is known not to have them.
const BEFORE: &str = "2024-01-01";

/// Returns the answer as the requested API version has it: without later members.
pub(crate) fn as_asked(call: &ArmCall, mut reply: ArmReply) -> ArmReply {
    let network = call.segments.iter().any(|segment| segment.eq_ignore_ascii_case("Microsoft.Network"));
    let nics = call.segments.last().is_some_and(|segment| segment.eq_ignore_ascii_case("networkInterfaces"));
    if (network || nics) && call.api_version() <= BEFORE {
        reply.body.iter_mut().for_each(strip);
    }
    reply
}

/// Removes later members at any depth.
fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|key, _| !LATER.contains(&key.as_str()));
            members.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}
