//! Implementation of the command `prune`.
//!
//! Only runs that have ended are removed: a run that is interrupted, in doubt or waiting for
//! approval is kept regardless of its age. JSON: `{removed, ended_before}`.

use std::time::Duration;

use serde_json::json;
use stargate::clock::{Clock, UnixMillis};

use crate::cli::{
    Failure, Settings,
    args::{Output, PruneArgs},
    exit::Exit,
    format, journals, ui,
};

/// Command `prune`: removes runs that ended before a point in time.
pub(crate) async fn prune(settings: &Settings, args: &PruneArgs) -> Result<Exit, Failure> {
    let before = earlier(args.older_than);
    let pruned = match journals::open_existing(settings).await? {
        Some(journal) => journal.prune(before).await?,
        None => 0,
    };
    let runs = format::plural(usize::try_from(pruned).unwrap_or(usize::MAX), "run");
    match settings.output {
        Output::Text => ui::err(&format!("removed {runs} that ended before {}", format::date_and_time(before))),
        Output::Json => ui::out_json(&json!({ "removed": pruned, "ended_before": before.to_string() })),
    }
    Ok(Exit::Success)
}

/// Returns the point in time `ago` before now.
pub(super) fn earlier(ago: Duration) -> UnixMillis {
    let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
    UnixMillis(Clock::system().now().0.saturating_sub(ago))
}
