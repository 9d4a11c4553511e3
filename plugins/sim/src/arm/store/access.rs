use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Operations that the holder of a token may perform: all, except the withheld ones.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct GrantedAccess {
    /// Operations that are withheld in the whole subscription, as roles name them.
    pub(crate) withheld: BTreeSet<String>,
    /// Operations that are granted in a group although they are withheld, by lower-case name of the
    /// group.
    in_groups: BTreeMap<String, BTreeSet<String>>,
}

impl GrantedAccess {
    /// Grants an operation (`on`) or withholds it, in the subscription or in one group.
    pub(crate) fn set(&mut self, operation: &str, group: Option<&str>, on: bool) {
        let operation = operation.to_owned();
        match group.map(str::to_ascii_lowercase) {
            Some(group) if on => drop(self.in_groups.entry(group).or_default().insert(operation)),
            Some(group) => drop(self.in_groups.entry(group).or_default().remove(&operation)),
            None if on => drop(self.withheld.remove(&operation)),
            None => drop(self.withheld.insert(operation)),
        }
    }

    /// Returns the operations that are granted in a group in spite of being withheld.
    pub(crate) fn granted_in(&self, group: Option<&str>) -> Option<&BTreeSet<String>> {
        self.in_groups.get(&group?.to_ascii_lowercase())
    }

    /// True if the operation is permitted in the group. Names are compared without case.
    pub(crate) fn allows(&self, operation: &str, group: Option<&str>) -> bool {
        let has = |set: &BTreeSet<String>| set.iter().any(|each| each.eq_ignore_ascii_case(operation));
        !has(&self.withheld) || self.granted_in(group).is_some_and(has)
    }
}
