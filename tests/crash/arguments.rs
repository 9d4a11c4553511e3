//! What is asked for on the command line.

use crate::{case::GROUPS, shipped, shipped::Shipped};

/// Cases of a group that are run unless all are asked for.
const SAMPLE: usize = 8;

/// Which cases to run.
pub(crate) struct Arguments {
    pub(crate) workflows: Vec<Shipped>,
    groups: Vec<&'static str>,
    /// How many of each group but `commits` are run; none for all.
    sample: Option<usize>,
    /// What decides which, and what goes wrong by chance.
    pub(crate) seed: u64,
}

impl Arguments {
    /// Names of workflows and groups; without one of either kind, all. `--all` runs every case, `--seed N` other ones.
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

    /// Whether cases of this group are asked for.
    pub(crate) fn wants(&self, group: &str) -> bool {
        self.groups.is_empty() || self.groups.contains(&group)
    }

    /// How many of a group's cases are run.
    pub(crate) fn share(&self, group: &str, of: usize) -> usize {
        // Each commit is looked at: what is lost between two of them is what resuming is for.
        if group == "commits" { of } else { self.sample.unwrap_or(of).min(of) }
    }
}
