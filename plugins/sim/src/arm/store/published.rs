use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Event, Nic, Route};

/// State of the resources that the stream of events has published. Only differences from it are
/// published.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PublishedState {
    /// Address space of each virtual network, by resource id.
    pub(crate) networks: BTreeMap<String, Vec<String>>,
    /// NICs by resource id.
    pub(crate) nics: BTreeMap<String, Nic>,
    /// Routes of each subnet, by lower-case resource id.
    pub(crate) routes: BTreeMap<String, RoutesInForce>,
    /// Ids of machines whose creation has finished since the last publication.
    pub(crate) created: Vec<String>,
    /// Other events of machines since the last publication.
    pub(crate) pending: Vec<Event>,
}

/// Routes in force in one subnet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RoutesInForce {
    /// Name of the virtual network.
    pub(crate) network: String,
    /// Name of the subnet.
    pub(crate) subnet: String,
    /// Prefix of the subnet.
    pub(crate) prefix: String,
    pub(crate) routes: Vec<Route>,
}
