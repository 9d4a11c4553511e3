#![doc = include_str!("../README.md")]

mod bodies;
mod mutation;

pub use bodies::journaled_plan;
pub use mutation::{corpus_folder, mutate_corpus};

/// A reader of foreign text, with what must hold for any input.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name, which is also that of the folder with its corpus.
    pub name: &'static str,
    /// Number of mutations in a test.
    pub mutations: usize,
    /// Reads an input. Panics if what must hold does not.
    pub body: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 11] = [
    Target { name: "arm", mutations: 10_000, body: stargate_azure::fuzzing::arm },
    Target { name: "expression", mutations: 20_000, body: bodies::expression_text },
    Target { name: "inputs", mutations: 10_000, body: bodies::inputs },
    Target { name: "ip", mutations: 10_000, body: stargate_ssh::fuzzing::ip },
    Target { name: "journal", mutations: 10_000, body: bodies::journal },
    Target { name: "kubernetes", mutations: 10_000, body: stargate_kubernetes_client::fuzzing::kubernetes },
    Target { name: "redactor", mutations: 2_000, body: bodies::redactor },
    Target { name: "shell", mutations: 10_000, body: stargate_sim::fuzzing::shell },
    Target { name: "tailscale_api", mutations: 10_000, body: stargate_tailscale::fuzzing::tailscale_api },
    Target { name: "tailscale_status", mutations: 10_000, body: stargate_ssh::fuzzing::tailscale_status },
    Target { name: "workflow", mutations: 4_000, body: bodies::workflow },
];

/// Returns the target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
