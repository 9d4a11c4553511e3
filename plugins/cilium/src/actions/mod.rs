//! The actions of this provider, one file each.

mod configuration_inspect;
mod node_ensure;
mod nodes_ensure;

pub(crate) use configuration_inspect::ConfigurationInspect;
pub(crate) use node_ensure::NodeEnsure;
pub(crate) use nodes_ensure::NodesEnsure;
