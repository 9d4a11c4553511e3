//! Program `ip` of iproute2.

mod address;
mod options;
mod program;
mod route_change;
mod route_get;
mod route_show;
mod rule;

pub(super) use program::ip;
