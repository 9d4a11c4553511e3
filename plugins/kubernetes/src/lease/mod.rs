//! Locks of runs as `coordination.k8s.io/v1` leases, so that runs of all journals exclude each
//! other.

mod election;
mod lease_locks;
mod lease_object;
mod observations;

pub(crate) use lease_locks::{LeaseLocks, is_lock_held};
pub(crate) use lease_object::{DELETED_ON_RELEASE, LEASE_NAMESPACE, LEASE_SELECTOR, holding_run};
