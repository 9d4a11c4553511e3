//! stargate.
fn main() {}
