//! The actions against small servers, where the hard cases are made to happen; and against a real API server with Cilium's
//! definitions where `STARGATE_TEST_KUBECONFIG` names its kubeconfig.

mod node;
mod nodes;
mod server;
