//! Arguments of the command line.

use crate::{case::GROUPS, shipped, shipped::Shipped};

/// Number of cases per group that are run without `--all`.
const SAMPLE: usize = 8;

/// Selection of the cases to run.
pub(crate) struct Arguments {
    pub(crate) workflows: Vec<Shipped>,
    groups: Vec<&'static str>,
    /// Number of cases of each group except `commits` and `drifts`; `None` for all.
    sample: Option<usize>,
    /// Seed of the selection and of the faults at random.
    pub(crate) seed: u64,
}

impl Arguments {
    /// Parses names of workflows and groups, `--all` and `--seed N`.
    ///
    /// Without a name of a workflow every workflow is selected, and without a group every group.
    /// Other options are ignored, because `cargo test` passes them to all test programs.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut parsed = Self { workflows: vec![], groups: vec![], sample: Some(SAMPLE), seed: 1 };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--all" => parsed.sample = None,
                "--seed" => {
                    let seed = arguments.next().and_then(|seed| seed.parse().ok());
                    parsed.seed = seed.ok_or("--seed needs a number")?;
                }
                other if other.starts_with('-') => {} // for libtest, as in `cargo test -- --nocapture`
                name => parsed.name(name)?,
            }
        }
        if parsed.workflows.is_empty() {
            parsed.workflows = shipped::ALL.to_vec();
        }
        Ok(parsed)
    }

    /// Adds a workflow or a group by its name.
    fn name(&mut self, name: &str) -> Result<(), String> {
        if let Some(workflow) = Shipped::named(name) {
            self.workflows.push(workflow);
            return Ok(());
        }
        let group = GROUPS.into_iter().find(|group| *group == name);
        let known = || format!("{name} is neither a workflow that ships nor one of {}", GROUPS.join(", "));
        self.groups.push(group.ok_or_else(known)?);
        Ok(())
    }

    /// Returns true if the cases of this group are selected.
    ///
    /// The group `stops` runs only when it is named or with `--all`: its leases of 1.5 s need a
    /// machine that is not busy.
    pub(crate) fn wants(&self, group: &str) -> bool {
        let is_default = group != "stops" || self.sample.is_none();
        self.groups.is_empty() && is_default || self.groups.contains(&group)
    }

    /// Returns the number of cases to run of a group with `of` cases.
    pub(crate) fn share(&self, workflow: Shipped, group: &str, of: usize) -> usize {
        // Each commit is tested: recovery has to handle the loss of everything after any of them.
        // Those of a workflow that is made of others are tested with the others.
        match (group, self.sample) {
            (_, None) => of,
            ("commits", Some(_)) => workflow.sample().map_or(of, |sample| sample.min(of)),
            ("drifts", Some(_)) => workflow.drifts().min(of),
            (_, Some(sample)) => workflow.sample().unwrap_or(sample).min(of),
        }
    }
}
