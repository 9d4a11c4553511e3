use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{ActionContext, ActionError, FailureKind};

use crate::{
    ArmClient, ResourceId,
    arm::{Call, Condition, Raw},
    checkpoint::Checkpoint,
    failure::{self, Effect},
    live::{is_terminal, provisioning_state},
};

/// A long-running operation, as it is journaled. The final GET is always that of `resource`, made by whoever waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Operation {
    kind: Kind,
    /// Exactly as ARM gave it: it is signed.
    pub(crate) url: String,
    resource: ResourceId,
}

/// Who tells how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// The URL in `Azure-AsyncOperation`, by the `status` in its body.
    Status,
    /// The URL in `Location`, by its HTTP status.
    Location,
    /// The resource itself, by its `provisioningState`.
    Resource,
}

/// What one look at an operation showed.
enum Poll {
    Running {
        told: Option<Duration>,
        moved_to: Option<String>,
    },
    Done,
    Failed(ActionError),
    /// The operation is no longer known: the resource is the truth.
    Forgotten,
}

/// Pauses between looks where ARM names none: they double up to five seconds. The SDKs' 30 seconds would make every
/// one-second network write cost half a minute.
#[derive(Debug)]
pub(crate) struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(Duration::from_millis(250))
    }
}

impl Pauses {
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(Duration::from_secs(5));
        pause
    }
}

impl ArmClient {
    /// Creates or replaces `id` and waits until ARM has done it.
    ///
    /// The operation is in the checkpoint before the first wait; [`Self::resume`] goes on with it. The request itself is
    /// sent once.
    pub(crate) async fn put(
        &self,
        cx: &ActionContext,
        id: &ResourceId,
        body: Value,
        condition: Option<Condition>,
    ) -> Result<(), ActionError> {
        self.write(cx, id, Call::put(self.url_of(id), body, condition)).await
    }

    /// Deletes `id` and waits until ARM has done it; nothing to do is as good. Recorded like [`Self::put`].
    pub(crate) async fn delete(
        &self,
        cx: &ActionContext,
        id: &ResourceId,
        condition: Option<Condition>,
    ) -> Result<(), ActionError> {
        self.write(cx, id, Call::delete(self.url_of(id), condition)).await
    }

    async fn write(&self, cx: &ActionContext, id: &ResourceId, call: Call) -> Result<(), ActionError> {
        let raw = self.send(cx, &call).await.map_err(|e| e.context(id.label()))?;
        if call.is_deletion() && raw.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        if !raw.status.is_success() {
            return Err(raw.into_error(call.effect()).context(id.label()));
        }
        let Some(operation) = begun(id, &raw) else { return ended(&raw.json).map_err(|e| e.context(id.label())) };
        let mut checkpoint = Checkpoint::load(cx);
        checkpoint.operation = Some(operation);
        checkpoint.save(cx).await.map_err(|e| unsaved(id, &e))?;
        let told = failure::retry_after(&raw.headers);
        self.follow(cx, checkpoint, told).await
    }

    /// Goes on with the operation in a stored checkpoint, if there is one.
    pub(crate) async fn resume(&self, cx: &ActionContext, stored: Value) -> Result<(), ActionError> {
        self.follow(cx, Checkpoint::read(stored), Some(Duration::ZERO)).await
    }

    async fn follow(
        &self,
        cx: &ActionContext,
        mut checkpoint: Checkpoint,
        mut told: Option<Duration>,
    ) -> Result<(), ActionError> {
        let mut pauses = Pauses::default();
        while let Some(operation) = checkpoint.operation.as_mut() {
            let label = operation.resource.label();
            cx.sleep(told.take().unwrap_or_else(|| pauses.next())).await.map_err(|e| e.context(&label))?;
            match self.poll(cx, operation).await.map_err(|e| e.context(&label))? {
                Poll::Done => return Ok(()),
                Poll::Forgotten => operation.kind = Kind::Resource,
                Poll::Failed(error) => return Err(give_up(cx, checkpoint, error.context(label)).await),
                Poll::Running { told: pause, moved_to } => {
                    cx.progress(format!("{label}: azure is at it"));
                    told = pause;
                    if let Some(url) = moved_to.filter(|url| *url != operation.url) {
                        operation.url = url;
                        checkpoint.save(cx).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn poll(&self, cx: &ActionContext, operation: &Operation) -> Result<Poll, ActionError> {
        let url = match operation.kind {
            Kind::Resource => self.url_of(&operation.resource),
            Kind::Status | Kind::Location => self.own(&operation.url)?,
        };
        let raw = self.look(cx, &Call::get(url)).await?;
        if raw.status == StatusCode::TOO_MANY_REQUESTS {
            return Ok(running(&raw));
        }
        match operation.kind {
            Kind::Status => by_status(raw),
            Kind::Location => by_location(raw),
            Kind::Resource => by_resource(raw),
        }
    }

    /// Reads once more, quickly, what could not be read: that says nothing about the operation.
    async fn look(&self, cx: &ActionContext, call: &Call) -> Result<Raw, ActionError> {
        let quick =
            ExponentialBuilder::default().with_min_delay(Duration::from_millis(100)).with_max_times(3).with_jitter();
        let once = || async {
            let raw = self.send(cx, call).await?;
            let readable = !raw.status.is_server_error() && raw.status != StatusCode::REQUEST_TIMEOUT;
            if readable { Ok(raw) } else { Err(raw.into_error(Effect::None)) }
        };
        once.retry(quick)
            .when(|e: &ActionError| e.kind == FailureKind::Transient && !cx.cancellation().is_cancelled())
            .await
    }
}

/// The operation that an accepted PUT has begun; `None` if it was done at once.
fn begun(id: &ResourceId, raw: &Raw) -> Option<Operation> {
    let (kind, url) = match (raw.header("azure-asyncoperation"), raw.header("location")) {
        (Some(url), _) => (Kind::Status, url.to_owned()),
        (None, Some(url)) => (Kind::Location, url.to_owned()),
        (None, None) if is_done(raw) => return None,
        (None, None) => (Kind::Resource, String::new()),
    };
    Some(Operation { kind, url, resource: id.clone() })
}

/// Without any header: 201 and 202 go on until the resource says otherwise, 200 and 204 are done unless it does.
fn is_done(raw: &Raw) -> bool {
    match provisioning_state(&raw.json) {
        Some(state) => is_terminal(state),
        None => matches!(raw.status, StatusCode::OK | StatusCode::NO_CONTENT),
    }
}

fn ended(body: &Value) -> Result<(), ActionError> {
    match provisioning_state(body) {
        Some(state) if !state.eq_ignore_ascii_case("Succeeded") => Err(failure::of_operation(state, &Value::Null)),
        _ => Ok(()),
    }
}

fn running(raw: &Raw) -> Poll {
    let moved_to = if raw.status == StatusCode::ACCEPTED { raw.header("location") } else { None };
    Poll::Running { told: failure::retry_after(&raw.headers), moved_to: moved_to.map(str::to_owned) }
}

fn is_forgotten(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

fn by_status(raw: Raw) -> Result<Poll, ActionError> {
    if is_forgotten(raw.status) {
        return Ok(Poll::Forgotten);
    }
    if !raw.status.is_success() {
        return Err(unread(raw));
    }
    Ok(match raw.json["status"].as_str().map(str::to_ascii_lowercase).as_deref() {
        Some("succeeded") => Poll::Done,
        Some(end @ ("failed" | "canceled" | "cancelled")) => {
            let end = if end == "failed" { "Failed" } else { "Canceled" };
            Poll::Failed(failure::of_operation(end, &raw.json["error"]))
        }
        Some(_) => Poll::Running { told: failure::retry_after(&raw.headers), moved_to: None },
        None => Poll::Forgotten, // it does not say: the resource does
    })
}

fn by_location(raw: Raw) -> Result<Poll, ActionError> {
    match raw.status {
        StatusCode::ACCEPTED => Ok(running(&raw)),
        status if status.is_success() => Ok(Poll::Done),
        status if is_forgotten(status) => Ok(Poll::Forgotten),
        // This is what the call itself would have answered.
        StatusCode::BAD_REQUEST | StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => {
            Ok(Poll::Failed(raw.into_error(Effect::None)))
        }
        _ => Err(unread(raw)),
    }
}

fn by_resource(raw: Raw) -> Result<Poll, ActionError> {
    if is_forgotten(raw.status) {
        return Ok(Poll::Done); // the caller reads it back, and decides
    }
    if !raw.status.is_success() {
        return Err(unread(raw));
    }
    Ok(match provisioning_state(&raw.json) {
        Some(state) if !is_terminal(state) => {
            Poll::Running { told: failure::retry_after(&raw.headers), moved_to: None }
        }
        _ => ended(&raw.json).map_or_else(Poll::Failed, |()| Poll::Done),
    })
}

/// A status that could not be read says nothing about the operation: a later attempt looks again.
fn unread(raw: Raw) -> ActionError {
    let mut error = raw.into_error(Effect::None).context("the operation's status cannot be read");
    if error.kind == FailureKind::Permanent {
        error.kind = FailureKind::Transient;
    }
    error
}

fn unsaved(id: &ResourceId, error: &ActionError) -> ActionError {
    ActionError::unknown(format!("azure accepted the write, but it could not be recorded: {error}")).context(id.label())
}

async fn give_up(cx: &ActionContext, mut checkpoint: Checkpoint, error: ActionError) -> ActionError {
    checkpoint.operation = None;
    if let Err(unsaved) = checkpoint.save(cx).await {
        // The next attempt will see the same end of the operation and try again to forget it.
        tracing::warn!(%unsaved, "the end of an operation could not be recorded");
    }
    error
}
