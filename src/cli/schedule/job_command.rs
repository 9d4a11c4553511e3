use std::{collections::BTreeSet, path::PathBuf};

use serde_json::Value;
use stargate_sdk::SecretRef;

use super::ScheduledJob;
use crate::cli::{Settings, args::ScheduleArgs, inputs, settings::full};

/// How a job is run once, from anywhere.
pub(crate) struct JobCommand<'a> {
    /// What is run.
    pub(crate) job: &'a ScheduledJob,
    /// The program.
    pub(crate) program: PathBuf,
    /// The settings of this process.
    pub(crate) settings: &'a Settings,
    /// The command line of this process.
    pub(crate) args: &'a ScheduleArgs,
    /// By which clocks the schedule goes, if they have a name.
    pub(crate) zone: Option<String>,
}

impl JobCommand<'_> {
    /// The words after the program's name: `workflow` is found there, the journal is kept there.
    pub(super) fn words(&self, workflow: &str, journal: &str) -> Vec<String> {
        let mut words = vec!["schedule".into(), workflow.into(), "--once".into(), format!("--journal={journal}")];
        words.extend(self.settings.flags());
        words.push(format!("--max-parallel={}", self.args.parallel.max_parallel));
        words.extend(self.args.locks.wait_for_locks.map(|wait| format!("--wait-for-locks={}ms", wait.as_millis())));
        words.extend(self.args.keep.map(|keep| format!("--keep={}ms", keep.as_millis())));
        words.extend(self.args.limit.timeout.map(|limit| format!("--timeout={}ms", limit.as_millis())));
        words
    }

    /// The inputs as they were given: single ones, and the file that holds the others.
    pub(super) fn inputs_as_given(&self) -> Vec<String> {
        let file = self.args.inputs.file.iter().map(|file| format!("--inputs={}", full(file)));
        let single = self.args.inputs.single.iter().map(|(name, text)| format!("--input={name}={text}"));
        file.chain(single).collect()
    }

    /// The inputs one by one, for where no file of ours is at hand.
    pub(super) fn inputs_as_flags(&self) -> Vec<String> {
        let known = &self.job.checked.workflow().inputs;
        let given = self.job.inputs.iter().filter_map(|(name, value)| {
            let input = known.iter().find(|input| input.name.value == *name)?;
            Some(format!("--input={name}={}", inputs::to_argument(input, value)))
        });
        given.collect()
    }

    /// Variables that hold secrets the job refers to.
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

    /// Whether any step's action begins with one of `prefixes`.
    pub(super) fn uses(&self, prefixes: &[&str]) -> bool {
        let mut actions = self.job.plan.steps.iter().map(|step| step.action.as_str());
        actions.any(|action| prefixes.iter().any(|prefix| action.starts_with(prefix)))
    }

    /// Name of what is made: fit for a unit, a file and an object of Kubernetes.
    pub(super) fn name(&self) -> String {
        // A CronJob's name has at most 52 characters: eleven are added to it for each of its jobs.
        const MAX_NAME_CHARS: usize = 52;
        let name = format!("stargate-{}", self.job.name().replace('_', "-"));
        name[..name.len().min(MAX_NAME_CHARS)].trim_end_matches('-').to_owned()
    }
}

/// The variables that texts in `value` refer to.
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
