use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::faults::Fault;
use crate::surface::Surface;

/// Maximum number of requests in the log: a thousand runs of a workflow.
const LOG_LIMIT: usize = 50_000;

/// Requests to the world: counters and the log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// Counters by surface.
    pub counters: BTreeMap<Surface, Counters>,
    /// Number of the latest request.
    pub latest: u64,
    /// Latest requests. Not part of the state file.
    #[serde(skip)]
    pub log: VecDeque<LoggedRequest>,
}

/// Counters of one surface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Number of all requests.
    pub total: u64,
    /// Number of requests that change something, successful or not.
    pub mutating: u64,
    /// Number of requests by method.
    pub methods: BTreeMap<String, u64>,
}

/// Logged request, with secrets masked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedRequest {
    /// Number of the request, from 1.
    pub seq: u64,
    /// Time of its arrival.
    pub at: Timestamp,
    /// Surface that it went to.
    pub surface: Surface,
    /// HTTP method; `WRITE` for a change of a host.
    pub method: String,
    /// Path; the name of the change for a host.
    pub path: String,
    /// Query, with signatures masked.
    pub query: Option<String>,
    /// Status of the answer; `None` while there is none, and if the connection closed without one.
    pub status: Option<u16>,
    /// True if it counts as changing something.
    pub mutating: bool,
    /// Fault that was injected.
    pub fault: Option<Fault>,
    /// Value of `User-Agent`.
    pub agent: Option<String>,
    /// Body as JSON, or its size as text.
    pub body: Option<Value>,
}

impl Traffic {
    /// Counts a change that a simulated host made to itself; `what` names it, without secrets.
    pub(crate) fn record_host_write(&mut self, host: &str, what: &str) {
        self.record(LoggedRequest {
            seq: 0,
            at: Timestamp::now(),
            surface: Surface::Host,
            method: "WRITE".to_owned(),
            path: format!("{host}/{what}"),
            query: None,
            status: Some(0),
            mutating: true,
            fault: None,
            agent: None,
            body: None,
        });
    }

    /// Counts and logs a request, and returns its number.
    pub(crate) fn record(&mut self, request: LoggedRequest) -> u64 {
        self.latest += 1;
        let counters = self.counters.entry(request.surface).or_default();
        counters.total += 1;
        counters.mutating += u64::from(request.mutating);
        *counters.methods.entry(request.method.clone()).or_default() += 1;
        if self.log.len() == LOG_LIMIT {
            self.log.pop_front();
        }
        self.log.push_back(LoggedRequest { seq: self.latest, ..request });
        self.latest
    }

    /// Sets the status of the answer to request `seq`, if the log still has it.
    pub(crate) fn answered(&mut self, seq: u64, status: u16) {
        if let Some(request) = self.log.iter_mut().rev().find(|request| request.seq == seq) {
            request.status = Some(status);
        }
    }

    /// Returns the number of requests to all surfaces that change something.
    pub fn mutating(&self) -> u64 {
        self.counters.values().map(|counters| counters.mutating).sum()
    }
}
