//! What runs a workflow by its schedule: this process, or cron, systemd and Kubernetes, for whom it is written down.

mod cronjob;
mod crontab;
mod job;
mod job_command;
mod systemd;

pub(crate) use job::ScheduledJob;
pub(crate) use job_command::JobCommand;

use super::{Failure, args::ScheduleFormat};

/// A file that is to be put somewhere.
#[derive(Debug)]
pub(crate) struct OutputFile {
    /// Where it is put.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) text: String,
}

/// Writes down what runs `job` by its schedule.
pub(crate) fn output_files(command: &JobCommand<'_>, format: ScheduleFormat) -> Result<Vec<OutputFile>, Failure> {
    match format {
        ScheduleFormat::Crontab => crontab::output_file(command).map(|file| vec![file]),
        ScheduleFormat::Systemd => systemd::output_files(command),
        ScheduleFormat::Cronjob => Ok(vec![cronjob::output_file(command)]),
    }
}
