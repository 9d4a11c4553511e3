//! The actions against a small API server that stores objects and injects faults, and against a
//! real one, whose kubeconfig `STARGATE_TEST_KUBECONFIG` names (`tests/rig/kube-tests.sh`).

mod cluster;
mod container;
mod fake;

mod certificates;
mod definitions;
mod drain;
mod exec;
mod failures;
mod locks;
mod logins;
mod objects;
mod probe;
mod real;
mod registered;
mod registry;
mod tokens;
