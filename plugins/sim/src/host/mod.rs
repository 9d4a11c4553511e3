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
mod content;
mod files;
mod forward_filter;
mod hosts;
mod image;
mod io;
mod kubelet;
mod machine;
mod network;
mod networkd;
mod nft;
mod nft_rule;
mod prefs;
mod process;
mod server;
mod shell;
mod sysctl;
mod tailscale_rules;
mod units;

pub use account::Account;
pub use cloud_init::{CloudInit, Stage};
pub use content::Content;
pub use files::{Actor, Errno, Files, Kind, Node};
pub use hosts::Hosts;
pub use kubelet::KubeletProcess;
pub use machine::{Machine, Phase};
pub(crate) use network::ETHERNET_MTU;
pub use network::{Interface, KernelRoute, Lookup, MAIN_TABLE, TAILSCALE_TABLE};
pub use nft::{Chain, ChainPolicy, Hook, Ruleset};
pub use nft_rule::{Clamp, ConnectionState, FilterRule, NftRule, PacketMatch, Statement, Way};
pub use prefs::{Prefs, Tailscaled};
pub use server::{HostError, HostOptions, HostServer, Output, serve};
pub use tailscale_rules::TailscaleRules;
pub use units::UnitState;

pub(crate) use container::{Container, Ended, Running, keep_containers};
pub(crate) use forward_filter::ForwardedPacket;
pub(crate) use io::Stream;
pub(crate) use kubelet::advance as advance_kubelets;
#[cfg(test)]
pub(crate) use kubelet::version_of as kubelet_version;
