/// Type of ARM resources, with what requests to them and messages about them contain.
///
/// Each type is declared in the file of the action that manages it, so that ARM ids that are built
/// there know how to be requested and named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResourceType {
    /// Namespace and types, such as `Microsoft.Network/virtualNetworks/subnets`.
    pub(crate) kind: &'static str,
    /// API version that the request bodies of this crate are written for, such as `2024-01-01`.
    pub(crate) api_version: &'static str,
    /// Noun for messages, such as `virtual network`.
    pub(crate) noun: &'static str,
}

impl ResourceType {
    /// Returns the type of a kind, with the API version of its requests and its noun.
    pub(crate) const fn new(kind: &'static str, api_version: &'static str, noun: &'static str) -> Self {
        Self { kind, api_version, noun }
    }

    /// Splits the kind into namespace and types: `Microsoft.Network` and `routeTables`.
    ///
    /// # Panics
    /// If the kind has no slash: an error of the program.
    pub(crate) fn namespace(&self) -> (&'static str, &'static str) {
        self.kind.split_once('/').expect("a kind is a namespace and types")
    }
}

/// Resource groups, in which all other resources are.
///
/// Roles and ARM's own templates use this kind; the ids of groups have no kind at all.
pub(crate) const RESOURCE_GROUP: ResourceType =
    ResourceType::new("Microsoft.Resources/subscriptions/resourceGroups", "2024-07-01", "resource group");
