//! Implementation of the command `history`.
//!
//! A run that this program cannot read is listed as unreadable and reported, and the exit code is
//! that of the failure; a cancelled one is only listed. JSON: `{runs: [{run, workflow, status,
//! steps_done, steps, started, updated, duration_ms, owner, overtaken_by, unreadable}]}`, newest
//! run first. Without the default journal the list is empty; one that is named must exist.

use std::time::Duration;

use comfy_table::{Table, presets};
use serde_json::{Value, json};
use stargate::{
    journal::{Journal, LockTaking, RunRow},
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
    let journal = journals::open_existing(settings).await?;
    match (&args.run, journal) {
        (None, None) => Ok(show_runs(settings.output, &[])),
        (None, Some(journal)) => Ok(show_runs(settings.output, &listed(&*journal, args).await?)),
        (Some(text), None) => Err(if text == "@latest" { runs::no_runs() } else { runs::unknown_run(text) }),
        (Some(text), Some(journal)) => {
            let run = runs::find(&*journal, text).await?;
            run_entries::show(settings.output, &*journal, &journal.load(run).await?, &ViewContext::now()?).await?;
            Ok(Exit::Success)
        }
    }
}

/// Summary of a run, as one line of the list.
struct RunSummary {
    row: RunRow,
    status: ObservedStatus,
    /// Content of the run, or the reason for which this program cannot read it.
    content: Result<RunContent, Failure>,
}

/// Facts of a run that follow from its plan and its entries.
struct RunContent {
    /// Number of steps that are done.
    done: usize,
    /// Number of all steps, with instances.
    total: usize,
    /// Time for which processes have executed the run.
    active: Duration,
    /// Run that has overtaken an unfinished one.
    overtaken_by: Option<LockTaking>,
    /// Next command for an interrupted or failed run.
    next: Option<String>,
}

impl RunContent {
    async fn read(journal: &dyn Journal, row: &RunRow, view: &ViewContext) -> Result<Self, Failure> {
        let status = view.status(row);
        let stored = journal.load(row.id.clone()).await?;
        let plan = runs::plan_of(&stored)?;
        let state = runs::state_of(&stored, &plan)?;
        let (done, total) = runs::progress(&state);
        let overtaken_by = runs::overtaken_by(journal, row, &plan).await?;
        let is_open = matches!(status, ObservedStatus::Interrupted | ObservedStatus::Finished(Outcome::Failed));
        let next = is_open.then(|| runs::continue_hint(row, &state, overtaken_by.is_some()));
        let active = runs::active_time(&stored, view.running_until(status));
        Ok(Self { done, total, active, overtaken_by, next })
    }
}

impl RunSummary {
    async fn new(journal: &dyn Journal, row: RunRow, view: &ViewContext) -> Self {
        let status = view.status(&row);
        let content = RunContent::read(journal, &row, view).await;
        Self { row, status, content }
    }

    /// Returns the reason for which the run cannot be read. That of a cancelled run is ignored: an
    /// operator has closed it.
    fn failure(&self) -> Option<&Failure> {
        self.content.as_ref().err().filter(|_| self.status != ObservedStatus::Finished(Outcome::Cancelled))
    }

    /// Returns the time for which the run has been executed; of one that cannot be read, the time
    /// from its creation to its last entry.
    fn duration(&self) -> Duration {
        self.content.as_ref().map_or_else(|_| self.row.updated_at.since(self.row.created_at), |content| content.active)
    }

    fn to_json(&self) -> Value {
        let content = self.content.as_ref();
        json!({
            "run": self.row.id, "workflow": self.row.workflow, "status": self.status.name(),
            "steps_done": content.map(|content| content.done).ok(), "steps": content.map(|content| content.total).ok(), "started": self.row.created_at.to_string(),
            "updated": self.row.updated_at.to_string(),
            "duration_ms": u64::try_from(self.duration().as_millis()).unwrap_or(u64::MAX),
            "owner": self.row.owner.as_ref().map(ToString::to_string),
            "overtaken_by": content.ok().and_then(|content| content.overtaken_by.as_ref()).map(|by| &by.run),
            "unreadable": content.err().map(ToString::to_string),
        })
    }

    /// Returns the cells of the table.
    fn cells(&self) -> [String; 6] {
        [
            self.row.id.to_string(),
            self.row.workflow.clone(),
            self.status.name().to_string(),
            self.content.as_ref().map_or("unreadable".into(), |content| format!("{}/{}", content.done, content.total)),
            format::date_and_time(self.row.created_at),
            format::duration(self.duration()),
        ]
    }
}

/// Loads the newest runs that the arguments select.
async fn listed(journal: &dyn Journal, args: &HistoryArgs) -> Result<Vec<RunSummary>, Failure> {
    let context = ViewContext::now()?;
    let is_filtered = args.workflow.is_some() || args.status.is_some();
    let is_selected = |row: &RunRow| {
        args.workflow.as_ref().is_none_or(|workflow| row.workflow == *workflow)
            && args.status.as_ref().is_none_or(|status| context.status(row).name().as_str() == status)
    };
    let rows = journal.runs(if is_filtered { u32::MAX } else { args.limit }).await?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut listed = Vec::new();
    for row in rows.into_iter().filter(is_selected).take(limit) {
        listed.push(RunSummary::new(journal, row, &context).await);
    }
    Ok(listed)
}

/// Shows the list, and returns the highest exit code of the runs that cannot be read.
fn show_runs(output: Output, listed: &[RunSummary]) -> Exit {
    match output {
        Output::Text => show_table(listed),
        Output::Json => {
            ui::out_json_pretty(&json!({ "runs": listed.iter().map(RunSummary::to_json).collect::<Vec<_>>() }));
        }
    }
    let failures = || listed.iter().filter_map(RunSummary::failure);
    failures().for_each(Failure::show);
    failures().map(Failure::exit).max().unwrap_or(Exit::Success)
}

/// Prints the list, the overtaken runs, and the command that continues the latest run that needs
/// one.
fn show_table(listed: &[RunSummary]) {
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
    let readable = || listed.iter().filter_map(|run| Some((&run.row.id, run.content.as_ref().ok()?)));
    for (run, content) in readable() {
        if let Some(by) = &content.overtaken_by {
            ui::err(&runs::overtaken_text(run, by));
        }
    }
    let mut current = readable().filter(|(_, content)| content.overtaken_by.is_none());
    if let Some(next) = current.find_map(|(_, content)| content.next.as_ref()) {
        ui::hint(next);
    }
}
