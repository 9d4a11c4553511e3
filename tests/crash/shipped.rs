//! Shipped workflows, in the order of their dependencies.

use serde_json::{Map, Value, json};
use stargate::plan::Include;

use crate::inputs::{self, WorldFacts};

/// Texts of all workflows, by the names that other workflows use for them.
const TEXTS: &[(&str, &str)] = &[
    ("cluster-objects", include_str!("../../workflows/cluster-objects.yaml")),
    ("provision-aks-router", include_str!("../../workflows/provision-aks-router.yaml")),
    ("provision-dc", include_str!("../../workflows/provision-dc.yaml")),
    ("repave-worker", include_str!("../../workflows/repave-worker.yaml")),
    ("remove-worker", include_str!("../../workflows/remove-worker.yaml")),
    ("sync-pod-routes", include_str!("../../workflows/sync-pod-routes.yaml")),
    ("verify-connectivity", include_str!("../../workflows/verify-connectivity.yaml")),
];

/// Workflow that the test kills.
///
/// It runs in a world in which all workflows before it in [`ALL`] have run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shipped {
    pub(crate) name: &'static str,
}

/// Workflows that operators run, in their usual order.
pub(crate) const ALL: [Shipped; 5] = [
    Shipped { name: "provision-aks-router" },
    Shipped { name: "provision-dc" },
    Shipped { name: "repave-worker" },
    Shipped { name: "sync-pod-routes" },
    Shipped { name: "remove-worker" },
];

impl Shipped {
    /// Returns the workflow with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|shipped| shipped.name == name)
    }

    /// Returns the YAML text of the workflow.
    pub(crate) fn text(self) -> &'static str {
        text(self.name).expect("the text of every workflow is here").1
    }

    /// Returns the number of pairs of a kill point and a drift that are run without `--all`: 400
    /// for all workflows, fewer for those that take long.
    pub(crate) fn drifts(self) -> usize {
        match self.name {
            "sync-pod-routes" => 160,
            "provision-aks-router" | "repave-worker" => 80,
            _ => 40,
        }
    }

    /// Returns the inputs of a later run: the same machines, with another setting.
    pub(crate) fn other_inputs(self, around: &WorldFacts) -> Map<String, Value> {
        let mut inputs = self.inputs(around);
        match self.name {
            "provision-aks-router" | "provision-dc" => inputs.insert("ssh_source".into(), json!("198.51.100.0/25")),
            "sync-pod-routes" => inputs.insert("prune".into(), json!(false)),
            "repave-worker" => inputs.insert("force".into(), json!(true)),
            _ => inputs.insert("host_is_gone".into(), json!(false)),
        };
        inputs
    }

    /// Returns the inputs with which the workflow runs while it is killed.
    pub(crate) fn inputs(self, around: &WorldFacts) -> Map<String, Value> {
        let mut inputs = inputs::of(self.name, around);
        if self.name == "provision-aks-router" {
            inputs.insert("datacenter_prefixes".into(), json!(["10.50.0.0/16", "10.60.0.0/16"]));
        }
        inputs
    }
}

/// Returns the name and the text of a workflow that another one includes.
///
/// # Errors
///
/// A message, if no shipped workflow has this name.
pub(crate) fn load(include: Include<'_>) -> Result<(String, String), String> {
    let file = include.written;
    let (name, text) = text(file).ok_or_else(|| format!("no workflow {file} ships"))?;
    Ok((format!("{name}.yaml"), text.to_owned()))
}

/// Returns name and text of a workflow, with or without the suffix `.yaml`.
fn text(file: &str) -> Option<(&'static str, &'static str)> {
    let name = file.strip_suffix(".yaml").unwrap_or(file);
    TEXTS.iter().find(|(known, _)| *known == name).copied()
}
