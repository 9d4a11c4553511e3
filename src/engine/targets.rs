use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use stargate_sdk::{ActionContext, ActionError, FailureKind, Registry, Secrets, Target, TargetId};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::EngineError;
use crate::{id::RunId, plan::Plan};

/// Maximum time to identify a target before a run starts: a cluster that is created by the run
/// itself does not answer yet.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of requests to identify a target that fails for a transient reason.
const MAX_TRIES: u32 = 3;
/// Delay between them.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Identities of the targets. Each is read once per engine: the settings of a process do not
/// change.
pub(super) struct TargetIdentities {
    pub(super) registry: Registry,
    pub(super) secrets: Arc<Secrets>,
    identities: Mutex<BTreeMap<&'static str, Arc<OnceCell<TargetId>>>>,
    /// Cancelled when the engine is drained.
    draining: CancellationToken,
}

impl TargetIdentities {
    pub(super) fn new(registry: Registry, secrets: Arc<Secrets>, draining: CancellationToken) -> Self {
        Self { registry, secrets, identities: Mutex::default(), draining }
    }

    /// Returns the targets of the plan's actions and locks.
    pub(super) fn of_plan(&self, plan: &Plan) -> Vec<Arc<dyn Target>> {
        let of_steps = plan.steps.iter().filter_map(|step| self.registry.target_of(&step.action));
        let services = plan.locks.iter().filter_map(|lock| self.registry.lock_service(lock));
        let of_locks = services.filter_map(|service| self.registry.target(service.target()));
        let by_name: BTreeMap<_, _> =
            of_steps.chain(of_locks).map(|target| (target.name(), Arc::clone(target))).collect();
        by_name.into_values().collect()
    }

    /// Identifies a target within [`IDENTIFY_TIMEOUT`], and until the engine is drained.
    ///
    /// # Errors
    /// The target cannot be identified now.
    pub(super) async fn identify_soon(&self, target: &dyn Target) -> Result<TargetId, ActionError> {
        let cx = ActionContext::detached(target.name(), Arc::clone(&self.secrets));
        let tries = async {
            for _ in 1..MAX_TRIES {
                match self.identify(&cx, target).await {
                    Err(error) if error.kind != FailureKind::Permanent => tokio::time::sleep(RETRY_DELAY).await,
                    other => return other,
                }
            }
            self.identify(&cx, target).await
        };
        let timeout = || ActionError::transient(format!("no answer within {} s", IDENTIFY_TIMEOUT.as_secs()));
        tokio::select! {
            identified = tokio::time::timeout(IDENTIFY_TIMEOUT, tries) => identified.unwrap_or_else(|_| Err(timeout())),
            () = self.draining.cancelled() => Err(ActionError::transient("interrupted")),
        }
    }

    /// Identifies a target in the context of an attempt.
    ///
    /// # Errors
    /// The target cannot be identified now.
    pub(super) async fn identify(&self, cx: &ActionContext, target: &dyn Target) -> Result<TargetId, ActionError> {
        let cell = {
            let mut identities = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(identities.entry(target.name()).or_default())
        };
        let identified = cell.get_or_try_init(|| async { target.identify(cx).await }).await;
        identified.cloned().map_err(|mut error| {
            error.message = cx.redactor().redact(&error.message);
            error
        })
    }
}

/// A run was to continue on another external system than it works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetMismatch {
    /// Run that was to continue.
    pub run: RunId,
    /// Identity that the run has recorded.
    pub recorded: TargetId,
    /// Identity that the settings lead to.
    pub found: TargetId,
    /// Setting that chooses the system, such as `--kubeconfig FILE`.
    pub setting: &'static str,
}

impl TargetMismatch {
    /// Compares the identity that the settings lead to with the recorded one, if there is one.
    pub(super) fn check(
        run: &RunId,
        target: &dyn Target,
        recorded: Option<&TargetId>,
        found: &TargetId,
    ) -> Result<(), Box<Self>> {
        match recorded {
            Some(recorded) if !recorded.is_same(found) => Err(Box::new(Self {
                run: run.clone(),
                recorded: recorded.clone(),
                found: found.clone(),
                setting: target.setting(),
            })),
            _ => Ok(()),
        }
    }

    /// Returns what an operator can do.
    pub fn hint(&self) -> String {
        hint(self.setting)
    }
}

/// The settings cannot lead to the external system that a run works on.
#[derive(Debug, Clone, PartialEq)]
pub struct UnverifiedTarget {
    /// Run that was to continue.
    pub run: RunId,
    /// Identity that the run has recorded.
    pub recorded: TargetId,
    /// Setting that chooses the system.
    pub setting: &'static str,
    /// Error that identification resulted in.
    pub error: ActionError,
}

impl UnverifiedTarget {
    /// Returns what an operator can do.
    pub fn hint(&self) -> String {
        hint(self.setting)
    }
}

impl std::fmt::Display for UnverifiedTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { run, recorded, error, .. } = self;
        write!(f, "run {run} works on {}, which the settings do not lead to: {error}", recorded.description)
    }
}

fn hint(setting: &str) -> String {
    format!(
        "use the {setting} with which the run was started, or run `stargate run workflow NAME` to start another run"
    )
}

impl std::fmt::Display for TargetMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "run {} works on {}, and the settings name {}",
            self.run, self.recorded.description, self.found.description
        )
    }
}

impl From<Box<TargetMismatch>> for EngineError {
    fn from(mismatch: Box<TargetMismatch>) -> Self {
        Self::OtherTarget(mismatch)
    }
}
