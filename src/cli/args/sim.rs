//! Arguments of the commands that need the simulator. They exist only with the feature `sim`.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};

/// Initial content of the simulated world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScenarioName {
    /// An AKS cluster with its network and nodes
    Log,
    /// An empty subscription
    Empty,
}

/// Arguments of `sim`.
#[derive(Debug, Args)]
pub(crate) struct SimArgs {
    /// Folder for keys and certificates [default: a new folder, removed on exit]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Address for HTTP; port 0 selects a free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Address for HTTPS [default: a free port on 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) https_listen: Option<SocketAddr>,
    /// Address of the Kubernetes API [default: a free port on 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) kubernetes_listen: Option<SocketAddr>,
    /// Host name by which clients address the simulator, besides loopback; can be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_host: Vec<String>,
    /// File that stores the world between two starts [default: not stored]
    #[arg(long, value_name = "PATH")]
    pub(crate) state: Option<PathBuf>,
    /// Seed of all random values in the world
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Factor by which operations are faster than in reality
    #[arg(long, value_name = "FACTOR", default_value_t = 20.0)]
    pub(crate) speed: f64,
    /// Initial content of the world
    #[arg(long, value_name = "NAME", default_value = "log")]
    pub(crate) scenario: ScenarioName,
    /// Start no hosts; a client of the event stream can start real machines instead
    #[arg(long)]
    pub(crate) no_hosts: bool,
    /// Start no tailnet
    #[arg(long)]
    pub(crate) no_tailnet: bool,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Folder for journal, keys and certificates [default: a new folder, removed on exit]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Seed of the times at which runs are killed [default: random]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}
