use serde_json::{Map, Value};

use super::json::{at, str_at, strings_at};
use super::resource::Resource;

/// Type information of a value by its position in an object: merge strategy of lists, and declared
/// keys of maps.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape<'a> {
    /// Part of a built-in object: its kind, the name of the enclosing field, and the name of the
    /// field itself.
    BuiltIn { kind: &'a str, parent: &'a str, name: &'a str },
    /// Part of a custom object, described by its schema.
    Custom(&'a Value),
}

/// Merge strategy of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListKind {
    /// List that is replaced as a whole.
    Atomic,
    /// List of distinct values, which are merged.
    Set,
    /// List of objects that are identified by the values of these keys.
    Map(Vec<String>),
}

/// Fields of built-in objects that are maps with keys of the user's choice.
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

/// Fields of built-in objects that always exist, though they may be empty, so that they never
/// appear or disappear.
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

/// Value for positions without a schema.
const NULL: Value = Value::Null;

impl<'a> Shape<'a> {
    /// Returns the shape of a whole object.
    pub(crate) fn of(resource: &'a Resource) -> Self {
        match resource.schema() {
            Some(schema) => Self::Custom(schema),
            None => Self::BuiltIn { kind: &resource.kind, parent: "", name: "" },
        }
    }

    /// Returns the shape of a field.
    pub(crate) fn field(self, field: &'a str) -> Self {
        match self {
            Self::BuiltIn { kind, name, .. } => Self::BuiltIn { kind, parent: name, name: field },
            // Custom objects have the same metadata as built-in ones.
            Self::Custom(schema) if field == "metadata" && schema.pointer("/properties/apiVersion").is_some() => {
                Self::BuiltIn { kind: "", parent: "", name: field }
            }
            Self::Custom(schema) => {
                let declared = at(schema, &["properties", field]);
                Self::Custom(declared.or_else(|| schema.get("additionalProperties")).unwrap_or(&NULL))
            }
        }
    }

    /// Returns the shape of the items of a list.
    pub(crate) fn items(self) -> Self {
        match self {
            // Fields of the items have the list as their parent.
            Self::BuiltIn { .. } => self,
            Self::Custom(schema) => Self::Custom(schema.get("items").unwrap_or(&NULL)),
        }
    }

    /// Returns the merge strategy of a list in a server-side apply.
    ///
    /// A list of unknown strategy is atomic, the default of Kubernetes.
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

    /// Returns true if a map is owned as a whole.
    pub(crate) fn is_atomic_map(self) -> bool {
        match self {
            Self::BuiltIn { kind, name, .. } => match name {
                "nodeSelector" | "roleRef" | "fieldRef" | "secretKeyRef" | "configMapKeyRef" => true,
                // Label selectors are atomic, as is the selector of a service.
                "selector" => !kind.is_empty(),
                _ => false,
            },
            Self::Custom(schema) => str_at(schema, &["x-kubernetes-map-type"]) == "atomic",
        }
    }

    /// Returns true if `key` is declared in the map, rather than chosen by a user.
    pub(crate) fn declares(self, key: &str) -> bool {
        match self {
            Self::BuiltIn { name, .. } => !OPEN.contains(&name),
            Self::Custom(schema) => {
                at(schema, &["properties", key]).is_some() || matches!(key, "metadata" | "kind" | "apiVersion")
            }
        }
    }

    /// Returns true if a field always exists.
    pub(crate) fn is_solid(self, field: &str) -> bool {
        match self {
            Self::BuiltIn { .. } => SOLID.contains(&field),
            Self::Custom(_) => field == "metadata",
        }
    }
}

/// Returns the merge strategy of a list of a built-in object by its field name.
///
/// The strategies are those of the `listType` markers in the API of Kubernetes, for the fields in
/// use.
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

/// Returns the keys that identify an item of a list; `None` if a key is missing.
///
/// A missing `protocol` is `TCP`, its default.
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
