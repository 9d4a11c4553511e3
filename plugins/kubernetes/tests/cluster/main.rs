//! The actions against a small API server that stores objects and injects faults, and against a
//! real one if `STARGATE_TEST_KUBECONFIG` names its kubeconfig (`tests/rig/kube-tests.sh` sets it).

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
