//! Readers of foreign text, each with what must hold for any input: targets of the fuzzer, and of
//! tests on stable Rust.

use crate::client;

/// Reads an answer of Azure Resource Manager.
pub fn arm(input: &[u8]) {
    client::check_any_answer(input);
}
