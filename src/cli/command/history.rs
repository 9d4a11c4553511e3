//! Implementation of the command `history`.
//!
//! JSON: `{runs: [{run, workflow, status, steps_done, steps, started, updated, duration_ms,
//! owner}]}`, newest run first. Without a journal the list is empty, and no journal is created.

use comfy_table::{Table, presets};
use serde_json::{Value, json};
use stargate::{
    journal::{self, Journal, RunRow, StoredRun},
    run::{ObservedStatus, Outcome},
};

use super::{run_entries, view_context::ViewContext};
use crate::cli::{
    Failure, Settings,
    args::{HistoryArgs, Output},
    exit::Exit,
    format, hint, runs, ui,
};

/// Command `history`: lists the runs, or shows the entries of one run.
pub(crate) async fn history(settings: &Settings, args: &HistoryArgs) -> Result<Exit, Failure> {
    let journal = journal::open_existing(&settings.journal).await?;
    match (&args.run, journal) {
        (None, None) => show_runs(settings.output, &[]),
        (None, Some(journal)) => show_runs(settings.output, &listed(&*journal, args.limit).await?),
        (Some(text), None) => return Err(if text == "@latest" { runs::no_runs() } else { runs::unknown_run(text) }),
        (Some(text), Some(journal)) => {
            let run = runs::find(&*journal, text).await?;
            run_entries::show(settings.output, &journal.load(run).await?, &ViewContext::now()?)?;
        }
    }
    Ok(Exit::Success)
}

/// Summary of a run, as one line of the list.
struct RunSummary {
    row: RunRow,
    status: ObservedStatus,
    /// Number of steps that are done.
    done: usize,
    /// Number of all steps, with instances.
    total: usize,
}

impl RunSummary {
    fn new(stored: StoredRun, context: &ViewContext) -> Self {
        // A run that this version cannot fold is listed as well, with 0 of 0 steps.
        let folded =
            runs::plan_of(&stored).and_then(|plan| runs::state_of(&stored, &plan).map(|state| runs::progress(&state)));
        let (done, total) = folded.unwrap_or_default();
        Self { status: context.status(&stored.row), row: stored.row, done, total }
    }

    /// Returns the time from the creation of the run to its last entry.
    fn duration(&self) -> std::time::Duration {
        self.row.updated_at.since(self.row.created_at)
    }

    fn to_json(&self) -> Value {
        json!({
            "run": self.row.id, "workflow": self.row.workflow, "status": self.status.name(),
            "steps_done": self.done, "steps": self.total, "started": self.row.created_at.to_string(),
            "updated": self.row.updated_at.to_string(),
            "duration_ms": u64::try_from(self.duration().as_millis()).unwrap_or(u64::MAX),
            "owner": self.row.owner.as_ref().map(ToString::to_string),
        })
    }

    /// Returns the cells of the table.
    fn cells(&self) -> [String; 6] {
        [
            self.row.id.to_string(),
            self.row.workflow.clone(),
            self.status.name().to_string(),
            format!("{}/{}", self.done, self.total),
            format::date_and_time(self.row.created_at),
            format::duration(self.duration()),
        ]
    }
}

/// Loads the newest runs, `limit` at most.
async fn listed(journal: &dyn Journal, limit: u32) -> Result<Vec<RunSummary>, Failure> {
    let context = ViewContext::now()?;
    let mut listed = Vec::new();
    for row in journal.runs(limit).await? {
        listed.push(RunSummary::new(journal.load(row.id).await?, &context));
    }
    Ok(listed)
}

fn show_runs(output: Output, listed: &[RunSummary]) {
    if output == Output::Json {
        let runs: Vec<_> = listed.iter().map(RunSummary::to_json).collect();
        return ui::out_json_pretty(&json!({ "runs": runs }));
    }
    if listed.is_empty() {
        ui::err("the journal has no runs yet");
        return ui::hint("run `stargate run workflow NAME` to start one");
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["RUN", "WORKFLOW", "STATUS", "STEPS", "STARTED", "DURATION"]);
    table.add_rows(listed.iter().map(RunSummary::cells));
    for line in table.lines() {
        ui::out(line.trim());
    }
    if let Some(open) = listed
        .iter()
        .find(|run| matches!(run.status, ObservedStatus::Interrupted | ObservedStatus::Finished(Outcome::Failed)))
    {
        ui::hint(&hint::resume(&open.row.id));
    }
}
