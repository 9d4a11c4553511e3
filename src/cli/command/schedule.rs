//! Implementation of the command `schedule`.
//!
//! This process, cron, systemd or Kubernetes can start a job; each of them uses `--once`. A run of
//! a job is never resumed, since what it read is no longer current: an interrupted one is
//! cancelled, and a new one starts. A job whose run is still running or waits for approval is
//! skipped.

use serde_json::json;

use super::job_runner::JobRunner;
use crate::{
    cli::{
        Failure, Settings,
        args::{Output, ScheduleArgs, ScheduleFormat},
        exit::Exit,
        schedule::{JobCommand, ScheduledJob, output_files},
        session::Session,
        time_zone, ui,
        workflow_text::WorkflowText,
    },
    wiring,
};

/// Command `schedule`: runs workflows by their schedules, or prints a configuration for another
/// scheduler.
pub(crate) async fn schedule(settings: &Settings, args: &ScheduleArgs) -> Result<Exit, Failure> {
    let actions = wiring::build(settings)?;
    let jobs = jobs(settings, args, &actions.0)?;
    if let Some(format) = args.print {
        return print(settings, args, &jobs, format);
    }
    let registry = actions.0.clone();
    let session = Session::open(settings, actions, args.execution.parallel.max_parallel).await?;
    let session = session.limited(&args.execution);
    let runner = JobRunner::new(settings, args, registry, session, jobs)?;
    if args.once {
        runner.run_until_interrupted(runner.once()).await
    } else {
        runner.run_until_interrupted(runner.serve()).await
    }
}

/// Reads the named workflows, or those in ./workflows that have a schedule.
fn jobs(
    settings: &Settings,
    args: &ScheduleArgs,
    registry: &stargate_sdk::Registry,
) -> Result<Vec<ScheduledJob>, Failure> {
    let mut texts = Vec::new();
    for name in &args.workflows {
        texts.push(WorkflowText::find(name)?.with_includes(settings.includes));
    }
    if args.workflows.is_empty() {
        for file in WorkflowText::in_workflows_folder() {
            let text = WorkflowText::find(&file)?.with_includes(settings.includes);
            if text.validate(registry)?.workflow().schedule.is_some() {
                texts.push(text);
            }
        }
    }
    if texts.is_empty() {
        let message = "no workflow in ./workflows has a schedule";
        return Err(Failure::usage(
            message,
            "run `stargate schedule NAME`, such as `stargate schedule sync-pod-routes`",
        ));
    }
    let several = texts.len() > 1;
    let jobs: Vec<_> = texts
        .into_iter()
        .map(|text| ScheduledJob::prepare(settings, registry, text, &args.inputs, several))
        .collect::<Result<_, _>>()?;
    check_input_names(args, &jobs)?;
    Ok(jobs)
}

/// Reports an input that none of the workflows has.
fn check_input_names(args: &ScheduleArgs, jobs: &[ScheduledJob]) -> Result<(), Failure> {
    let known =
        |name: &str| jobs.iter().any(|job| job.checked.workflow().inputs.iter().any(|input| input.name.value == name));
    match args.inputs.single.iter().find(|(name, _)| !known(name)) {
        Some((name, _)) => Err(Failure::usage(
            format!("none of the workflows has an input {name:?}"),
            "remove the flag, or correct the name of the input",
        )),
        None => Ok(()),
    }
}

/// Prints the configuration that runs one job by its schedule.
fn print(
    settings: &Settings,
    args: &ScheduleArgs,
    jobs: &[ScheduledJob],
    format: ScheduleFormat,
) -> Result<Exit, Failure> {
    let [job] = jobs else {
        return Err(Failure::usage("--print accepts one workflow", "run `stargate schedule NAME --print crontab`"));
    };
    let program = std::env::current_exe().map_err(|error| Failure::internal(format!("find this program: {error}")))?;
    let zone = time_zone::system().iana_name().map(str::to_owned);
    let files = output_files(&JobCommand { job, program, settings, args, zone }, format)?;
    if settings.output == Output::Json {
        let files: Vec<_> = files.iter().map(|file| json!({ "name": file.name, "text": file.text })).collect();
        ui::out_json_pretty(&json!({ "workflow": job.name(), "files": files }));
        return Ok(Exit::Success);
    }
    for (at, file) in files.iter().enumerate() {
        if files.len() > 1 {
            ui::out(&format!("{}# {}", if at == 0 { "" } else { "\n" }, file.name));
        }
        ui::out(file.text.trim_end());
    }
    ui::hint(match format {
        ScheduleFormat::Crontab => "run `crontab -e` and add the line",
        ScheduleFormat::Systemd => {
            "store the two files under these paths, then run `systemctl daemon-reload` and `systemctl enable --now` with the name of the timer"
        }
        ScheduleFormat::Cronjob => "set the image, then pass the file to `kubectl apply -f -`",
    });
    Ok(Exit::Success)
}
