use crate::arm::store::ArmResourceType;

/// Resource, list or action that a path names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ArmTarget {
    Subscriptions,
    Tenants,
    Subscription,
    Locations,
    /// One provider of the subscription, or all of them.
    Providers(Option<String>),
    RegisterProvider(String),
    /// Permissions of the caller in the subscription, or in one of its groups.
    Permissions(Option<String>),
    Groups,
    Group(String),
    /// Resources of a group, or of the subscription.
    Resources(Option<String>),
    /// `operationresults/{id}`: the deletion of a group.
    GroupOperation(String),
    /// Deployments of a group.
    Deployments(String),
    Deployment {
        group: String,
        name: String,
    },
    DeploymentOperation {
        group: String,
        name: String,
        id: String,
    },
    /// Versions of an image, or one of them.
    Image {
        version: Option<String>,
    },
    /// An operation of a provider.
    Operation {
        id: String,
    },
    /// Facts of a provider about a location.
    Location {
        namespace: String,
        location: String,
        what: String,
    },
    /// Resources of one type: in the subscription, in a group or below a resource.
    Collection {
        kind: ArmResourceType,
        group: Option<String>,
        parent: Option<String>,
    },
    /// One resource, which may not exist.
    Item {
        kind: ArmResourceType,
        group: String,
        id: String,
    },
    /// An action of one resource.
    Action {
        kind: ArmResourceType,
        group: String,
        id: String,
        verb: String,
    },
    /// A type that the namespace does not have.
    UnknownType {
        namespace: String,
        types: String,
    },
    /// A path that nothing answers.
    Nothing,
}

/// Returns the subscription that a path names.
pub(crate) fn subscription(segments: &[String]) -> Option<&str> {
    match segments {
        [first, id, ..] if first.eq_ignore_ascii_case("subscriptions") => Some(id),
        _ => None,
    }
}

/// Parses the segments of a path. Fixed words are compared without case.
pub(crate) fn parse(segments: &[String]) -> ArmTarget {
    let words: Vec<String> = segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["subscriptions"] => ArmTarget::Subscriptions,
        ["tenants"] => ArmTarget::Tenants,
        ["providers"] | ["subscriptions", _, "providers"] => ArmTarget::Providers(None),
        ["subscriptions", _] => ArmTarget::Subscription,
        ["subscriptions", _, "locations"] => ArmTarget::Locations,
        ["subscriptions", _, "resources"] => ArmTarget::Resources(None),
        ["subscriptions", _, "resourcegroups"] => ArmTarget::Groups,
        ["subscriptions", _, "operationresults", _] => ArmTarget::GroupOperation(segments[3].clone()),
        ["subscriptions", _, "providers", _] => ArmTarget::Providers(Some(segments[3].clone())),
        ["subscriptions", _, "providers", _, "register"] => ArmTarget::RegisterProvider(segments[3].clone()),
        [
            "subscriptions",
            _,
            "providers",
            _,
            "locations",
            _,
            "operations" | "operationresults" | "diskoperations",
            _,
        ] => ArmTarget::Operation { id: words[7].to_owned() },
        ["subscriptions", _, "providers", "microsoft.compute", "locations", _, "publishers", rest @ ..] => image(rest),
        ["subscriptions", _, "providers", _, "locations", _, what, ..] => ArmTarget::Location {
            namespace: segments[3].clone(),
            location: words[5].to_owned(),
            what: (*what).to_owned(),
        },
        ["subscriptions", _, "providers", "microsoft.authorization", "permissions"] => ArmTarget::Permissions(None),
        ["subscriptions", _, "providers", namespace, kind] => collection(namespace, &[kind], None, None),
        ["subscriptions", _, "resourcegroups", _] => ArmTarget::Group(segments[3].clone()),
        ["subscriptions", _, "resourcegroups", _, "providers", "microsoft.authorization", "permissions"] => {
            ArmTarget::Permissions(Some(segments[3].clone()))
        }
        ["subscriptions", _, "resourcegroups", _, "resources"] => ArmTarget::Resources(Some(segments[3].clone())),
        ["subscriptions", _, "resourcegroups", _, "providers", "microsoft.resources", "deployments", rest @ ..] => {
            deployment(segments, rest)
        }
        ["subscriptions", _, "resourcegroups", _, "providers", _, _, ..] => in_group(segments),
        _ => ArmTarget::Nothing,
    }
}

/// Parses the rest of a path,
/// `{publisher}/artifacttypes/vmimage/offers/{offer}/skus/{sku}/versions[/{version}]`.
fn image(rest: &[&str]) -> ArmTarget {
    match rest {
        [_, "artifacttypes", "vmimage", "offers", _, "skus", _, "versions"] => ArmTarget::Image { version: None },
        [_, "artifacttypes", "vmimage", "offers", _, "skus", _, "versions", version] => {
            ArmTarget::Image { version: Some((*version).to_owned()) }
        }
        _ => ArmTarget::Nothing,
    }
}

/// Parses the rest of a path to deployments of a group.
fn deployment(segments: &[String], rest: &[&str]) -> ArmTarget {
    let group = segments[3].clone();
    match rest {
        [] => ArmTarget::Deployments(group),
        [_] => ArmTarget::Deployment { group, name: segments[7].clone() },
        [_, "operationstatuses", id] => {
            ArmTarget::DeploymentOperation { group, name: segments[7].clone(), id: (*id).to_owned() }
        }
        _ => ArmTarget::Nothing,
    }
}

/// Parses a path below `resourceGroups/{group}/providers`.
fn in_group(segments: &[String]) -> ArmTarget {
    let (group, namespace, rest) = (&segments[3], &segments[5], &segments[6..]);
    let types: Vec<&str> = rest.iter().step_by(2).map(String::as_str).collect();
    if rest.len().is_multiple_of(2) {
        return match ArmResourceType::find(namespace, &types) {
            Some(kind) => ArmTarget::Item { kind, group: group.clone(), id: id_of(segments) },
            None => unknown(namespace, &types),
        };
    }
    let parent = (rest.len() > 1).then(|| id_of(&segments[..segments.len() - 1]));
    match collection(namespace, &types, Some(group), parent.as_deref()) {
        ArmTarget::UnknownType { .. } if rest.len() > 1 => action(group, namespace, &types, parent.as_deref()),
        found => found,
    }
}

/// Returns the list of a type, or an unknown type.
fn collection(namespace: &str, types: &[&str], group: Option<&str>, parent: Option<&str>) -> ArmTarget {
    let kind = ArmResourceType::find(namespace, types).or_else(|| all_nics_of_scale_set(namespace, types));
    match kind {
        Some(kind) => {
            ArmTarget::Collection { kind, group: group.map(str::to_owned), parent: parent.map(str::to_owned) }
        }
        None => unknown(namespace, types),
    }
}

/// Returns the type of the one collection that skips a level: the NICs of every instance of a scale
/// set.
fn all_nics_of_scale_set(namespace: &str, types: &[&str]) -> Option<ArmResourceType> {
    let nics = matches!(types, [set, nics] if set.eq_ignore_ascii_case("virtualMachineScaleSets") && nics.eq_ignore_ascii_case("networkInterfaces"));
    (nics && namespace.eq_ignore_ascii_case("Microsoft.Compute")).then_some(ArmResourceType::ScaleSetNic)
}

/// Returns the action whose verb follows the id of a resource.
fn action(group: &str, namespace: &str, types: &[&str], parent: Option<&str>) -> ArmTarget {
    let (verb, types) = types.split_last().map_or(("", types), |(verb, types)| (*verb, types));
    match (ArmResourceType::find(namespace, types), parent) {
        (Some(kind), Some(id)) => {
            ArmTarget::Action { kind, group: group.to_owned(), id: id.to_owned(), verb: verb.to_ascii_lowercase() }
        }
        _ => unknown(namespace, types),
    }
}

fn unknown(namespace: &str, types: &[&str]) -> ArmTarget {
    ArmTarget::UnknownType { namespace: namespace.to_owned(), types: types.join("/") }
}

/// Returns the resource id of a path.
fn id_of(segments: &[String]) -> String {
    segments.iter().fold(String::new(), |id, segment| id + "/" + segment)
}
