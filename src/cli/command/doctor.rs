//! Implementation of the command `doctor`.
//!
//! A workflow that cannot be read or has errors is reported, and the checks of the others run. Exit
//! code 0 if no check failed, with or without warnings, otherwise 3; 64 or 65, as of `validate`, if
//! there is such a workflow. JSON: a list of `{id, summary, status, message, hint, required}`.
//! There, `required` lists the permissions that the workflows need; a workflow that cannot be
//! checked has the id `workflow`, and `diagnostics`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, Shared},
    stream::FuturesOrdered,
};
use serde_json::{Value, json};
use stargate_sdk::{ActionContext, Check, CheckStatus, Finding, Permission, Registry, Secrets};

use super::doctor_hosts::{HostFinding, check_hosts};
use crate::{
    cli::{
        Failure, Settings,
        args::{DoctorArgs, Output},
        diagnostics,
        exit::Exit,
        format,
        journal_check::{JournalCheck, JournalDiskCheck},
        requirements::Requirements,
        ui::{self, Tone},
        workflow_text::WorkflowText,
    },
    wiring,
};

/// Maximum duration of one check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(15);

/// Finding of a check that other checks may wait for.
type SharedFinding = Shared<BoxFuture<'static, Finding>>;

/// Command `doctor`: runs the checks that concern the named workflows. Changes nothing.
///
/// All checks run, also after a failed one; a check is skipped only if one that it depends on has
/// failed.
pub(crate) async fn doctor(settings: &Settings, args: &DoctorArgs) -> Result<Exit, Failure> {
    let (registry, secrets) = wiring::build(settings)?;
    let (requirements, unchecked) = requirements(settings, args, &registry, &secrets);
    let path = || settings.journal.clone();
    let mut checks: Vec<Arc<dyn Check>> =
        vec![Arc::new(JournalCheck { path: path() }), Arc::new(JournalDiskCheck { path: path() })];
    checks.extend(registry.checks().iter().cloned());
    checks.retain(|check| requirements.concerns(check.id(), &registry));
    let width = checks.iter().map(|check| check.id().len()).max().unwrap_or_default();
    if settings.output == Output::Text {
        for workflow in &unchecked {
            workflow.show(width);
        }
    }
    let secrets = Arc::new(secrets);
    let mut running = start_checks(checks, &Arc::new(requirements.permissions), &secrets);
    let mut reports = Vec::new();
    while let Some((check, finding)) = running.next().await {
        if settings.output == Output::Text {
            show(check.id(), &finding, width);
        }
        reports.push((check, finding));
    }
    let hosts = if args.hosts { check_hosts(&registry, &secrets).await } else { Vec::new() };
    if settings.output == Output::Text {
        for host in &hosts {
            show(&host.id, &host.finding, width);
        }
    }
    Ok(conclude(settings.output, &unchecked, &reports, &hosts))
}

/// Workflow whose requirements are not known.
struct UncheckedWorkflow {
    /// Name on the command line.
    name: String,
    failure: Failure,
}

impl UncheckedWorkflow {
    const ID: &str = "workflow";

    /// Prints the errors with their places, and the finding.
    fn show(&self, width: usize) {
        if let Some(found) = self.failure.diagnostics() {
            diagnostics::show(found);
        }
        show(Self::ID, &Finding::failed(self.failure.to_string(), self.failure.hint()), width);
    }

    fn to_json(&self) -> Value {
        json!({
            "id": Self::ID, "summary": format!("The workflow {} can be read and has no errors.", self.name),
            "status": CheckStatus::Failed, "message": self.failure.to_string(), "hint": self.failure.hint(),
            "required": [], "diagnostics": self.failure.diagnostics(),
        })
    }
}

/// Collects the requirements of the named workflows, or of all embedded ones if none is named. A
/// workflow that cannot be read or has errors is returned as well.
fn requirements(
    settings: &Settings,
    args: &DoctorArgs,
    registry: &Registry,
    secrets: &Secrets,
) -> (Requirements, Vec<UncheckedWorkflow>) {
    let find = |name: &str| Ok(WorkflowText::find(name)?.with_includes(settings.includes));
    let named = args.workflows.iter().map(|name| (name.clone(), find(name)));
    let embedded = || WorkflowText::all_embedded().into_iter().map(|text| (text.name().to_owned(), Ok(text)));
    let texts: Vec<_> = if args.workflows.is_empty() { embedded().collect() } else { named.collect() };
    let (mut requirements, mut unchecked) = (Requirements::default(), Vec::new());
    for (name, text) in texts {
        match text.and_then(|text| text.outline(registry)) {
            Ok(outline) => requirements.add(&outline, registry, secrets),
            Err(failure) => unchecked.push(UncheckedWorkflow { name, failure }),
        }
    }
    (requirements, unchecked)
}

/// Starts all checks concurrently. Each one waits for those it depends on; the findings are
/// returned in the order of `checks`.
fn start_checks(
    checks: Vec<Arc<dyn Check>>,
    needed: &Arc<BTreeSet<Permission>>,
    secrets: &Arc<Secrets>,
) -> FuturesOrdered<BoxFuture<'static, (Arc<dyn Check>, Finding)>> {
    let mut running: BTreeMap<&'static str, SharedFinding> = BTreeMap::new();
    let mut all = FuturesOrdered::new();
    for check in checks {
        let prerequisites: Vec<_> =
            check.after().iter().filter_map(|id| Some((*id, running.get(id)?.clone()))).collect();
        let finding = run_check(check.clone(), prerequisites, Arc::clone(needed), Arc::clone(secrets)).boxed().shared();
        running.insert(check.id(), finding.clone());
        all.push_back(finding.map(|finding| (check, finding)).boxed());
    }
    all
}

/// Runs a check after its prerequisites, with a timeout, and redacts secrets in the finding.
async fn run_check(
    check: Arc<dyn Check>,
    prerequisites: Vec<(&'static str, SharedFinding)>,
    needed: Arc<BTreeSet<Permission>>,
    secrets: Arc<Secrets>,
) -> Finding {
    for (id, finding) in prerequisites {
        let finding = finding.await;
        match finding.status {
            CheckStatus::Ok | CheckStatus::Warning => {}
            CheckStatus::Failed => return Finding::skipped(format!("requires {id}")),
            // The message names the check that failed, not this one.
            CheckStatus::Skipped => return Finding::skipped(finding.message),
        }
    }
    let cx = ActionContext::detached(check.id(), secrets);
    let outcome = tokio::time::timeout(CHECK_TIMEOUT, check.run(&cx, &needed)).await;
    let finding = outcome.unwrap_or_else(|_| {
        let found = format!("no response within {} s", CHECK_TIMEOUT.as_secs());
        Finding::failed(found, "run the same command with `--log debug` to see what it is waiting for")
    });
    redacted(&cx, finding)
}

/// Replaces secret values in message and hint by `***`. Responses of servers may repeat a request.
fn redacted(cx: &ActionContext, finding: Finding) -> Finding {
    let redact = |text: String| cx.redactor().redact(&text);
    Finding { message: redact(finding.message), hint: finding.hint.map(redact), ..finding }
}

/// Prints a finding, with its hint on a line of its own.
fn show(id: &str, finding: &Finding, width: usize) {
    let (tone, word) = match finding.status {
        CheckStatus::Ok => (Tone::Good, "ok"),
        CheckStatus::Warning => (Tone::Notable, "warning"),
        CheckStatus::Failed => (Tone::Bad, "failed"),
        CheckStatus::Skipped => (Tone::Quiet, "skipped"),
    };
    // Text is padded before it is coloured, because escape sequences have no width. Messages of a
    // server can have several lines.
    let continuation = format!("\n{:width$}  {:7}  ", "", "");
    let found = finding.message.replace('\n', &continuation);
    ui::out(&format!("{id:width$}  {}  {found}", ui::paint_out(tone, &format!("{word:7}"))));
    if let Some(hint) = &finding.hint {
        ui::out(&format!("{:width$}  {:7}  hint: {}", "", "", hint.replace('\n', &continuation)));
    }
}

/// Prints the counts, or all findings as JSON, and returns the exit code.
fn conclude(
    output: Output,
    unchecked: &[UncheckedWorkflow],
    reports: &[(Arc<dyn Check>, Finding)],
    hosts: &[HostFinding],
) -> Exit {
    if output == Output::Json {
        let workflows = unchecked.iter().map(UncheckedWorkflow::to_json);
        let checks = reports.iter().map(|(check, finding)| to_json(&**check, finding));
        ui::out_json_pretty(&workflows.chain(checks).chain(hosts.iter().map(HostFinding::to_json)).collect::<Vec<_>>());
    }
    let findings = || reports.iter().map(|(_, finding)| finding).chain(hosts.iter().map(|host| &host.finding));
    let count = |status| findings().filter(|finding| finding.status == status).count();
    let (failed, skipped, warnings) =
        (count(CheckStatus::Failed), count(CheckStatus::Skipped), count(CheckStatus::Warning));
    let not_checked = match unchecked.len() {
        0 => String::new(),
        workflows => format!("; {} could not be checked", format::plural(workflows, "workflow")),
    };
    ui::err(&format!(
        "{}: {failed} failed, {skipped} skipped, {}{not_checked}",
        format::plural(findings().count(), "check"),
        format::plural(warnings, "warning")
    ));
    let of_checks = if failed == 0 { Exit::Success } else { Exit::Failed };
    let exit = unchecked.iter().map(|workflow| workflow.failure.exit()).fold(of_checks, Exit::max);
    if exit != Exit::Success {
        ui::hint("follow the hints of the failed checks, then run the same command again");
    }
    exit
}

fn to_json(check: &dyn Check, finding: &Finding) -> Value {
    json!({
        "id": check.id(), "summary": check.summary(), "status": finding.status,
        "message": finding.message, "hint": finding.hint, "required": finding.required,
    })
}
