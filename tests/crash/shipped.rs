//! The workflows that ship, and what each needs to have run before it.

use serde_json::{Map, Value, json};

use crate::inputs::{self, WorldFacts};

/// The texts of all, by the names under which one inlines another.
const TEXTS: &[(&str, &str)] = &[
    ("cluster-objects", include_str!("../../workflows/cluster-objects.yaml")),
    ("provision-aks-router", include_str!("../../workflows/provision-aks-router.yaml")),
    ("provision-dc", include_str!("../../workflows/provision-dc.yaml")),
    ("repave-worker", include_str!("../../workflows/repave-worker.yaml")),
    ("remove-worker", include_str!("../../workflows/remove-worker.yaml")),
    ("sync-pod-routes", include_str!("../../workflows/sync-pod-routes.yaml")),
];

/// A workflow that is killed. Each runs in a world in which all that are listed before it have run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shipped {
    pub(crate) name: &'static str,
}

/// Every one that people run, in the order in which they do.
pub(crate) const ALL: [Shipped; 5] = [
    Shipped { name: "provision-aks-router" },
    Shipped { name: "provision-dc" },
    Shipped { name: "repave-worker" },
    Shipped { name: "sync-pod-routes" },
    Shipped { name: "remove-worker" },
];

impl Shipped {
    /// The one of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|shipped| shipped.name == name)
    }

    pub(crate) fn text(self) -> &'static str {
        text(self.name).expect("the text of every workflow is here").1
    }

    /// What it is run with while it is killed.
    pub(crate) fn inputs(self, around: &WorldFacts) -> Map<String, Value> {
        let mut inputs = inputs::of(self.name, around);
        if self.name == "provision-aks-router" {
            inputs.insert("datacenter_prefixes".into(), json!(["10.50.0.0/16", "10.60.0.0/16"]));
        }
        inputs
    }
}

/// Finds a workflow that another one inlines.
pub(crate) fn load(file: &str) -> Result<(String, String), String> {
    let (name, text) = text(file).ok_or_else(|| format!("no workflow {file} ships"))?;
    Ok((format!("{name}.yaml"), text.to_owned()))
}

fn text(file: &str) -> Option<(&'static str, &'static str)> {
    let name = file.strip_suffix(".yaml").unwrap_or(file);
    TEXTS.iter().find(|(known, _)| *known == name).copied()
}
