//! Differential tests: the simulated shell and the real `sh` run the same scripts.

mod generator;
mod mutations;
mod quoting;
mod runner;
mod scripts;
