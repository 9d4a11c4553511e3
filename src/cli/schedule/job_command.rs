//! Command line by which another scheduler runs a job. It contains secret references, never
//! secrets.

use std::{collections::BTreeSet, path::PathBuf};

use serde_json::Value;
use stargate_sdk::SecretRef;

use super::ScheduledJob;
use crate::cli::{Settings, args::ScheduleArgs, inputs, settings::full};

/// Command that runs a job once, in any working directory.
pub(crate) struct JobCommand<'a> {
    /// Job that the command runs.
    pub(crate) job: &'a ScheduledJob,
    /// Path of the program.
    pub(crate) program: PathBuf,
    /// Settings that the command must have as well.
    pub(crate) settings: &'a Settings,
    /// Arguments of `schedule` that the command inherits.
    pub(crate) args: &'a ScheduleArgs,
    /// IANA name of the time zone of the schedule, if it has one.
    pub(crate) zone: Option<String>,
}

impl JobCommand<'_> {
    /// Returns the arguments, with the name of the workflow and the path of the journal that are
    /// valid where the command runs.
    pub(super) fn arguments(&self, workflow: &str, journal: &str) -> Vec<String> {
        let mut words = vec!["schedule".into(), workflow.into(), "--once".into(), format!("--journal={journal}")];
        words.extend(self.settings.flags());
        words.push(format!("--max-parallel={}", self.args.execution.parallel.max_parallel));
        words.extend(
            self.args.execution.locks.wait_for_locks.map(|wait| format!("--wait-for-locks={}ms", wait.as_millis())),
        );
        words.extend(self.args.jitter.map(|jitter| format!("--jitter={}ms", jitter.as_millis())));
        words.extend(self.args.keep.map(|keep| format!("--keep={}ms", keep.as_millis())));
        words.extend(self.args.execution.limit.timeout.map(|limit| format!("--timeout={}ms", limit.as_millis())));
        words
    }

    /// Returns the flags for the inputs as they were given, with the absolute path of the inputs
    /// file.
    pub(super) fn inputs_as_given(&self) -> Vec<String> {
        let file = self.args.inputs.file.iter().map(|file| format!("--inputs={}", full(file)));
        let single = self.args.inputs.single.iter().map(|(name, text)| format!("--input={name}={text}"));
        file.chain(single).collect()
    }

    /// Returns one flag per input, for a place that has no inputs file.
    pub(super) fn inputs_as_flags(&self) -> Vec<String> {
        let known = &self.job.checked.workflow().inputs;
        let given = self.job.inputs.iter().filter_map(|(name, value)| {
            let input = known.iter().find(|input| input.name.value == *name)?;
            Some(format!("--input={name}={}", inputs::to_argument(input, value)))
        });
        given.collect()
    }

    /// Returns the names of environment variables that hold secrets of the job, sorted.
    pub(super) fn variables(&self) -> Vec<String> {
        let mut found = BTreeSet::new();
        collect(&serde_json::to_value(&self.job.plan).unwrap_or_default(), &mut found);
        let settings = self.settings;
        let uses_tailnet = self.job.plan.steps.iter().any(|step| step.action.starts_with("tailscale."));
        let client = [&settings.tailscale_client_id, &settings.tailscale_client_secret];
        let client = client.into_iter().filter(|_| uses_tailnet);
        for reference in settings.azure.token.iter().chain(client) {
            collect(&Value::String(reference.to_string()), &mut found);
        }
        found.into_iter().collect()
    }

    /// True if the name of an action begins with one of `prefixes`.
    pub(super) fn uses(&self, prefixes: &[&str]) -> bool {
        let mut actions = self.job.plan.steps.iter().map(|step| step.action.as_str());
        actions.any(|action| prefixes.iter().any(|prefix| action.starts_with(prefix)))
    }

    /// Returns a name that is valid for a systemd unit, a file and a Kubernetes object.
    pub(super) fn name(&self) -> String {
        // Kubernetes limits the name of a CronJob to 52 characters: it adds eleven for each job.
        const MAX_NAME_CHARS: usize = 52;
        let name = format!("stargate-{}", self.job.name().replace('_', "-"));
        name[..name.len().min(MAX_NAME_CHARS)].trim_end_matches('-').to_owned()
    }
}

/// Adds the names of the environment variables that secret references in `value` name.
fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let Ok(reference) = text.parse::<SecretRef>() else { return };
            let name = reference.rest();
            let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if reference.scheme() == "env" && is_name {
                found.insert(name.to_owned());
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(map) => map.values().for_each(|item| collect(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
