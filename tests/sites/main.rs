//! Deployments of which a part is missing or belongs to another one: two datacenters of which one
//! does not respond, nodes that are not complete, kinds of an earlier program, and two clusters in
//! one network. What does not need the missing part is done, and what is missing is named.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue panics")]

#[path = "../world/inputs.rs"]
mod inputs;
#[path = "../world/outside.rs"]
#[expect(dead_code, reason = "each test uses a part of the module")]
mod outside;
#[path = "../world/mod.rs"]
mod world;

mod clusters;
mod definitions;
mod deployment;
mod dropping;
mod nodes;
mod strategy;
mod unreachable;
