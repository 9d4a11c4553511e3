//! Implementation of the command `history`.
//!
//! JSON: `{runs: [{run, workflow, status, steps_done, steps, started, updated, duration_ms, owner,
//! overtaken_by}]}`, newest run first. Without a journal the list is empty, and no journal is
//! created.

use comfy_table::{Table, presets};
use serde_json::{Value, json};
use stargate::{
    journal::{Journal, LockTaking, RunRow, StoredRun},
    run::{ObservedStatus, Outcome},
};

use super::{run_entries, view_context::ViewContext};
use crate::cli::{
    Failure, Settings,
    args::{HistoryArgs, Output},
    exit::Exit,
    format, journals, runs, ui,
};

/// Command `history`: lists the runs, or shows the entries of one run.
pub(crate) async fn history(settings: &Settings, args: &HistoryArgs) -> Result<Exit, Failure> {
    let journal = journals::open_existing(&settings.journal).await?;
    match (&args.run, journal) {
        (None, None) => show_runs(settings.output, &[]),
        (None, Some(journal)) => show_runs(settings.output, &listed(&*journal, args.limit).await?),
        (Some(text), None) => return Err(if text == "@latest" { runs::no_runs() } else { runs::unknown_run(text) }),
        (Some(text), Some(journal)) => {
            let run = runs::find(&*journal, text).await?;
            run_entries::show(settings.output, &*journal, &journal.load(run).await?, &ViewContext::now()?).await?;
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
    /// Run that has overtaken an unfinished one.
    overtaken_by: Option<LockTaking>,
    /// Next command for an interrupted or failed run.
    next: Option<String>,
}

impl RunSummary {
    async fn new(journal: &dyn Journal, stored: StoredRun, context: &ViewContext) -> Result<Self, Failure> {
        let status = context.status(&stored.row);
        let folded = runs::plan_of(&stored).and_then(|plan| Ok((runs::state_of(&stored, &plan)?, plan)));
        // A run that this version cannot fold is listed as well, with 0 of 0 steps.
        let Ok((state, plan)) = folded else {
            return Ok(Self { status, row: stored.row, done: 0, total: 0, overtaken_by: None, next: None });
        };
        let (done, total) = runs::progress(&state);
        let overtaken_by = runs::overtaken_by(journal, &stored.row, &plan).await?;
        let is_open = matches!(status, ObservedStatus::Interrupted | ObservedStatus::Finished(Outcome::Failed));
        let next = is_open.then(|| runs::continue_hint(&stored.row, &state, overtaken_by.is_some()));
        Ok(Self { status, row: stored.row, done, total, overtaken_by, next })
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
            "overtaken_by": self.overtaken_by.as_ref().map(|by| &by.run),
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
        listed.push(RunSummary::new(journal, journal.load(row.id).await?, &context).await?);
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
    for run in listed {
        if let Some(by) = &run.overtaken_by {
            ui::err(&runs::overtaken_text(&run.row.id, by));
        }
    }
    let mut current = listed.iter().filter(|run| run.overtaken_by.is_none());
    if let Some(next) = current.find_map(|run| run.next.as_ref()) {
        ui::hint(next);
    }
}
