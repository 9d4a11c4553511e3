use stargate_sdk::Permission;

/// Who grants what [`arm`] names.
pub(crate) const AUTHORITY: &str = "azure";

/// To see how a write of a network resource gets on.
pub(crate) const NETWORK_OPERATIONS: Permission = arm("Microsoft.Network/locations/operations/read");
/// The same for machines.
pub(crate) const COMPUTE_OPERATIONS: Permission = arm("Microsoft.Compute/locations/operations/read");

/// To write a network interface back as it was read, but for what is to change.
pub(crate) const INTERFACE_WRITES: &[Permission] = &[
    arm("Microsoft.Network/networkInterfaces/read"),
    arm("Microsoft.Network/networkInterfaces/write"),
    arm("Microsoft.Network/virtualNetworks/subnets/join/action"),
    arm("Microsoft.Network/publicIPAddresses/join/action"),
    NETWORK_OPERATIONS,
];

/// An operation of Azure Resource Manager, as roles list it. `join/action` is asked of what a written resource refers to.
pub(crate) const fn arm(operation: &'static str) -> Permission {
    Permission::new(AUTHORITY, operation)
}
