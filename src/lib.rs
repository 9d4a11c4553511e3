//! stargate.
