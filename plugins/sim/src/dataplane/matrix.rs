use serde::Serialize;

use super::path::{Endpoint, PacketDrop};
use super::plane::Plane;
use crate::arm::Service;

/// Who reaches whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReachabilityMatrix {
    /// Between whom.
    pub pods: Vec<Endpoint>,
    /// Every pair in both orders, without those of one with itself.
    pub cells: Vec<MatrixCell>,
    /// How many of them are dead.
    pub dead: usize,
}

/// A pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MatrixCell {
    /// Who asks.
    pub from: String,
    /// Who answers.
    pub to: String,
    /// Whether the reply came back.
    pub ok: bool,
    /// Whether who answers saw the address of who asks.
    pub source_kept: bool,
    /// Where the request or the reply ended.
    pub died: Option<PacketDrop>,
}

impl Plane {
    /// Who reaches whom among `endpoints`.
    pub fn matrix(&self, endpoints: &[Endpoint]) -> ReachabilityMatrix {
        let cells: Vec<MatrixCell> = self.cells(endpoints).collect();
        let dead = cells.iter().filter(|cell| !cell.ok).count();
        ReachabilityMatrix { pods: endpoints.to_vec(), cells, dead }
    }

    /// The first pair that is dead.
    pub fn first_dead(&self, endpoints: &[Endpoint]) -> Option<MatrixCell> {
        self.cells(endpoints).find(|cell| !cell.ok)
    }

    fn cells(&self, endpoints: &[Endpoint]) -> impl Iterator<Item = MatrixCell> {
        let pairs = endpoints.iter().flat_map(move |from| endpoints.iter().map(move |to| (from, to)));
        pairs.filter(|(from, to)| from != to).map(move |(from, to)| self.cell(from, to))
    }

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
