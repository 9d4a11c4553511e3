//! The actions against small servers that inject faults, and against a real API server with
//! Cilium's definitions, whose kubeconfig `STARGATE_TEST_KUBECONFIG` names
//! (`tests/rig/kube-tests.sh`).

mod node;
mod nodes;
mod server;
