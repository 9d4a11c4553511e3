//! The actions against a small API server with plain storage, where the hard cases are made to happen; and against a
//! real one where `STARGATE_TEST_KUBECONFIG` names its kubeconfig.

mod cluster;
mod container;
mod fake;

mod certificates;
mod definitions;
mod drain;
mod exec;
mod failures;
mod objects;
mod probe;
mod real;
mod registered;
mod registry;
mod tokens;
