//! File of a plan that was reviewed: the compiled workflow with its inputs, and the forecast of
//! each step.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate::{
    id::PlanDigest,
    plan::{Plan, StoredPlanError},
};

use super::{Failure, text_file};

/// Version of the file. A newer one is refused.
const FORMAT: u32 = 1;

/// Content of the file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PlanFile {
    /// Version of the file.
    stargate_plan: u32,
    /// Digest of the plan.
    digest: PlanDigest,
    /// The compiled workflow with its inputs. Secrets are references.
    plan: Value,
    /// Forecast of each step, as in `plan -o json`.
    pub(crate) steps: Vec<Value>,
}

/// Plan of a file, checked against its digest.
pub(crate) struct ReviewedPlan {
    pub(crate) path: PathBuf,
    pub(crate) plan: Plan,
    /// Forecast of each step when the plan was made.
    pub(crate) steps: Vec<Value>,
}

impl PlanFile {
    pub(crate) fn new(plan: &Plan, steps: Vec<Value>) -> Self {
        let json = serde_json::to_value(plan).expect("a plan contains only what JSON can express");
        Self { stargate_plan: FORMAT, digest: plan.digest(), plan: json, steps }
    }

    /// Writes the file, readable by its owner only: inputs describe the deployment.
    ///
    /// # Errors
    ///
    /// A usage failure if the file cannot be written, or is not a regular one: the new file would
    /// replace a device. An existing file is kept then.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let failed = |error: &std::io::Error| {
            let message = format!("write the plan to {}: {error}", path.display());
            Failure::usage(message, "give `--out` the path of a file in a folder that exists and can be written")
        };
        let path = replaceable(path).map_err(|error| failed(&error))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let new = path.with_file_name(format!(".{name}.{}", std::process::id()));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            serde_json::to_writer(&mut file, self)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&new, &path)
        };
        write().map_err(|error| {
            // It may not exist.
            let _ = std::fs::remove_file(&new);
            failed(&error)
        })
    }
}

/// Returns the path that a new file may take: that of a regular file, behind symbolic links, or of
/// none.
fn replaceable(path: &Path) -> std::io::Result<PathBuf> {
    match std::fs::metadata(path) {
        Ok(existing) if existing.is_file() => std::fs::canonicalize(path),
        Ok(_) => Err(std::io::Error::other("it is not a regular file")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(error),
    }
}

impl ReviewedPlan {
    /// Reads a plan that `plan --out` has written.
    ///
    /// # Errors
    ///
    /// A usage failure if the file cannot be read, is not that of a plan, or was changed.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let refused = |reason: String| {
            let message = format!("the plan {} {reason}", path.display());
            Failure::usage(message, "make it again with `stargate plan --out FILE`")
        };
        let text = text_file::read(path).map_err(|reason| refused(format!("cannot be read: {reason}")))?;
        let file: PlanFile =
            serde_json::from_str(&text).map_err(|error| refused(format!("is no file of `plan --out`: {error}")))?;
        if file.stargate_plan != FORMAT {
            return Err(refused(format!("has format {}, this program reads {FORMAT}", file.stargate_plan)));
        }
        let plan = Plan::from_stored(&file.plan.to_string(), &file.digest).map_err(|error| match error {
            StoredPlanError::Unreadable(_) => refused(error.to_string()),
            StoredPlanError::Changed { .. } => refused("was changed after it was written".into()),
        })?;
        Ok(Self { path: path.to_owned(), plan, steps: file.steps })
    }

    /// Checks that a workflow with its inputs is the one of the plan.
    ///
    /// # Errors
    ///
    /// A usage failure if it is another workflow, or if the workflow or an input has changed.
    pub(crate) fn check_same(&self, plan: &Plan) -> Result<(), Failure> {
        if self.plan.digest() == plan.digest() {
            return Ok(());
        }
        let what = if self.plan.workflow != plan.workflow {
            format!("is of the workflow {}, not of {}", self.plan.workflow, plan.workflow)
        } else if self.plan.inputs == plan.inputs {
            format!("was made of another version of the workflow {}", plan.workflow)
        } else {
            let names = plan.inputs.iter().filter(|(name, value)| self.plan.inputs.get(*name) != Some(value));
            let names: Vec<_> = names.map(|(name, _)| name.as_str()).collect();
            format!("was made with other inputs: {}", names.join(", "))
        };
        let message = format!("the plan {} {what}", self.path.display());
        Err(Failure::usage(message, "make it again with `stargate plan --out FILE`, and look at it"))
    }
}
