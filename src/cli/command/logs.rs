//! Implementation of the command `logs`.
//!
//! JSON: `{run, lines: [{at, step, attempt, line}]}`, and one such line at a time with `--follow`.
//! Lines are stored without secrets; the executor redacts them.

use std::time::Duration;

use serde_json::{Value, json};
use stargate::{
    id::RunId,
    journal::{Journal, LogLine},
    run::ObservedStatus,
};

use super::view_context::ViewContext;
use crate::cli::{
    Failure, Settings,
    args::{LogsArgs, Output},
    exit::Exit,
    format, journals, runs,
    ui::{self, Tone},
};

/// Interval between two reads of the journal with `--follow`.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Command `logs`: shows the lines that the steps of a run captured.
pub(crate) async fn logs(settings: &Settings, args: &LogsArgs) -> Result<Exit, Failure> {
    let Some(journal) = journals::open_existing(settings).await? else { return Err(runs::no_runs()) };
    let run = runs::find(&*journal, &args.run).await?;
    journal.row(run.clone()).await?;
    if let Some(step) = &args.step {
        let stored = journal.load(run.clone()).await?;
        let state = runs::state_of(&stored, &runs::plan_of(&stored)?)?;
        runs::find_step(&run, &state, step, "logs")?;
    }
    let is_selected = |line: &LogLine| args.step.as_ref().is_none_or(|step| is_of(&line.step, step));
    let lines = journal.log_lines(run.clone()).await?;
    let seen = lines.len();
    let selected: Vec<_> = lines.into_iter().filter(is_selected).collect();
    let kept = args.tail.unwrap_or(selected.len()).min(selected.len());
    let shown = &selected[selected.len() - kept..];
    if args.follow {
        show_more(settings.output, shown);
        return follow(settings.output, &*journal, run, seen, is_selected).await;
    }
    show(settings.output, &run, shown);
    Ok(Exit::Success)
}

/// Shows further lines until the run is no longer executed. Ctrl-C ends the command.
async fn follow(
    output: Output,
    journal: &dyn Journal,
    run: RunId,
    mut seen: usize,
    is_selected: impl Fn(&LogLine) -> bool,
) -> Result<Exit, Failure> {
    loop {
        // The status is read first: what precedes an end is in the lines that are read next.
        let status = ViewContext::now()?.status(&journal.row(run.clone()).await?);
        let mut lines = journal.log_lines(run.clone()).await?;
        let new = lines.split_off(seen.min(lines.len()));
        seen += new.len();
        show_more(output, &new.into_iter().filter(&is_selected).collect::<Vec<_>>());
        if status != ObservedStatus::Running {
            return Ok(Exit::Success);
        }
        tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Success),
        }
    }
}

/// Shows lines of a run that is running; as one JSON object for each with `--output json`.
fn show_more(output: Output, lines: &[LogLine]) {
    match output {
        Output::Json => lines.iter().for_each(|line| ui::out_json(&to_json(line))),
        Output::Text if lines.is_empty() => {}
        Output::Text => show_lines(lines),
    }
}

/// True if `name` is the selected step or one of its instances.
fn is_of(name: &str, asked: &str) -> bool {
    name.strip_prefix(asked).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '/']))
}

fn show(output: Output, run: &RunId, lines: &[LogLine]) {
    if output == Output::Json {
        let lines: Vec<_> = lines.iter().map(to_json).collect();
        return ui::out_json_pretty(&json!({ "run": run, "lines": lines }));
    }
    if lines.is_empty() {
        ui::err("no lines were captured");
    }
    show_lines(lines);
}

fn show_lines(lines: &[LogLine]) {
    let width = lines.iter().map(|line| line.step.chars().count()).max().unwrap_or_default();
    for LogLine { step, attempt, at, text, .. } in lines {
        let time = ui::paint_out(Tone::Quiet, &format::time_of_day(*at));
        let attempt = if *attempt == 1 { String::new() } else { format!("({attempt}) ") };
        for text in text.lines() {
            ui::out(format!("{time}  {step:width$}  {attempt}| {text}").trim_end());
        }
    }
}

fn to_json(line: &LogLine) -> Value {
    json!({ "at": line.at.to_string(), "step": line.step, "attempt": line.attempt, "line": line.text })
}
