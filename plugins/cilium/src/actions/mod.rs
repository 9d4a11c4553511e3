//! The actions of this provider, one file each.

mod node_ensure;
mod nodes_ensure;

pub(crate) use node_ensure::NodeEnsure;
pub(crate) use nodes_ensure::NodesEnsure;
