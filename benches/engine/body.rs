//! The step that every workload is made of: it does nothing but say that it was there.

use std::{
    fs::File,
    io::Write,
    sync::{Arc, Mutex},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Recovery, RequiredPermissions};

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub(crate) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

/// When each body ran, and the side file if one was asked for.
#[derive(Default)]
pub(crate) struct Trace {
    pub(crate) at: Mutex<Vec<u64>>,
    side: Option<Mutex<File>>,
}

impl Trace {
    pub(crate) fn new() -> Arc<Self> {
        let open = |path| File::options().create(true).append(true).open(path).unwrap();
        let side = std::env::var_os("BENCH_SIDE").map(|path| Mutex::new(open(path)));
        Arc::new(Self { at: Mutex::default(), side })
    }

    fn was_here(&self, i: u64) {
        let now = monotonic_ns();
        if let Some(side) = &self.side {
            side.lock().unwrap().write_all(format!("{i} {now}\n").as_bytes()).unwrap();
        }
        self.at.lock().unwrap().push(now);
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Number {
    pub(crate) i: u64,
}

pub(crate) struct Body(pub(crate) Arc<Trace>);

impl RequiredPermissions for Body {}

impl Action for Body {
    type Input = Number;
    type Output = Number;
    const NAME: &'static str = "bench.step.run";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Says that it was there.";

    async fn run(&self, _: &ActionContext, input: &Number) -> Result<Number, ActionError> {
        self.0.was_here(input.i);
        Ok(Number { i: input.i })
    }
}
