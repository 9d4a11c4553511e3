//! Measurement of connectivity: probe pods on the nodes ask each other, the node addresses, a
//! service and the cluster's DNS.

mod measurement;
mod objects;
mod pairs;
mod probes;
mod question;
mod report;

pub(crate) use measurement::{Measurement, MeasurementSettings};
pub(crate) use report::{ConnectivityCheck, ConnectivityFinding, ConnectivityReport};
