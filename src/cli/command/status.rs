//! Implementation of the command `status`: the state of a deployment, without a run.
//!
//! Exit codes: 0 if all surfaces agree and all machines work, 2 if a synchronization would change
//! something, 3 if a machine does not work or a surface cannot be read or is blocked. JSON:
//! `{cluster, version, nodes, nodes_ready, sites, routers, workers, route_tables, surfaces,
//! last_sync, next_sync, unfinished, exit}`.

use std::{collections::BTreeMap, sync::Arc};

use comfy_table::{Table, presets};
use jiff::tz::TimeZone;
use serde::Serialize;
use stargate::{
    clock::UnixMillis,
    plan::CompiledPlan,
    run::{ObservedStatus, Outcome},
};
use stargate_sdk::Preview;

use super::{
    forecast::{Forecast, StepForecast, forecast},
    view_context::ViewContext,
};
use crate::cli::{
    Failure, Settings,
    args::{Output, StatusArgs},
    exit::Exit,
    format, inputs, journals,
    planned::PlannedWorkflow,
    status::{DeploymentStatus, StepOutputs, SurfaceStatus},
    ui::{self, Tone},
    workflow_text::WorkflowText,
};

/// Workflow whose forecast is the status.
const SYNC: &str = "sync-pod-routes";
/// Number of runs that are searched for the latest synchronization and for unfinished runs.
const RUNS: u32 = 1000;
/// Time before the end of a key at which it is reported: 14 days.
const KEY_WARNING_MILLIS: i64 = 14 * 24 * 3600 * 1000;

/// Status of a deployment, and what the journal knows about its runs.
#[derive(Debug, Serialize)]
struct ShownStatus {
    #[serde(flatten)]
    deployment: DeploymentStatus,
    /// Latest synchronization in this journal.
    last_sync: Option<ListedRun>,
    /// Next time of the synchronization's schedule.
    next_sync: Option<String>,
    /// Runs that are neither finished nor cancelled.
    unfinished: Vec<ListedRun>,
    exit: u8,
}

#[derive(Debug, Serialize)]
struct ListedRun {
    run: String,
    workflow: String,
    status: String,
    updated: String,
}

/// Command `status`: shows the deployment once, or each time after an interval.
pub(crate) async fn status(settings: &Settings, args: &StatusArgs) -> Result<Exit, Failure> {
    loop {
        let (shown, exit) = read(settings, args).await?;
        match settings.output {
            Output::Json => ui::out_json_pretty(&shown),
            Output::Text => show(&shown),
        }
        let Some(interval) = args.watch else { return Ok(exit) };
        ui::err(&format!("{}: next look in {}", format::date_and_time(now()), format::duration(interval)));
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            _ = tokio::signal::ctrl_c() => return Ok(exit),
        }
    }
}

fn now() -> UnixMillis {
    stargate::clock::Clock::system().now()
}

async fn read(settings: &Settings, args: &StatusArgs) -> Result<(ShownStatus, Exit), Failure> {
    let text = WorkflowText::shipped(SYNC)?;
    let mut next = None;
    let planned = PlannedWorkflow::new(settings, &text, |workflow| {
        next = workflow.schedule.as_ref().and_then(|cron| cron.value.next_after(now(), &TimeZone::system()));
        inputs::read(&args.inputs, workflow)
    })?;
    let PlannedWorkflow { plan, actions: (registry, secrets) } = planned;
    let compiled = CompiledPlan::new(Arc::new(plan))?;
    let forecasts = forecast(&compiled, &registry, &Arc::new(secrets), &|_| {}).await;
    let (outputs, surfaces) = sorted(forecasts);
    let deployment = DeploymentStatus::new(&outputs, surfaces);
    let exit = exit(&deployment);
    let (last_sync, unfinished) = runs(settings).await?;
    let next_sync = next.map(format::date_time_and_zone);
    Ok((ShownStatus { deployment, last_sync, next_sync, unfinished, exit: exit.code() }, exit))
}

/// Splits forecasts into the outputs of unchanged steps, and the others.
fn sorted(forecasts: Vec<StepForecast>) -> (StepOutputs, SurfaceStatus) {
    let (mut outputs, mut surfaces) = (BTreeMap::new(), SurfaceStatus::default());
    for StepForecast { step, forecast, .. } in forecasts {
        match forecast {
            Forecast::Previewed(Preview::Unchanged { output }) => drop(outputs.insert(step, output)),
            Forecast::Previewed(
                Preview::Changes { differences, .. } | Preview::Replacement { forced_by: differences, .. },
            ) => {
                surfaces.differences += differences.len();
                surfaces.changes.insert(step, differences.iter().map(ToString::to_string).collect());
            }
            Forecast::Failed(error) => drop(surfaces.failures.insert(step, error.to_string())),
            Forecast::Previewed(Preview::Opaque) | Forecast::Unknown { .. } | Forecast::Skipped | Forecast::AtEnd => {}
        }
    }
    (StepOutputs(outputs), surfaces)
}

fn exit(status: &DeploymentStatus) -> Exit {
    if !status.surfaces.failures.is_empty() || !status.is_healthy() {
        Exit::Failed
    } else if status.surfaces.changes.is_empty() {
        Exit::Success
    } else {
        Exit::Changes
    }
}

/// The latest synchronization, and the unfinished runs.
async fn runs(settings: &Settings) -> Result<(Option<ListedRun>, Vec<ListedRun>), Failure> {
    let Some(journal) = journals::open_existing(settings).await? else { return Ok((None, Vec::new())) };
    let view = ViewContext::now()?;
    let (mut last, mut unfinished) = (None, Vec::new());
    for row in journal.runs(RUNS).await? {
        let status = view.status(&row);
        let listed = || ListedRun {
            run: row.id.to_string(),
            workflow: row.workflow.clone(),
            status: status.name().to_string(),
            updated: format::date_and_time(row.updated_at),
        };
        if last.is_none() && row.workflow == SYNC {
            last = Some(listed());
        }
        if !matches!(status, ObservedStatus::Finished(Outcome::Succeeded | Outcome::Cancelled)) {
            unfinished.push(listed());
        }
    }
    Ok((last, unfinished))
}

fn show(shown: &ShownStatus) {
    let status = &shown.deployment;
    ui::out(&format!(
        "cluster {}: {}, {} of {} nodes of AKS ready",
        status.cluster, status.version, status.nodes_ready, status.nodes
    ));
    show_sites(status);
    show_routers(status);
    show_workers(status);
    for table in &status.route_tables {
        ui::out(&format!("route table {}: {} of {} routes", table.name, table.routes, table.limit));
    }
    show_surfaces(&status.surfaces);
    show_runs(shown);
}

fn show_sites(status: &DeploymentStatus) {
    for site in &status.sites {
        let room = site.free_pod_cidrs.map(|free| format!(", {free} pod CIDRs left")).unwrap_or_default();
        let workers = format::plural(site.workers, "worker");
        ui::out(&format!(
            "site {} ({}, {}): router {}, {workers}, pods {}{room}",
            site.name, site.fabric, site.subnet, site.router, site.pod_block
        ));
    }
}

fn show_routers(status: &DeploymentStatus) {
    let state = |connected| match connected {
        Some(true) => "connected",
        Some(false) => "not connected",
        None => "no device",
    };
    let rows = status.routers.iter().map(|router| {
        [
            router.name.clone(),
            router.site.clone(),
            state(router.connected).to_owned(),
            router.version.clone().unwrap_or_else(|| "not read".into()),
            key(router.key_expires.as_deref()),
            router.routes.join(", "),
        ]
    });
    show_table(["ROUTER", "SITE", "DEVICE", "TAILSCALE", "KEY", "ROUTES"], rows);
}

/// Words for the end of a key.
fn key(expires: Option<&str>) -> String {
    let Some(text) = expires else { return "does not expire".into() };
    let soon = now().0 + KEY_WARNING_MILLIS;
    let is_soon = text.parse::<jiff::Timestamp>().is_ok_and(|end| end.as_millisecond() < soon);
    format!("{}until {text}", if is_soon { "only " } else { "" })
}

fn show_workers(status: &DeploymentStatus) {
    let state = |ready| match ready {
        Some(true) => "ready",
        Some(false) => "not ready",
        None => "no node",
    };
    let rows = status.workers.iter().map(|worker| {
        let version = worker.version.clone().unwrap_or_else(|| "none".into());
        [worker.name.clone(), worker.site.clone(), state(worker.ready).to_owned(), version, worker.pod_cidr.clone()]
    });
    show_table(["WORKER", "SITE", "NODE", "KUBELET", "POD CIDR"], rows);
}

fn show_table<const N: usize>(header: [&str; N], rows: impl ExactSizeIterator<Item = [String; N]>) {
    if rows.len() == 0 {
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table.add_rows(rows);
    table.lines().for_each(|line| ui::out(line.trim()));
}

fn show_surfaces(surfaces: &SurfaceStatus) {
    for (step, differences) in &surfaces.changes {
        for difference in differences {
            ui::out(&format!("  {step}: {difference}"));
        }
    }
    for (step, reason) in &surfaces.failures {
        ui::out(&format!("  {} {step}: {reason}", ui::paint_out(Tone::Bad, "failed:")));
    }
    let (tone, text) = match (surfaces.differences, surfaces.failures.len()) {
        (0, 0) => (Tone::Good, "all surfaces agree".to_owned()),
        (0, failures) => (Tone::Bad, format!("{} failed", format::plural(failures, "surface check"))),
        (differences, failures) => {
            let failed = if failures == 0 { String::new() } else { format!(", {failures} failed") };
            (Tone::Notable, format!("{}{failed}", format::plural(differences, "difference")))
        }
    };
    ui::out(&format!("surfaces: {}", ui::paint_out(tone, &text)));
    if surfaces.differences > 0 {
        ui::hint(&format!("run `stargate run workflow {SYNC}` with the same inputs to remove the differences"));
    }
}

fn show_runs(shown: &ShownStatus) {
    match &shown.last_sync {
        Some(ListedRun { run, status, updated, .. }) => ui::out(&format!("last sync: {status} at {updated} ({run})")),
        None => ui::out("last sync: none in this journal"),
    }
    if let Some(next) = &shown.next_sync {
        ui::out(&format!("next sync by the workflow's schedule: {next}"));
    }
    for ListedRun { run, workflow, status, updated } in &shown.unfinished {
        ui::out(&format!("unfinished run {run} of {workflow}: {status} since {updated}"));
    }
}
