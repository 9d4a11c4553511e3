use serde_json::Value;

use crate::arm::request::{ArmCall, ArmReply};

/// Network members that 2024-01-01 does not have and 2025-05-01 has. Where between the two they came is not known here.
const LATER: [&str; 4] =
    ["privateEndpointVNetPolicies", "allowPort25Out", "defaultOutboundConnectivityEnabled", "kind"];

/// The last api-version that is known not to have them.
const BEFORE: &str = "2024-01-01";

/// An answer as the asked api-version has it: without what came later.
pub(crate) fn as_asked(call: &ArmCall, mut reply: ArmReply) -> ArmReply {
    let network = call.segments.iter().any(|segment| segment.eq_ignore_ascii_case("Microsoft.Network"));
    let nics = call.segments.last().is_some_and(|segment| segment.eq_ignore_ascii_case("networkInterfaces"));
    if (network || nics) && call.api_version() <= BEFORE {
        reply.body.iter_mut().for_each(strip);
    }
    reply
}

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
