//! Simulated Debian machines that the unmodified `ssh` client can log in to.
//!
//! A [`Machine`] consists of a disk, kernel settings and routes, units and the state of tailscaled.
//! [`serve`] follows the events of the world, boots the machines and answers SSH on loopback.
//! Commands run in a small shell. A program that is not simulated exits with 127 (command not
//! found), as in a real shell.

mod account;
mod cloud_init;
mod commands;
mod container;
mod containerd;
mod forward_filter;
mod hosts;
mod image;
mod io;
mod kernel_files;
mod kubelet;
mod lifecycle;
mod network;
mod networkd;
mod process;
mod server;
mod shell;
mod state;
mod sysctl;
mod systemd_files;
mod tailscaled;
mod units;

pub use account::Account;
pub use hosts::Hosts;
pub use network::{Interface, Lookup};
pub use server::{HostError, HostOptions, HostServer, Output, serve};
pub use state::{
    Actor, Chain, ChainPolicy, Clamp, CloudInit, ConnectionState, Content, Errno, Files, FilterRule, Hook, KernelRoute,
    Kind, KubeletProcess, MAIN_TABLE, Machine, NftRule, Node, PacketMatch, Phase, Prefs, Ruleset, Stage, Statement,
    TAILSCALE_TABLE, TailscaleRules, Tailscaled, UnitState, Way,
};

pub(crate) use container::{Container, Ended, Running, keep_containers};
pub(crate) use forward_filter::ForwardedPacket;
pub(crate) use io::Stream;
pub(crate) use kubelet::advance as advance_kubelets;
#[cfg(test)]
pub(crate) use kubelet::version_of as kubelet_version;
pub(crate) use network::ETHERNET_MTU;
#[cfg(feature = "fuzzing")]
pub(crate) use shell::check_any_script;
