//! Check of objects against the types of Kubernetes 1.33, with the findings and the words of the
//! API server.
//!
//! The API server decodes each body into a Go type. [`decoder`] does the same with the types of
//! `k8s-openapi`, and collects what the Go decoder would report: fields that the type does not
//! declare, and values of another type.

mod decoder;
mod finding;
mod quantity;
mod time;
mod types;

pub(crate) use decoder::{Decoded, decode_metadata};
pub(crate) use finding::{FieldFinding, Mismatch, PathStep, dotted, go_value, remove, set};
pub(crate) use types::decode;
