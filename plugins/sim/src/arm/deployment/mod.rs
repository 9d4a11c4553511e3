//! Deployments of templates into a group: what `az vm create` makes everything with.

mod api;
mod expression;
mod step;
mod template;

pub(crate) use api::{answer, list, poll};
pub(crate) use step::advance;
