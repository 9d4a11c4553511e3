use serde::Serialize;

use super::path::{Death, Endpoint};
use super::plane::Plane;
use crate::arm::Service;

/// Who reaches whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Matrix {
    /// Between whom.
    pub pods: Vec<Endpoint>,
    /// Every pair in both orders, without those of one with itself.
    pub cells: Vec<Cell>,
    /// How many of them are dead.
    pub dead: usize,
}

/// A pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// Who asks.
    pub from: String,
    /// Who answers.
    pub to: String,
    /// Whether the reply came back.
    pub ok: bool,
    /// Whether who answers saw the address of who asks.
    pub source_kept: bool,
    /// Where the request or the reply ended.
    pub died: Option<Death>,
}

impl Plane {
    /// Who reaches whom among `endpoints`.
    pub fn matrix(&self, endpoints: &[Endpoint]) -> Matrix {
        let cells: Vec<Cell> = self.cells(endpoints).collect();
        let dead = cells.iter().filter(|cell| !cell.ok).count();
        Matrix { pods: endpoints.to_vec(), cells, dead }
    }

    /// The first pair that is dead.
    pub fn first_dead(&self, endpoints: &[Endpoint]) -> Option<Cell> {
        self.cells(endpoints).find(|cell| !cell.ok)
    }

    fn cells(&self, endpoints: &[Endpoint]) -> impl Iterator<Item = Cell> {
        let pairs = endpoints.iter().flat_map(move |from| endpoints.iter().map(move |to| (from, to)));
        pairs.filter(|(from, to)| from != to).map(move |(from, to)| self.cell(from, to))
    }

    fn cell(&self, from: &Endpoint, to: &Endpoint) -> Cell {
        let path = self.walk(from, to, Service::HTTP, false);
        Cell {
            from: from.name.clone(),
            to: to.name.clone(),
            ok: path.ok,
            source_kept: path.source_kept,
            died: path.died().cloned(),
        }
    }
}
