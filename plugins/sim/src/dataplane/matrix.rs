use serde::Serialize;

use super::path::{Endpoint, PacketDrop};
use super::plane::Plane;
use crate::arm::Service;

/// Reachability of every pair of endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PathMatrix {
    /// Endpoints, in the order of the request.
    pub pods: Vec<Endpoint>,
    /// Every pair in both orders, except of an endpoint with itself.
    pub cells: Vec<MatrixCell>,
    /// Number of pairs without an answer.
    pub dead: usize,
}

/// Result for one pair of endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MatrixCell {
    /// Name of the endpoint that sends the request.
    pub from: String,
    /// Name of the endpoint that answers.
    pub to: String,
    /// True if the reply came back.
    pub ok: bool,
    /// True if the answering end saw the sender's own address.
    pub source_kept: bool,
    /// Place and reason at which the request or the reply was dropped.
    pub died: Option<PacketDrop>,
}

impl Plane {
    /// Traces a request between every pair of `endpoints`, in both directions.
    pub fn matrix(&self, endpoints: &[Endpoint]) -> PathMatrix {
        let cells: Vec<MatrixCell> = self.cells(endpoints).collect();
        let dead = cells.iter().filter(|cell| !cell.ok).count();
        PathMatrix { pods: endpoints.to_vec(), cells, dead }
    }

    /// Returns the first pair without an answer; later pairs are not traced.
    pub fn first_dead(&self, endpoints: &[Endpoint]) -> Option<MatrixCell> {
        self.cells(endpoints).find(|cell| !cell.ok)
    }

    /// Traces all pairs, one at a time.
    fn cells(&self, endpoints: &[Endpoint]) -> impl Iterator<Item = MatrixCell> {
        let pairs = endpoints.iter().flat_map(move |from| endpoints.iter().map(move |to| (from, to)));
        pairs.filter(|(from, to)| from != to).map(move |(from, to)| self.cell(from, to))
    }

    /// Traces one pair by HTTP, without recording hops.
    fn cell(&self, from: &Endpoint, to: &Endpoint) -> MatrixCell {
        let path = self.walk(from, to, Service::HTTP, false);
        MatrixCell {
            from: from.name.clone(),
            to: to.name.clone(),
            ok: path.ok,
            source_kept: path.source_kept,
            died: path.died().cloned(),
        }
    }
}
