use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What whoever has a token may do: everything, but for what was taken away.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct GrantedAccess {
    /// Operations that are withheld in the whole subscription, as roles list them.
    pub(crate) withheld: BTreeSet<String>,
    /// Operations that are granted all the same, by lower-case name of the group that it is for.
    in_groups: BTreeMap<String, BTreeSet<String>>,
}

impl GrantedAccess {
    /// Grants an operation, or takes it away; in one group only if one is named.
    pub(crate) fn set(&mut self, operation: &str, group: Option<&str>, on: bool) {
        let operation = operation.to_owned();
        match group.map(str::to_ascii_lowercase) {
            Some(group) if on => drop(self.in_groups.entry(group).or_default().insert(operation)),
            Some(group) => drop(self.in_groups.entry(group).or_default().remove(&operation)),
            None if on => drop(self.withheld.remove(&operation)),
            None => drop(self.withheld.insert(operation)),
        }
    }

    pub(crate) fn granted_in(&self, group: Option<&str>) -> Option<&BTreeSet<String>> {
        self.in_groups.get(&group?.to_ascii_lowercase())
    }

    pub(crate) fn allows(&self, operation: &str, group: Option<&str>) -> bool {
        let has = |set: &BTreeSet<String>| set.iter().any(|each| each.eq_ignore_ascii_case(operation));
        !has(&self.withheld) || self.granted_in(group).is_some_and(has)
    }
}
