//! Eviction of pods: which pods of a node have to be evicted, and the request for one of them.

mod evict;
mod pod;

pub(crate) use evict::{EVICTION_BACKOFF, RefusedEviction, evict};
pub(crate) use pod::{NodePod, PROBE_PREFIX, check_losses, pods_to_evict};
