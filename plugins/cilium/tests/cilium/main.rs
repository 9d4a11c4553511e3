//! The actions against small servers that inject faults, and against a real API server with
//! Cilium's definitions if `STARGATE_TEST_KUBECONFIG` names its kubeconfig
//! (`tests/rig/kube-tests.sh` sets it).

mod node;
mod nodes;
mod server;
