use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};

/// What the world holds at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScenarioName {
    /// An AKS cluster with its network and nodes
    Log,
    /// A subscription and nothing in it
    Empty,
}

/// `sim`.
#[derive(Debug, Args)]
pub(crate) struct SimArgs {
    /// Where keys and certificates are written [default: a new folder that is gone at the end]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Address for HTTP; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Address for HTTPS as well
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) https_listen: Option<SocketAddr>,
    /// File that keeps the world between two starts
    #[arg(long, value_name = "PATH")]
    pub(crate) state: Option<PathBuf>,
    /// Seed of everything that is random in the world
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// How much faster than in the real world things take their time
    #[arg(long, value_name = "FACTOR", default_value_t = 20.0)]
    pub(crate) speed: f64,
    /// What the world holds at first
    #[arg(long, value_name = "NAME", default_value = "log")]
    pub(crate) scenario: ScenarioName,
    /// Without hosts: whoever follows the stream of events makes machines real
    #[arg(long)]
    pub(crate) no_hosts: bool,
    /// Without a tailnet
    #[arg(long)]
    pub(crate) no_tailnet: bool,
}

/// `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where everything is kept [default: a new folder that is gone at the end]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Seed of the moments at which runs are killed [default: another one each time]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}
