use crate::arm::error::ArmError;
use crate::arm::path::{ArmTarget, parse, subscription};
use crate::arm::request::{ArmCall, ArmReply, ArmResult};
use crate::arm::store::{ALL_TYPES, Arm, ArmResourceType};
use crate::arm::{
    access, aks, compute, delete, deployment, group, machine_action, network, operation_poll, read,
    subscription as account, write,
};

/// Answers one request by its method and path.
pub(crate) fn answer(arm: &mut Arm, call: &ArmCall) -> ArmResult {
    let target = parse(&call.segments);
    if target == ArmTarget::Nothing && subscription(&call.segments).is_none() {
        let message = "The request did not have a subscription or a valid tenant level resource provider.";
        return Err(ArmError::gateway(404, "MissingSubscription", message));
    }
    check_subscription(arm, call)?;
    check_api_version(call, &target)?;
    match (call.method.as_str(), target) {
        ("GET", ArmTarget::Subscriptions) => Ok(account::list(arm)),
        ("GET", ArmTarget::Tenants) => Ok(account::tenants(arm)),
        ("GET", ArmTarget::Subscription) => Ok(account::show(arm)),
        ("GET", ArmTarget::Locations) => Ok(account::locations(arm)),
        ("GET", ArmTarget::Providers(None)) => Ok(account::providers(arm)),
        ("GET", ArmTarget::Providers(Some(namespace))) | ("POST", ArmTarget::RegisterProvider(namespace)) => {
            account::provider(arm, &namespace)
        }
        ("GET", ArmTarget::Permissions(group)) => access::permissions(arm, group.as_deref()),
        ("GET", ArmTarget::Groups) => Ok(group::list(arm)),
        (method, ArmTarget::Group(name)) => group::answer(arm, call, method, &name),
        ("GET", ArmTarget::Resources(name)) => read::list_all(arm, call, name.as_deref()),
        ("GET", ArmTarget::GroupOperation(id)) => group::poll(arm, call, &id),
        ("GET", ArmTarget::Deployments(group)) => deployment::list(arm, &group),
        ("GET", ArmTarget::DeploymentOperation { group, name, id }) => deployment::poll(arm, call, &group, &name, &id),
        (method, ArmTarget::Deployment { group, name }) => deployment::answer(arm, call, method, &group, &name),
        ("GET", ArmTarget::Image { version }) => compute::image(arm, call, version.as_deref()),
        ("GET", ArmTarget::Operation { id }) => operation_poll::poll(arm, call, &id),
        ("GET", ArmTarget::Location { namespace, location, what }) => {
            account::of_location(arm, &namespace, &location, &what)
        }
        ("GET", ArmTarget::Collection { kind, group, parent }) => {
            read::list(arm, call, kind, group.as_deref(), parent.as_deref())
        }
        (method, ArmTarget::Item { kind, group, id }) => item(arm, call, method, kind, &group, &id),
        (method, ArmTarget::Action { kind, group, id, verb }) => {
            read::require(arm, kind, &group, &id)?;
            action(arm, call, method, kind, &id, &verb)
        }
        (_, ArmTarget::UnknownType { namespace, types }) => Err(unknown_type(call, &namespace, &types)),
        (method, ArmTarget::Nothing) => {
            Err(ArmError::gateway(404, "InvalidRequest", format!("Nothing answers {method} on this path.")))
        }
        (method, _) => Err(ArmError::method_not_allowed(method)),
    }
}

/// Answers a request for one resource.
fn item(arm: &mut Arm, call: &ArmCall, method: &str, kind: ArmResourceType, group: &str, id: &str) -> ArmResult {
    match method {
        "GET" => read::get(arm, call, kind, group, id),
        "HEAD" => Ok(ArmReply::empty(if arm.find_kind(id, kind).is_some() { 204 } else { 404 })),
        "PUT" => write::put(arm, call, kind, group, id),
        "PATCH" => write::patch(arm, call, kind, group, id),
        "DELETE" => delete::delete(arm, call, kind, group, id),
        other => Err(ArmError::method_not_allowed(other)),
    }
}

/// Answers a request for an action of a resource.
fn action(arm: &mut Arm, call: &ArmCall, method: &str, kind: ArmResourceType, id: &str, verb: &str) -> ArmResult {
    match (method, kind) {
        (_, ArmResourceType::VirtualMachine) => machine_action::machine_action(arm, call, method, id, verb),
        ("GET", ArmResourceType::ScaleSetVm) if verb == "instanceview" => Ok(compute::scale_set_instance_view(arm, id)),
        (_, ArmResourceType::ManagedCluster) => aks::action(arm, method, id, verb),
        ("POST", ArmResourceType::NetworkInterface) if verb == "effectiveroutetable" => {
            network::effective_routes(arm, id)
        }
        ("GET", ArmResourceType::SecurityGroup) if verb == "defaultsecurityrules" => {
            Ok(network::list_default_rules(arm, id))
        }
        ("GET", ArmResourceType::VirtualNetwork) if verb == "checkipaddressavailability" => {
            network::check_address(arm, call, id)
        }
        ("GET", ArmResourceType::VirtualNetwork) if verb == "usages" => Ok(network::usages(arm, id)),
        _ => Err(unknown_type(call, kind.namespace(), &format!("{}/{verb}", kind.types().join("/")))),
    }
}

/// Refuses other subscriptions than that of the world.
fn check_subscription(arm: &Arm, call: &ArmCall) -> Result<(), ArmError> {
    let Some(id) = subscription(&call.segments) else { return Ok(()) };
    if id.eq_ignore_ascii_case(&arm.subscription) {
        return Ok(());
    }
    let is_guid = id.len() == 36 && id.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    Err(if is_guid {
        ArmError::gateway(404, "SubscriptionNotFound", format!("The subscription '{id}' could not be found."))
    } else {
        let message = format!("The provided subscription identifier '{id}' is malformed or invalid.");
        ArmError::gateway(400, "InvalidSubscriptionId", message)
    })
}

/// Years of API versions that are accepted: from the first year of ARM to one after the recordings.
const YEARS: std::ops::RangeInclusive<u16> = 2014..=2027;

/// Refuses a missing or malformed API version.
fn check_api_version(call: &ArmCall, target: &ArmTarget) -> Result<(), ArmError> {
    let version = call.api_version();
    if version.is_empty() {
        let message = "The api-version query parameter (?api-version=) is required for all requests.";
        return Err(ArmError::gateway(400, "MissingApiVersionParameter", message));
    }
    if is_date(version) {
        return Ok(());
    }
    let types = match target {
        ArmTarget::Collection { kind, .. } | ArmTarget::Item { kind, .. } | ArmTarget::Action { kind, .. } => {
            kind.types().join("/")
        }
        _ => return Err(invalid_version(version)),
    };
    let message = format!(
        "No registered resource provider found for location '' and API version '{version}' for type '{types}'. The \
         supported api-versions are '2023-09-01, 2024-01-01, 2024-07-01, 2025-05-01'."
    );
    Err(ArmError::gateway(400, "NoRegisteredProviderFound", message))
}

/// Returns the 400 for a malformed API version of ARM itself.
fn invalid_version(version: &str) -> ArmError {
    let message = format!(
        "The api-version '{version}' is invalid. The supported versions are '2021-04-01,2022-12-01,2024-07-01,2024-11-01'."
    );
    ArmError::gateway(400, "InvalidApiVersionParameter", message)
}

/// True if the text is a date of the accepted years, with or without `-preview`.
fn is_date(version: &str) -> bool {
    let date = version.strip_suffix("-preview").unwrap_or(version);
    date.parse::<jiff::civil::Date>().is_ok_and(|day| u16::try_from(day.year()).is_ok_and(|year| YEARS.contains(&year)))
        && date.len() == 10
}

/// Returns the 404 for a type or namespace that is not simulated.
fn unknown_type(call: &ArmCall, namespace: &str, types: &str) -> ArmError {
    if !ALL_TYPES.iter().any(|kind| kind.namespace().eq_ignore_ascii_case(namespace)) {
        let message = format!("The resource namespace '{namespace}' is invalid.");
        return ArmError::gateway(404, "InvalidResourceNamespace", message);
    }
    let message = format!(
        "The resource type '{types}' could not be found in the namespace '{namespace}' for api version '{}'. The \
         supported api-versions are ''.",
        call.api_version()
    );
    ArmError::gateway(404, "InvalidResourceType", message)
}
