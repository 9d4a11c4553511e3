use std::fmt;

/// Two facts that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Description of the contradiction, with the names of both owners.
    pub message: String,
    /// Action that the reader can take.
    pub hint: String,
}

/// A conflict with the facts that contradict each other.
#[derive(Debug)]
pub(crate) struct FoundConflict {
    pub(crate) conflict: Conflict,
    pub(crate) parties: [ConflictParty; 2],
}

/// Owner of a fact that is part of a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConflictParty {
    /// AKS node, by its index in the facts.
    AksNode(usize),
    /// Datacenter, by its index in the facts.
    Site(usize),
    /// The cluster, the tailnet or another network.
    Other,
}

impl FoundConflict {
    /// AKS nodes, by their index, without which there is no conflict.
    pub(crate) fn aks_nodes(&self) -> impl Iterator<Item = usize> {
        self.parties.iter().filter_map(|party| match party {
            ConflictParty::AksNode(index) => Some(*index),
            ConflictParty::Site(_) | ConflictParty::Other => None,
        })
    }

    /// True if the conflict is resolved when an AKS node is left out.
    pub(crate) fn is_of_aks_node(&self) -> bool {
        self.aks_nodes().next().is_some()
    }
}

impl Conflict {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.hint)
    }
}

/// All conflicts of a set of facts, at least one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", join(.0))]
pub struct Conflicts(pub Vec<Conflict>);

fn join(conflicts: &[Conflict]) -> String {
    conflicts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
