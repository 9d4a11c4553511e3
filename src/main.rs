//! Program `stargate`: durable workflows that join datacenter machines to an AKS cluster over
//! Tailscale.

mod cli;
mod wiring;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
