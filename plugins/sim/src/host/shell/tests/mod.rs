//! Differential tests: the simulated shell and the real `sh` run the same scripts.

mod depth;
mod generator;
mod quoting;
mod runner;
mod scripts;
