use serde_json::{Value, json};

use crate::arm::compute;
use crate::arm::error::ArmError;
use crate::arm::request::{ArmReply, ArmResult};
use crate::arm::store::{ALL_TYPES, Arm, ArmResourceType};

/// Regions that resources can be in, with their display names.
pub(crate) const LOCATIONS: [(&str, &str); 12] = [
    ("canadacentral", "Canada Central"),
    ("canadaeast", "Canada East"),
    ("centralus", "Central US"),
    ("eastus", "East US"),
    ("eastus2", "East US 2"),
    ("westus", "West US"),
    ("westus2", "West US 2"),
    ("westus3", "West US 3"),
    ("northeurope", "North Europe"),
    ("westeurope", "West Europe"),
    ("germanywestcentral", "Germany West Central"),
    ("uksouth", "UK South"),
];

/// Returns the name of a region as ARM stores it, given its name or its display name.
pub(crate) fn normal_location(text: &str) -> Option<&'static str> {
    let bare: String = text.chars().filter(|character| *character != ' ').collect::<String>().to_ascii_lowercase();
    LOCATIONS.into_iter().map(|(name, _)| name).find(|name| *name == bare)
}

/// Lists the subscriptions: the one of the world.
pub(crate) fn list(arm: &Arm) -> ArmReply {
    // The one list whose specification requires the link; an empty one ends it for every SDK.
    ArmReply::json(200, json!({ "value": [body(arm)], "nextLink": "" }))
}

/// Answers with the subscription.
pub(crate) fn show(arm: &Arm) -> ArmReply {
    ArmReply::json(200, body(arm))
}

fn body(arm: &Arm) -> Value {
    json!({
        "id": format!("/subscriptions/{}", arm.subscription),
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": arm.subscription,
        "tenantId": arm.tenant,
        "displayName": "Stargate simulation",
        "state": "Enabled",
        "subscriptionPolicies": { "locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off" },
    })
}

/// Lists the tenants: the one of the world.
pub(crate) fn tenants(arm: &Arm) -> ArmReply {
    let tenant = json!({
        "id": format!("/tenants/{}", arm.tenant),
        "tenantId": arm.tenant,
        "countryCode": "CA",
        "displayName": "Stargate simulation",
        "domains": [],
        "tenantCategory": "Home",
    });
    ArmReply::json(200, json!({ "value": [tenant] }))
}

/// Lists the regions.
pub(crate) fn locations(arm: &Arm) -> ArmReply {
    let value: Vec<Value> = LOCATIONS
        .iter()
        .map(|(name, display)| {
            json!({
                "id": format!("/subscriptions/{}/locations/{name}", arm.subscription),
                "name": name,
                "type": "Region",
                "displayName": display,
                "regionalDisplayName": display,
                "metadata": { "regionType": "Physical", "regionCategory": "Recommended" },
            })
        })
        .collect();
    ArmReply::json(200, json!({ "value": value }))
}

/// Lists the providers.
pub(crate) fn providers(arm: &Arm) -> ArmReply {
    let value: Vec<Value> = namespaces().into_iter().map(|namespace| provider_body(arm, namespace)).collect();
    ArmReply::json(200, json!({ "value": value }))
}

/// Answers with one provider.
///
/// # Errors
/// 404 for a namespace that is not simulated.
pub(crate) fn provider(arm: &Arm, namespace: &str) -> ArmResult {
    let known = namespaces().into_iter().find(|known| known.eq_ignore_ascii_case(namespace));
    known.map(|namespace| ArmReply::json(200, provider_body(arm, namespace))).ok_or_else(|| {
        ArmError::gateway(404, "InvalidResourceNamespace", format!("The resource namespace '{namespace}' is invalid."))
    })
}

/// Returns the namespaces of the simulated providers.
fn namespaces() -> [&'static str; 3] {
    [
        ArmResourceType::VirtualNetwork.namespace(),
        ArmResourceType::VirtualMachine.namespace(),
        ArmResourceType::ManagedCluster.namespace(),
    ]
}

/// Returns a provider with its resource types, as registered.
fn provider_body(arm: &Arm, namespace: &str) -> Value {
    let locations: Vec<&str> = LOCATIONS.iter().map(|(_, display)| *display).collect();
    let types: Vec<Value> = ALL_TYPES
        .iter()
        .filter(|kind| kind.namespace() == namespace)
        .map(|kind| {
            json!({
                "resourceType": kind.types().join("/"),
                "locations": locations,
                "apiVersions": ["2025-05-01", "2024-07-01", "2024-05-01", "2024-01-01", "2023-09-01"],
            })
        })
        .collect();
    json!({
        "id": format!("/subscriptions/{}/providers/{namespace}", arm.subscription),
        "namespace": namespace,
        "registrationPolicy": "RegistrationRequired",
        "registrationState": "Registered",
        "resourceTypes": types,
    })
}

/// Answers with the usage, sizes or versions of a provider in a location.
pub(crate) fn of_location(arm: &Arm, namespace: &str, location: &str, what: &str) -> ArmResult {
    let compute = namespace.eq_ignore_ascii_case("Microsoft.Compute");
    let containers = namespace.eq_ignore_ascii_case("Microsoft.ContainerService");
    match what {
        "usages" if namespace.eq_ignore_ascii_case("Microsoft.Network") => Ok(network_usages(arm, location)),
        "usages" if compute => Ok(compute::usages(arm, location)),
        "vmsizes" if compute => Ok(compute::sizes()),
        "runcommands" if compute => Ok(ArmReply::json(200, json!({ "value": [] }))),
        "kubernetesversions" if containers => Ok(crate::arm::aks::versions()),
        _ => {
            let message =
                format!("The resource type 'locations/{what}' could not be found in the namespace '{namespace}'.");
            Err(ArmError::gateway(404, "InvalidResourceType", message))
        }
    }
}

/// Answers with the numbers of network resources in a location.
fn network_usages(arm: &Arm, location: &str) -> ArmReply {
    let usage = |kind: ArmResourceType, name: &str, display: &str, limit: u64| {
        let used = arm.of_kind(kind).filter(|resource| resource.location() == location).count();
        json!({
            "id": format!("/subscriptions/{}/providers/Microsoft.Network/locations/{location}/usages/{name}", arm.subscription),
            "unit": "Count",
            "currentValue": used,
            "limit": limit,
            "name": { "value": name, "localizedValue": display },
        })
    };
    let value = [
        usage(ArmResourceType::VirtualNetwork, "VirtualNetworks", "Virtual Networks", 1000),
        usage(
            ArmResourceType::PublicIp,
            "PublicIPAddresses",
            "Public IP Addresses",
            arm.quota.public_ips.unwrap_or(1000),
        ),
        usage(ArmResourceType::NetworkInterface, "NetworkInterfaces", "Network Interfaces", 65_536),
        usage(ArmResourceType::RouteTable, "RouteTables", "Route Tables", 200),
        usage(ArmResourceType::SecurityGroup, "NetworkSecurityGroups", "Network Security Groups", 5000),
    ];
    ArmReply::json(200, json!({ "value": value }))
}
