//! Desired entries of all surfaces, computed from one set of facts.
//!
//! Pure: no I/O, no clock. [`compute`] turns [`Facts`] into [`DesiredEntries`] once, so that the
//! surfaces cannot disagree, and refuses facts whose prefixes or addresses conflict. Pod CIDRs are
//! allocated by `stargate-kubernetes`, which keeps their registry.
//!
//! ```
//! use std::net::Ipv4Addr;
//!
//! use stargate_routes::{AksSite, Facts, NodeFacts, RouterFacts, Strategy, compute};
//!
//! let node = NodeFacts {
//!     name: "aks-0".into(),
//!     internal_ip: Some(Ipv4Addr::new(10, 224, 0, 4)),
//!     pod_cidr: Some("10.244.0.0/24".parse()?),
//! };
//! let aks = AksSite {
//!     nodes: vec![node],
//!     node_subnet: "10.224.0.0/16".parse()?,
//!     router_subnet: "10.237.0.0/24".parse()?,
//!     router: RouterFacts { name: "aks-router".into(), ip: Ipv4Addr::new(10, 237, 0, 4) },
//!     virtual_network: vec!["10.224.0.0/12".parse()?],
//!     service_cidr: None,
//!     pod_cidr: None,
//!     datacenter_prefixes: vec![],
//! };
//! let facts = Facts { aks, sites: vec![], strategy: Strategy::PerSite, others: vec![] };
//! let entries = compute(&facts)?;
//! assert_eq!(entries.router_routes[0].next_hop_ip, Ipv4Addr::new(10, 224, 0, 4));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod action;
mod addresses;
mod check;
mod claims;
mod compute;
mod conflict;
mod desired;
mod facts;
mod overlap;
mod path;
mod register;
mod site_check;
mod trace;

pub use compute::compute;
pub use conflict::{Conflict, Conflicts};
pub use desired::{
    AdvertisedRoutes, CiliumNode, CloudRoute, DesiredEntries, DesiredKernelRoute, ForwardingHost, SegmentRoutes,
    UnroutedNode,
};
pub use facts::{AksSite, Datacenter, Facts, NodeFacts, OtherPrefix, RouterFacts, SiteFabric, Strategy};
pub use path::{
    DeviceFacts, Findings, FormerRouter, GroupFacts, InterfaceFacts, PathPrefix, RouteEntry, RouterDevice, RuleFacts,
    SubnetFacts, SubnetPath, SubnetPaths, TableFacts, TailnetFacts, subnet_findings, tailnet_findings,
};
pub use register::register;
pub use trace::{
    CiliumMasquerade, CiliumSettings, FirewallDrop, HostRoute, HostTailscale, PathDeviation, PathFault, PathSurface,
    PathTrace, PolicyDenial, TraceEnd, TraceFacts, TraceVerdict, TracedAccess, TracedCilium, TracedCiliumNode,
    TracedHop, TracedHost, TracedPolicies, TracedRouter, trace,
};
