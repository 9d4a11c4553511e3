//! Checks of what other parties have configured on the path of pod packets: rules of security
//! groups, narrower routes, and routes of other devices of the tailnet.
//!
//! A blocker is named with the command that removes it, and never changed.

mod addresses;
mod inspected;
mod routes;
mod rules;
mod security;
mod subnet;
mod tailnet;

pub use inspected::{GroupFacts, InterfaceFacts, RouteEntry, RuleFacts, SubnetFacts, TableFacts};
pub(crate) use rules::{Packet, Transport, Way};
pub(crate) use security::denying_rule;
pub(crate) use subnet::paths;
pub use subnet::{PathPrefix, SubnetPath, SubnetPaths};
pub use tailnet::{DeviceFacts, FormerRouter, RouterDevice, TailnetFacts, tailnet_findings};

use crate::{conflict::Conflict, desired::CloudRoute};

/// Result of a check: what drops packets now, and what only deserves attention.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Entries of other parties that drop packets of pods, each with the command that removes it.
    pub blockers: Vec<Conflict>,
    /// Texts for people about entries that drop no packets of pods, or few.
    pub warnings: Vec<String>,
}

/// Checks the security groups and the routes of a subnet on the path of pod packets.
///
/// `routes` are the desired routes of the subnet's table.
#[must_use]
pub fn subnet_findings(subnet: &SubnetFacts, path: &SubnetPath, routes: &[CloudRoute]) -> Findings {
    let mut findings = security::findings(subnet, path);
    findings.blockers.extend(self::routes::narrower(subnet, routes));
    findings
}
