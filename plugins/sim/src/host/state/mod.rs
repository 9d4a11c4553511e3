//! Data of a simulated machine.
//!
//! The types read and change only their own fields. What a machine does with them is in the
//! modules around this one.

mod cloud_init;
mod content;
mod files;
mod kernel_route;
mod kubelet_process;
mod machine;
mod nft;
mod nft_rule;
mod tailscale_rules;
mod tailscaled;
mod unit;

pub use cloud_init::{CloudInit, Stage};
pub use content::Content;
pub use files::{Actor, Errno, Files, Kind, Node};
pub use kernel_route::{KernelRoute, MAIN_TABLE, TAILSCALE_TABLE};
pub use kubelet_process::KubeletProcess;
pub use machine::{Machine, Phase};
pub use nft::{Chain, ChainPolicy, Hook, Ruleset};
pub use nft_rule::{Clamp, ConnectionState, FilterRule, NftRule, PacketMatch, Statement, Way};
pub use tailscale_rules::TailscaleRules;
pub use tailscaled::{Prefs, Tailscaled};
pub use unit::UnitState;

pub(super) use files::{base_name, parent};
pub(super) use kernel_route::LOCAL_TABLE;
pub(super) use nft::{FILTER, MANGLE};
pub(super) use nft_rule::{read_prefix, shown_prefix};
pub(super) use unit::{WANTS, unit_name, wants};
