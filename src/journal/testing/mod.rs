//! Contract suite that each store of runs must pass.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let folder = tempfile::tempdir().expect("a directory");
//! use std::sync::atomic::{AtomicU32, Ordering};
//!
//! let count = AtomicU32::new(0);
//! stargate::journal::testing::contract(async || {
//!     let name = format!("{}.db", count.fetch_add(1, Ordering::Relaxed));
//!     stargate::journal::open(folder.path().join(name)).await.expect("a journal")
//! })
//! .await;
//! # }
//! ```

mod contract;
pub mod samples;

pub use contract::contract;
