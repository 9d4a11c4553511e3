//! The target that the environment variable `STARGATE_FUZZ_TARGET` names, as a program for
//! libFuzzer: one for all, so that the instrumented crates are linked once.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use stargate_fuzz::{TARGETS, target};

static BODY: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("STARGATE_FUZZ_TARGET").unwrap_or_default();
    let names = TARGETS.map(|target| target.name);
    target(&name).unwrap_or_else(|| panic!("STARGATE_FUZZ_TARGET is {name:?}, and must be one of {names:?}")).body
});

fuzz_target!(|input: &[u8]| BODY(input));
