use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::faults::Fault;
use crate::surface::Surface;

/// Requests that the log keeps: a thousand runs of a workflow.
const LOG_LIMIT: usize = 50_000;

/// What was asked of the world.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// By surface.
    pub counters: BTreeMap<Surface, Counters>,
    /// Number of the latest request.
    pub latest: u64,
    /// The latest requests. Not kept when the world is closed.
    #[serde(skip)]
    pub log: VecDeque<LoggedRequest>,
}

/// Requests to one surface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// All.
    pub total: u64,
    /// Those that change something, whether or not they succeed.
    pub mutating: u64,
    /// By method.
    pub methods: BTreeMap<String, u64>,
}

/// A request, with secrets masked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedRequest {
    /// 1 for the first.
    pub seq: u64,
    /// When it came.
    pub at: Timestamp,
    /// Where it went.
    pub surface: Surface,
    /// Its method; `WRITE` for a change of a host.
    pub method: String,
    /// Its path; what was changed, for a host.
    pub path: String,
    /// Its query, signatures masked.
    pub query: Option<String>,
    /// Status of the answer; none while there is none, and if the connection closed without one.
    pub status: Option<u16>,
    /// Whether it counts as changing something.
    pub mutating: bool,
    /// The fault that happened to it.
    pub fault: Option<Fault>,
    /// `User-Agent`.
    pub agent: Option<String>,
    /// Its body as JSON, or its size.
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

    /// Requests to every surface that change something.
    pub fn mutating(&self) -> u64 {
        self.counters.values().map(|counters| counters.mutating).sum()
    }
}
