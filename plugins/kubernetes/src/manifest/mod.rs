//! Manifests, and the comparison of their objects with the actual ones.

mod compare;
mod document;

pub(crate) use compare::{covers, has_merged, owns_nothing_else};
pub(crate) use document::{Manifest, ManifestObject, items};
