use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Event, Nic, Route};

/// What the stream of events was told, so that only differences are told again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PublishedState {
    pub(crate) networks: BTreeMap<String, Vec<String>>,
    pub(crate) nics: BTreeMap<String, Nic>,
    pub(crate) routes: BTreeMap<String, RoutesInForce>,
    /// Machines whose creation finished, by id, since the last telling.
    pub(crate) created: Vec<String>,
    /// Other things that happened to machines since the last telling.
    pub(crate) pending: Vec<Event>,
}

/// The routes in force in a subnet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RoutesInForce {
    pub(crate) network: String,
    pub(crate) subnet: String,
    pub(crate) prefix: String,
    pub(crate) routes: Vec<Route>,
}
