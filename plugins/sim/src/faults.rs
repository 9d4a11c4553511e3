use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::surface::Surface;

/// Rules and the schedule by which faults are injected: rules first, then the schedule.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Faults {
    /// Rules in order. The first one that is due for a request applies.
    pub rules: Vec<Rule>,
    /// Faults by chance, the same for the same seed and sequence of requests.
    pub schedule: Option<Schedule>,
    next_id: u64,
}

/// Condition for a fault, and the fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Id of the rule; assigned when the rule is added.
    #[serde(default)]
    pub id: u64,
    /// Only requests to this surface.
    #[serde(default)]
    pub surface: Option<Surface>,
    /// Only requests with this method.
    #[serde(default)]
    pub method: Option<String>,
    /// Only requests whose path contains this, compared without case.
    #[serde(default)]
    pub path: Option<String>,
    /// Only requests that change something, the default unless `method` is `GET`; `false` takes
    /// all.
    #[serde(default)]
    pub mutating: Option<bool>,
    /// First matching request that the fault is injected into, from 1; 1 if absent.
    #[serde(default = "one")]
    pub nth: u64,
    /// Number of injections; 1 if absent, 0 for no limit.
    #[serde(default = "one")]
    pub times: u64,
    /// Fault to inject.
    pub fault: Fault,
    /// Number of matching requests so far.
    #[serde(default)]
    pub seen: u64,
    /// Number of injections so far.
    #[serde(default)]
    pub fired: u64,
}

fn one() -> u64 {
    1
}

/// Fault that a request can meet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// Answers 429; the request has no effect.
    Throttle {
        /// Value of `Retry-After`, in seconds.
        retry_after: u64,
    },
    /// Answers with this status; the request has no effect.
    Error {
        /// Status of the answer.
        status: u16,
    },
    /// Answers with this status although the request takes effect.
    ErrorAfter {
        /// Status of the answer.
        status: u16,
    },
    /// The request takes effect, and the connection closes without an answer.
    LostReply,
    /// The connection closes; the request has no effect.
    Refuse,
    /// The request is paused before it takes effect, until it is released.
    HangBefore,
    /// The request takes effect, and the answer is paused until it is released.
    HangAfter,
    /// The request takes longer.
    Slow {
        /// Delay before the request takes effect, in milliseconds.
        ms: u64,
    },
    /// The operation that the request starts takes longer.
    OperationSlow {
        /// Factor by which it takes longer.
        factor: f64,
    },
    /// The operation that the request starts fails.
    OperationFailed {
        /// Error code of the operation.
        code: String,
    },
}

/// Schedule of faults by chance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Seed that decides which requests are hit, and by which fault.
    pub seed: u64,
    /// Share of the matching requests that are hit, from 0 to 1.
    pub rate: f64,
    /// Faults to choose from, each with the same probability.
    pub faults: Vec<Fault>,
    /// Only requests to this surface.
    #[serde(default)]
    pub surface: Option<Surface>,
    /// True if requests that change nothing are included.
    #[serde(default)]
    pub reads: bool,
    /// Maximum number of injections; 0 for no limit.
    #[serde(default)]
    pub limit: u64,
    /// Number of matching requests so far.
    #[serde(default)]
    pub seen: u64,
    /// Number of injections so far.
    #[serde(default)]
    pub fired: u64,
}

/// Properties of a request that rules match.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestInfo<'a> {
    pub(crate) surface: Surface,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) mutating: bool,
}

impl Faults {
    /// Adds a rule and returns its id.
    pub fn add(&mut self, rule: Rule) -> u64 {
        self.next_id += 1;
        self.rules.push(Rule { id: self.next_id, ..rule });
        self.next_id
    }

    /// Removes one rule, or all rules and the schedule.
    pub fn clear(&mut self, id: Option<u64>) {
        self.rules.retain(|rule| id.is_some_and(|id| rule.id != id));
        if id.is_none() {
            self.schedule = None;
        }
    }

    /// Counts the request and returns the fault to inject, if any.
    pub(crate) fn inject(&mut self, request: RequestInfo<'_>) -> Option<Fault> {
        let mut struck = None;
        for rule in &mut self.rules {
            // Every rule counts every request that it matches, also when another rule applies.
            if rule.matches(request) && rule.is_due() && struck.is_none() {
                rule.fired += 1;
                struck = Some(rule.fault.clone());
            }
        }
        let by_chance = self.schedule.as_mut().and_then(|schedule| schedule.draw(request, struck.is_some()));
        struck.or(by_chance)
    }
}

impl Rule {
    /// Returns a rule for the first request that changes something, without further conditions.
    pub fn new(fault: Fault) -> Self {
        Self {
            id: 0,
            surface: None,
            method: None,
            path: None,
            mutating: None,
            nth: 1,
            times: 1,
            fault,
            seen: 0,
            fired: 0,
        }
    }

    /// True if the request meets all conditions of the rule.
    fn matches(&self, request: RequestInfo<'_>) -> bool {
        let reads = self
            .method
            .as_deref()
            .is_some_and(|method| method.eq_ignore_ascii_case("GET") || method.eq_ignore_ascii_case("HEAD"));
        let only_mutating = self.mutating.unwrap_or(!reads);
        (request.mutating || !only_mutating)
            && self.surface.is_none_or(|surface| surface == request.surface)
            && self.method.as_ref().is_none_or(|method| method.eq_ignore_ascii_case(request.method))
            && self
                .path
                .as_ref()
                .is_none_or(|part| request.path.to_ascii_lowercase().contains(&part.to_ascii_lowercase()))
    }

    /// Counts a matching request; returns `true` if the fault applies to it.
    fn is_due(&mut self) -> bool {
        self.seen += 1;
        self.seen >= self.nth && (self.times == 0 || self.fired < self.times)
    }
}

impl Schedule {
    /// Counts a matching request and draws a fault for it. The draw depends on the seed and the
    /// count only.
    fn draw(&mut self, request: RequestInfo<'_>, taken: bool) -> Option<Fault> {
        let matches = (request.mutating || self.reads) && self.surface.is_none_or(|surface| surface == request.surface);
        if !matches || self.faults.is_empty() {
            return None;
        }
        self.seen += 1;
        let exhausted = self.limit > 0 && self.fired >= self.limit;
        let digest = Sha256::new_with_prefix(self.seed.to_be_bytes()).chain_update(self.seen.to_be_bytes()).finalize();
        let number =
            |from: usize| u32::from_be_bytes([digest[from], digest[from + 1], digest[from + 2], digest[from + 3]]);
        let hit = f64::from(number(0)) < self.rate * f64::from(u32::MAX);
        if !hit || exhausted || taken {
            return None;
        }
        self.fired += 1;
        let index = usize::try_from(number(4)).unwrap_or_default() % self.faults.len();
        self.faults.get(index).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &str) -> RequestInfo<'_> {
        RequestInfo { surface: Surface::Arm, method: "PUT", path, mutating: true }
    }

    #[test]
    fn the_nth_mutating_request_is_struck_and_reads_do_not_count() {
        let mut faults = Faults::default();
        faults.add(Rule { nth: 2, ..Rule::new(Fault::Refuse) });
        let read = RequestInfo { method: "GET", mutating: false, ..put("/a") };
        let struck: Vec<bool> = [put("/a"), read, put("/b"), put("/c")]
            .into_iter()
            .map(|request| faults.inject(request).is_some())
            .collect();
        assert_eq!(struck, [false, false, true, false]);
    }

    #[test]
    fn a_schedule_is_the_same_for_the_same_seed() {
        let run = |seed| {
            let schedule = Schedule {
                seed,
                rate: 0.3,
                faults: vec![Fault::Refuse, Fault::LostReply],
                surface: None,
                reads: false,
                limit: 0,
                seen: 0,
                fired: 0,
            };
            let mut faults = Faults { schedule: Some(schedule), ..Faults::default() };
            (0..200).map(|_| faults.inject(put("/x"))).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let hits = run(7).iter().flatten().count();
        assert!((30..90).contains(&hits), "{hits} of 200 at a rate of 0.3");
    }
}
