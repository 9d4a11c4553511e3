use serde_json::{Map, Value};

use super::json::{at, str_at, strings_at};
use super::resource::Resource;

/// What is known of a value from where it sits in its object: how its lists merge and which maps
/// have declared keys.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape<'a> {
    /// Part of a built-in object: its kind, the name of what holds the value, and the value's own
    /// name.
    BuiltIn { kind: &'a str, parent: &'a str, name: &'a str },
    /// Part of a custom object, by its schema.
    Custom(&'a Value),
}

/// How two lists become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListKind {
    /// As a whole.
    Atomic,
    /// By value.
    Set,
    /// By the values of keys in each item.
    Map(Vec<String>),
}

/// Maps of a user's own keys, in built-in objects.
const OPEN: [&str; 14] = [
    "labels",
    "annotations",
    "data",
    "stringData",
    "binaryData",
    "nodeSelector",
    "matchLabels",
    "selector",
    "limits",
    "requests",
    "capacity",
    "allocatable",
    "parameters",
    "extra",
];

/// Fields of built-in objects that are always there, though they may be empty, so that they never
/// appear or go.
const SOLID: [&str; 10] = [
    "metadata",
    "spec",
    "status",
    "template",
    "daemonEndpoints",
    "kubeletEndpoint",
    "nodeInfo",
    "resources",
    "roleRef",
    "strategy",
];

const NULL: Value = Value::Null;

impl<'a> Shape<'a> {
    /// The shape of a whole object.
    pub(crate) fn of(resource: &'a Resource) -> Self {
        match resource.schema() {
            Some(schema) => Self::Custom(schema),
            None => Self::BuiltIn { kind: &resource.kind, parent: "", name: "" },
        }
    }

    /// The shape of a field.
    pub(crate) fn field(self, field: &'a str) -> Self {
        match self {
            Self::BuiltIn { kind, name, .. } => Self::BuiltIn { kind, parent: name, name: field },
            // Every custom object has the same metadata as a built-in one.
            Self::Custom(schema) if field == "metadata" && schema.pointer("/properties/apiVersion").is_some() => {
                Self::BuiltIn { kind: "", parent: "", name: field }
            }
            Self::Custom(schema) => {
                let declared = at(schema, &["properties", field]);
                Self::Custom(declared.or_else(|| schema.get("additionalProperties")).unwrap_or(&NULL))
            }
        }
    }

    /// The shape of a list's items.
    pub(crate) fn items(self) -> Self {
        match self {
            Self::BuiltIn { kind, name, .. } => Self::BuiltIn { kind, parent: name, name: "" },
            Self::Custom(schema) => Self::Custom(schema.get("items").unwrap_or(&NULL)),
        }
    }

    /// How the list with this shape merges on the server's side.
    pub(crate) fn list(self) -> ListKind {
        match self {
            Self::BuiltIn { kind, parent, name } => built_in_list(kind, parent, name),
            Self::Custom(schema) => match str_at(schema, &["x-kubernetes-list-type"]) {
                "map" => ListKind::Map(strings_at(schema, &["x-kubernetes-list-map-keys"])),
                "set" => ListKind::Set,
                _ => ListKind::Atomic,
            },
        }
    }

    /// Whether a map is owned as a whole.
    pub(crate) fn is_atomic_map(self) -> bool {
        match self {
            Self::BuiltIn { kind, name, .. } => match name {
                "nodeSelector" | "roleRef" | "fieldRef" | "secretKeyRef" | "configMapKeyRef" => true,
                // A label selector is atomic; a service's selector too.
                "selector" => !kind.is_empty(),
                _ => false,
            },
            Self::Custom(schema) => str_at(schema, &["x-kubernetes-map-type"]) == "atomic",
        }
    }

    /// Whether `key` is declared in the map with this shape, rather than chosen by a user.
    pub(crate) fn declares(self, key: &str) -> bool {
        match self {
            Self::BuiltIn { name, .. } => !OPEN.contains(&name),
            Self::Custom(schema) => {
                at(schema, &["properties", key]).is_some() || matches!(key, "metadata" | "kind" | "apiVersion")
            }
        }
    }

    /// Whether a field is always there.
    pub(crate) fn is_solid(self, field: &str) -> bool {
        match self {
            Self::BuiltIn { .. } => SOLID.contains(&field),
            Self::Custom(_) => field == "metadata",
        }
    }
}

fn built_in_list(kind: &str, parent: &str, name: &str) -> ListKind {
    let keys = |keys: &[&str]| ListKind::Map(keys.iter().map(|key| (*key).to_owned()).collect());
    match name {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "secrets" => keys(&["name"]),
        "ports" if kind == "Service" => keys(&["port", "protocol"]),
        "ports" if matches!(parent, "containers" | "initContainers") => keys(&["containerPort", "protocol"]),
        "conditions" => keys(&["type"]),
        "addresses" if kind == "Node" => keys(&["type"]),
        "volumeMounts" => keys(&["mountPath"]),
        "ownerReferences" => keys(&["uid"]),
        "hostAliases" | "podIPs" | "hostIPs" => keys(&["ip"]),
        "topologySpreadConstraints" => keys(&["topologyKey", "whenUnsatisfiable"]),
        "finalizers" | "podCIDRs" => ListKind::Set,
        _ => ListKind::Atomic,
    }
}

/// What names an item of a list that merges by keys; none if a key is missing.
pub(crate) fn item_key(keys: &[String], item: &Value) -> Option<Map<String, Value>> {
    let mut sorted: Vec<&String> = keys.iter().collect();
    sorted.sort();
    let mut named = Map::new();
    for key in sorted {
        let value = match (item.get(key), key.as_str()) {
            (Some(value), _) => value.clone(),
            (None, "protocol") => Value::String("TCP".to_owned()),
            (None, _) => return None,
        };
        named.insert(key.clone(), value);
    }
    Some(named)
}
