//! Implementation of the command `logs`.
//!
//! JSON: `{run, lines: [{at, step, attempt, line}]}`. Lines are stored without secrets; the
//! executor redacts them.

use serde_json::{Value, json};
use stargate::{id::RunId, journal::LogLine};

use crate::cli::{
    Failure, Settings,
    args::{LogsArgs, Output},
    exit::Exit,
    format, journals, runs,
    ui::{self, Tone},
};

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
    let mut lines = journal.log_lines(run.clone()).await?;
    lines.retain(|line| args.step.as_ref().is_none_or(|step| is_of(&line.step, step)));
    let kept = args.tail.unwrap_or(lines.len()).min(lines.len());
    show(settings.output, &run, &lines[lines.len() - kept..]);
    Ok(Exit::Success)
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
