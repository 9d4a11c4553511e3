//! Scheduled workflows: preparation of jobs, and configurations for cron, systemd and Kubernetes.

mod cronjob;
mod crontab;
mod job;
mod job_command;
mod systemd;

pub(crate) use job::ScheduledJob;
pub(crate) use job_command::JobCommand;

use super::{Failure, args::ScheduleFormat};

/// Configuration file for another scheduler.
#[derive(Debug)]
pub(crate) struct OutputFile {
    /// Path or name under which the file must be stored.
    pub(crate) name: String,
    /// Content of the file.
    pub(crate) text: String,
}

/// Returns the files that make another scheduler run the job.
pub(crate) fn output_files(command: &JobCommand<'_>, format: ScheduleFormat) -> Result<Vec<OutputFile>, Failure> {
    match format {
        ScheduleFormat::Crontab => crontab::output_file(command).map(|file| vec![file]),
        ScheduleFormat::Systemd => systemd::output_files(command),
        ScheduleFormat::Cronjob => cronjob::output_file(command).map(|file| vec![file]),
    }
}
