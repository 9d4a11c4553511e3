//! What runs a workflow by its schedule: this process, or cron, systemd and Kubernetes, for whom it is written down.

mod call;
mod cronjob;
mod crontab;
mod job;
mod systemd;

pub(crate) use job::Job;

use super::{Failure, args::ScheduleFormat};
use call::Call;

/// A file that is to be put somewhere.
#[derive(Debug)]
pub(crate) struct Written {
    /// Where it is put.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) text: String,
}

/// Writes down what runs `job` by its schedule.
pub(crate) fn written(call: &Call<'_>, format: ScheduleFormat) -> Result<Vec<Written>, Failure> {
    match format {
        ScheduleFormat::Crontab => crontab::written(call).map(|file| vec![file]),
        ScheduleFormat::Systemd => systemd::written(call),
        ScheduleFormat::Cronjob => Ok(vec![cronjob::written(call)]),
    }
}

pub(crate) use call::Call as ScheduledCall;
