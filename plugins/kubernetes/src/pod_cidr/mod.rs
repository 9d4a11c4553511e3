//! Registry of pod CIDRs: the allocator, and the config map that stores its result.

mod registry;
pub(crate) mod store;

pub(crate) use registry::{
    PodCidrRegistry, PodCidrRequest, SitePodCidrs, allocate, pod_cidr_of, release, released_pod_cidr, reported_owner,
};
