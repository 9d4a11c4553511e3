//! Shipped workflows, in the order of their dependencies.

use serde_json::{Map, Value, json};
use stargate::plan::Include;

use crate::inputs::{self, WorldFacts};

/// Texts of all workflows, by the names that other workflows use for them.
const TEXTS: &[(&str, &str)] = &[
    ("deploy", include_str!("../../workflows/deploy.yaml")),
    ("deploy-nodes", include_str!("../../workflows/deploy-nodes.yaml")),
    ("cluster-objects", include_str!("../../workflows/cluster-objects.yaml")),
    ("provision-aks-router", include_str!("../../workflows/provision-aks-router.yaml")),
    ("provision-dc", include_str!("../../workflows/provision-dc.yaml")),
    ("repave-site", include_str!("../../workflows/repave-site.yaml")),
    ("repave-worker", include_str!("../../workflows/repave-worker.yaml")),
    ("remove-aks-router", include_str!("../../workflows/remove-aks-router.yaml")),
    ("remove-site", include_str!("../../workflows/remove-site.yaml")),
    ("teardown", include_str!("../../workflows/teardown.yaml")),
    ("remove-worker", include_str!("../../workflows/remove-worker.yaml")),
    ("sync-pod-routes", include_str!("../../workflows/sync-pod-routes.yaml")),
    ("verify-connectivity", include_str!("../../workflows/verify-connectivity.yaml")),
];

/// Workflow that the test kills.
///
/// It runs in a world in which all workflows before it in [`ALL`] that remove nothing have run,
/// `deploy` in one in which none has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shipped {
    pub(crate) name: &'static str,
    /// Name on the command line.
    pub(crate) label: &'static str,
    /// True if the run ends with a measurement of connectivity.
    measured: bool,
    /// Number of cases of each group without `--all`, of a workflow that is made of others.
    sample: Option<usize>,
}

/// Workflows that operators run, in their usual order. One of them is also killed while it
/// measures.
pub(crate) const ALL: [Shipped; 10] = [
    Shipped::unmeasured("provision-aks-router"),
    Shipped::unmeasured("provision-dc"),
    Shipped::unmeasured("repave-worker"),
    Shipped { sample: Some(8), ..Shipped::unmeasured("repave-site") },
    SYNC,
    Shipped { label: "measured-sync", measured: true, ..SYNC },
    Shipped::unmeasured("remove-worker"),
    Shipped { sample: Some(8), ..Shipped::unmeasured("remove-site") },
    Shipped { sample: Some(4), ..Shipped::unmeasured("teardown") },
    Shipped { sample: Some(3), ..DEPLOY },
];

pub(crate) const SYNC: Shipped = Shipped::unmeasured("sync-pod-routes");

const DEPLOY: Shipped = Shipped::unmeasured("deploy");

impl Shipped {
    const fn unmeasured(name: &'static str) -> Self {
        Self { name, label: name, measured: false, sample: None }
    }

    /// Returns the workflows that have run before this one.
    pub(crate) fn earlier(self) -> impl Iterator<Item = Self> {
        let before = ALL.into_iter().take_while(move |earlier| *earlier != self && self.name != DEPLOY.name);
        before.filter(|earlier| !earlier.name.starts_with("remove-"))
    }

    /// Returns the number of cases of each group that are run without `--all`, if it is an own one.
    pub(crate) fn sample(self) -> Option<usize> {
        self.sample
    }

    /// Returns the workflow with this label.
    pub(crate) fn named(label: &str) -> Option<Self> {
        ALL.into_iter().find(|shipped| shipped.label == label)
    }

    /// Returns the YAML text of the workflow.
    pub(crate) fn text(self) -> &'static str {
        text(self.name).expect("the text of every workflow is here").1
    }

    /// Returns the number of pairs of a kill point and a drift that are run without `--all`: 400
    /// for all workflows, fewer for those that take long. A measurement changes nothing that
    /// drifts, and after a removal there is nothing left that does.
    pub(crate) fn drifts(self) -> usize {
        match self.label {
            "measured-sync" | "teardown" => 0,
            "repave-site" | "remove-site" => 6,
            "deploy" => 2,
            "sync-pod-routes" => 160,
            "provision-aks-router" | "repave-worker" => 80,
            _ => 40,
        }
    }

    /// Returns the inputs of a later run: the same machines, with another setting.
    pub(crate) fn other_inputs(self, around: &WorldFacts) -> Map<String, Value> {
        let mut inputs = self.inputs(around);
        match self.name {
            "provision-aks-router" | "provision-dc" | "deploy" => {
                inputs.insert("ssh_source".into(), json!("198.51.100.0/25"))
            }
            "sync-pod-routes" => inputs.insert("prune".into(), json!(false)),
            "repave-worker" | "repave-site" | "remove-site" | "teardown" => inputs.insert("force".into(), json!(true)),
            _ => inputs.insert("host_is_gone".into(), json!(false)),
        };
        inputs
    }

    /// Returns the inputs with which the workflow runs while it is killed.
    pub(crate) fn inputs(self, around: &WorldFacts) -> Map<String, Value> {
        let mut inputs = inputs::of(self.name, around);
        if self.measured {
            inputs.insert("verify".into(), json!(true));
        }
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
