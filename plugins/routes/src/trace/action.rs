use stargate_sdk::{Action, ActionContext, ActionError, Nature, Preview, Recovery, RequiredPermissions};

use super::{PathTrace, TraceFacts, trace};

/// Action `routes.path.trace`: walks a request and its reply through the actual state of all
/// surfaces, and names the first one that drops them.
pub(crate) struct TraceAction;

impl RequiredPermissions for TraceAction {}

impl Action for TraceAction {
    type Input = TraceFacts;
    type Output = PathTrace;
    const NAME: &'static str = "routes.path.trace";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str =
        "Walks a request and its reply through the state of all surfaces, and names what drops them.";

    async fn run(&self, _: &ActionContext, input: &TraceFacts) -> Result<PathTrace, ActionError> {
        Ok(trace(input))
    }

    async fn preview(&self, _: &ActionContext, input: &TraceFacts) -> Result<Preview, ActionError> {
        Preview::unchanged(&trace(input))
    }
}
