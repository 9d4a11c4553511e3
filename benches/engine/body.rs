//! Action of all workloads: it records the time at which it ran, and does nothing else.

use std::{
    fs::File,
    io::Write,
    sync::{Arc, Mutex},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Recovery, RequiredPermissions};

/// Returns the time of `CLOCK_MONOTONIC`, in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

/// Times at which the action ran, in nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Default)]
pub(crate) struct Trace {
    pub(crate) at: Mutex<Vec<u64>>,
    /// File named by `BENCH_SIDE`, to which each time is appended too.
    side: Option<Mutex<File>>,
}

impl Trace {
    pub(crate) fn new() -> Arc<Self> {
        let open = |path| File::options().create(true).append(true).open(path).unwrap();
        let side = std::env::var_os("BENCH_SIDE").map(|path| Mutex::new(open(path)));
        Arc::new(Self { at: Mutex::default(), side })
    }

    fn record(&self, i: u64) {
        let now = monotonic_ns();
        if let Some(side) = &self.side {
            side.lock().unwrap().write_all(format!("{i} {now}\n").as_bytes()).unwrap();
        }
        self.at.lock().unwrap().push(now);
    }
}

/// Index of a step, as input and output of the action.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct StepNumber {
    pub(crate) i: u64,
}

/// Action `bench.step.run`: records the time at which it runs.
pub(crate) struct RecordTime(pub(crate) Arc<Trace>);

impl RequiredPermissions for RecordTime {}

impl Action for RecordTime {
    type Input = StepNumber;
    type Output = StepNumber;
    const NAME: &'static str = "bench.step.run";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Once;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Records the time at which it runs.";

    async fn run(&self, _: &ActionContext, input: &StepNumber) -> Result<StepNumber, ActionError> {
        self.0.record(input.i);
        Ok(StepNumber { i: input.i })
    }
}
