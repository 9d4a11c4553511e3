use std::time::Duration;

use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_client::{Backoff, CallEffect};
use stargate_sdk::{ActionContext, ActionError, FailureKind};

use crate::client::{
    ArmClient, Checkpoint, Precondition, ResourceId, ResourceType,
    arm_object::{is_terminal, provisioning_state},
    failure::{operation_error, retry_after},
    request::{ArmRequest, ArmResponse},
};

/// Delays before an unreadable status is read again.
const STATUS_RETRY: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(1));
/// Number of times that an unreadable status is read again, before the attempt fails.
const MAX_STATUS_RETRIES: usize = 3;

/// Long-running operation as it is stored in a [`Checkpoint`].
///
/// When it has finished, the caller reads `resource`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ArmOperation {
    #[serde(rename = "kind")]
    protocol: PollProtocol,
    /// URL to poll, byte by byte as ARM returned it: it is signed. Empty for
    /// [`PollProtocol::Resource`].
    pub(crate) url: String,
    pub(crate) resource: ResourceId,
}

/// Source of an operation's status:
/// <https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PollProtocol {
    /// URL in `Azure-AsyncOperation`; the body has the status.
    Status,
    /// URL in `Location`; the HTTP status is the status.
    Location,
    /// The resource itself; its `provisioningState` is the status.
    Resource,
}

/// Result of one poll of an operation.
enum PollResult {
    Running {
        retry_after: Option<Duration>,
        /// URL of the next poll, if ARM returned another one.
        next_url: Option<String>,
    },
    Done,
    Failed(ActionError),
    /// ARM does not know the operation any more: the resource itself has its result.
    Forgotten,
}

impl ArmClient {
    /// Creates or replaces a resource and waits until ARM has finished.
    ///
    /// The request is sent once. If ARM starts an operation, it is in the checkpoint before the
    /// first poll, and [`Self::resume`] continues it after a crash.
    ///
    /// # Errors
    /// With the resource's label. `Unknown`, if the write may have taken effect: there was no
    /// response, or the operation could not be stored.
    pub(crate) async fn put(
        &self,
        cx: &ActionContext,
        id: &ResourceId,
        body: Value,
        precondition: Option<Precondition>,
    ) -> Result<(), ActionError> {
        self.write(cx, id, ArmRequest::put(self.url_of(id)?, body, precondition)).await
    }

    /// Deletes a resource and waits until ARM has finished. Succeeds if the resource does not
    /// exist.
    ///
    /// # Errors
    /// Those of [`Self::put`].
    pub(crate) async fn delete(
        &self,
        cx: &ActionContext,
        id: &ResourceId,
        precondition: Option<Precondition>,
    ) -> Result<(), ActionError> {
        self.write(cx, id, ArmRequest::delete(self.url_of(id)?, precondition)).await
    }

    /// Sends a write and follows its operation, if ARM starts one.
    async fn write(&self, cx: &ActionContext, id: &ResourceId, request: ArmRequest) -> Result<(), ActionError> {
        let response = self.send(cx, &request).await.map_err(|e| e.context(id.label()))?;
        if request.is_deletion() && response.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        if !response.status.is_success() {
            return Err(response.into_error(request.effect()).context(id.label()));
        }
        let Some(operation) = started_operation(id, &response) else {
            return check_state(&response.json).map_err(|e| e.context(id.label()));
        };
        let mut checkpoint = Checkpoint::load(cx);
        checkpoint.operation = Some(operation);
        checkpoint.save(cx).await.map_err(|e| not_stored_error(id, &e))?;
        self.follow(cx, checkpoint, retry_after(&response.headers)).await
    }

    /// Continues the operation in a stored checkpoint, if there is one.
    ///
    /// `types` are those of the resources that the action writes.
    ///
    /// # Errors
    /// If the operation failed, or cannot be polled until the deadline.
    pub(crate) async fn resume(
        &self,
        cx: &ActionContext,
        stored: Value,
        types: &[ResourceType],
    ) -> Result<(), ActionError> {
        let mut checkpoint = Checkpoint::read(stored);
        if let Some(operation) = &mut checkpoint.operation {
            let resource = operation.resource.clone();
            operation.resource = types.iter().fold(resource, |id, resource_type| id.with_type(*resource_type));
        }
        self.follow(cx, checkpoint, Some(Duration::ZERO)).await
    }

    /// Polls the operation in the checkpoint until it has finished; the first time after
    /// `first_delay`.
    async fn follow(
        &self,
        cx: &ActionContext,
        mut checkpoint: Checkpoint,
        first_delay: Option<Duration>,
    ) -> Result<(), ActionError> {
        let (mut delays, mut delay) = (Backoff::default().delays(), first_delay);
        while let Some(operation) = checkpoint.operation.as_mut() {
            let label = operation.resource.label();
            cx.sleep(delay.unwrap_or_else(|| delays.next_delay())).await.map_err(|e| e.context(&label))?;
            delay = None;
            match self.poll(cx, operation).await.map_err(|e| e.context(&label))? {
                PollResult::Done => return Ok(()),
                PollResult::Forgotten => operation.protocol = PollProtocol::Resource,
                PollResult::Failed(error) => return Err(forget_operation(cx, checkpoint, error.context(label)).await),
                PollResult::Running { retry_after, next_url } => {
                    cx.progress(format!("{label}: waiting for Azure"));
                    delay = retry_after;
                    if let Some(url) = next_url.filter(|url| *url != operation.url) {
                        operation.url = url;
                        checkpoint.save(cx).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads the status of an operation once.
    async fn poll(&self, cx: &ActionContext, operation: &ArmOperation) -> Result<PollResult, ActionError> {
        let url = match operation.protocol {
            PollProtocol::Resource => self.url_of(&operation.resource)?,
            PollProtocol::Status | PollProtocol::Location => self.trusted_url(&operation.url)?,
        };
        let response = self.read_status(cx, &ArmRequest::get(url)).await?;
        if response.status == StatusCode::TOO_MANY_REQUESTS {
            return Ok(running(&response));
        }
        match operation.protocol {
            PollProtocol::Status => by_status(response),
            PollProtocol::Location => by_location(response),
            PollProtocol::Resource => by_resource(response),
        }
    }

    /// Reads a status, and again after a short delay if it is unreadable: that says nothing about
    /// the operation.
    async fn read_status(&self, cx: &ActionContext, request: &ArmRequest) -> Result<ArmResponse, ActionError> {
        let mut delays = STATUS_RETRY.delays().take(MAX_STATUS_RETRIES);
        loop {
            let error = match self.send(cx, request).await {
                Ok(response) if is_readable(response.status) => return Ok(response),
                Ok(response) => response.into_error(CallEffect::ReadOnly),
                Err(error) => error,
            };
            match delays.next() {
                Some(delay) if error.kind == FailureKind::Transient => cx.sleep(delay).await.map_err(|_| error)?,
                _ => return Err(error),
            }
        }
    }
}

/// True if a response with this status is the answer of the API, which reports the operation.
fn is_readable(status: StatusCode) -> bool {
    !status.is_server_error() && status != StatusCode::REQUEST_TIMEOUT
}

/// Returns the operation that an accepted write started; `None` if the write has finished already.
fn started_operation(id: &ResourceId, response: &ArmResponse) -> Option<ArmOperation> {
    let (protocol, url) = match (response.header("azure-asyncoperation"), response.header("location")) {
        (Some(url), _) => (PollProtocol::Status, url.to_owned()),
        (None, Some(url)) => (PollProtocol::Location, url.to_owned()),
        (None, None) if is_finished(response) => return None,
        (None, None) => (PollProtocol::Resource, String::new()),
    };
    Some(ArmOperation { protocol, url, resource: id.clone() })
}

/// True if a response without operation headers is the result.
///
/// A `provisioningState` decides; without one, 200 and 204 are final, and 201 and 202 are not.
fn is_finished(response: &ArmResponse) -> bool {
    match provisioning_state(&response.json) {
        Some(state) => is_terminal(state),
        None => matches!(response.status, StatusCode::OK | StatusCode::NO_CONTENT),
    }
}

/// Checks that the `provisioningState` of a finished write is `Succeeded`, if there is one.
fn check_state(body: &Value) -> Result<(), ActionError> {
    match provisioning_state(body) {
        Some(state) if !state.eq_ignore_ascii_case("Succeeded") => Err(operation_error(state, &Value::Null)),
        _ => Ok(()),
    }
}

/// Result of a poll of an operation in progress. ARM may return another URL with 202.
fn running(response: &ArmResponse) -> PollResult {
    let is_accepted = response.status == StatusCode::ACCEPTED;
    let next_url = response.header("location").filter(|_| is_accepted).map(str::to_owned);
    PollResult::Running { retry_after: retry_after(&response.headers), next_url }
}

/// True if ARM does not know the operation any more.
fn is_forgotten(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

/// Reads the `status` in the body. A body without one is treated like a forgotten operation.
fn by_status(response: ArmResponse) -> Result<PollResult, ActionError> {
    if is_forgotten(response.status) {
        return Ok(PollResult::Forgotten);
    }
    if !response.status.is_success() {
        return Err(unreadable_status(response));
    }
    Ok(match response.json["status"].as_str().map(str::to_ascii_lowercase).as_deref() {
        Some("succeeded") => PollResult::Done,
        Some("failed") => PollResult::Failed(operation_error("Failed", &response.json["error"])),
        Some("canceled" | "cancelled") => PollResult::Failed(operation_error("Canceled", &response.json["error"])),
        Some(_) => PollResult::Running { retry_after: retry_after(&response.headers), next_url: None },
        None => PollResult::Forgotten,
    })
}

/// Reads the HTTP status: 202 while the operation is in progress.
fn by_location(response: ArmResponse) -> Result<PollResult, ActionError> {
    match response.status {
        StatusCode::ACCEPTED => Ok(running(&response)),
        status if status.is_success() => Ok(PollResult::Done),
        status if is_forgotten(status) => Ok(PollResult::Forgotten),
        // The poll returns the response that the write itself would have had.
        StatusCode::BAD_REQUEST | StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => {
            Ok(PollResult::Failed(response.into_error(CallEffect::ReadOnly)))
        }
        _ => Err(unreadable_status(response)),
    }
}

/// Reads the `provisioningState` of the resource. One that is gone was deleted.
fn by_resource(response: ArmResponse) -> Result<PollResult, ActionError> {
    if is_forgotten(response.status) {
        return Ok(PollResult::Done); // the caller reads the resource and decides
    }
    if !response.status.is_success() {
        return Err(unreadable_status(response));
    }
    Ok(match provisioning_state(&response.json) {
        Some(state) if !is_terminal(state) => {
            PollResult::Running { retry_after: retry_after(&response.headers), next_url: None }
        }
        _ => check_state(&response.json).map_or_else(PollResult::Failed, |()| PollResult::Done),
    })
}

/// Error of a status that cannot be read. Never `Permanent`: a later attempt polls the operation
/// again.
fn unreadable_status(response: ArmResponse) -> ActionError {
    let mut error = response.into_error(CallEffect::ReadOnly).context("the operation's status cannot be read");
    if error.kind == FailureKind::Permanent {
        error.kind = FailureKind::Transient;
    }
    error
}

/// Error of a write whose operation is not in the checkpoint: a later attempt would not continue
/// it.
fn not_stored_error(id: &ResourceId, error: &ActionError) -> ActionError {
    ActionError::unknown(format!("azure accepted the write, but its operation could not be stored: {error}"))
        .context(id.label())
}

/// Removes a failed operation from the checkpoint, so that the next attempt writes again; returns
/// `error`.
async fn forget_operation(cx: &ActionContext, mut checkpoint: Checkpoint, error: ActionError) -> ActionError {
    checkpoint.operation = None;
    if let Err(store_error) = checkpoint.save(cx).await {
        // The next attempt polls the same failure and removes the operation then.
        tracing::warn!(%store_error, "the end of an operation could not be stored");
    }
    error
}
