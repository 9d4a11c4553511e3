use super::{
    EngineError, EngineOptions,
    claim::{Claim, LockRequest},
};
use crate::{
    clock::UnixMillis,
    id::{Epoch, RunId, Seq},
    journal::{Append, Commit, JournalError, Owner, RunRow, TakeOverRequest},
    run::{Entry, Outcome, Progress, RunState, RunStatus, Shared, TimedEntry},
};

/// Result of a request to cancel a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelResult {
    /// The run had no owner whose lease is in force, and is cancelled.
    Cancelled,
    /// This process owns the run; if it is not stopped, it cancels its running attempts and then
    /// finishes the run.
    Requested(Box<Owner>),
    /// The run had no owner whose lease is in force. It starts no further step but those under
    /// `finally`, and is cancelled when it is resumed and they have ended.
    FinallyLeft,
    /// The run had already succeeded or was already cancelled.
    AlreadyFinished(Outcome),
}

/// Requests that the run ends, and finishes it if it has no owner whose lease is in force.
///
/// A run that failed, is in doubt or waits for approval can be cancelled too: then it cannot be
/// resumed. So can a run that this program cannot read.
///
/// `by` is the actor, with the reason if there is one. With `skip_finally`, a run without such an
/// owner is cancelled at once although its steps under `finally` have not run.
pub(super) async fn cancel(
    options: &EngineOptions,
    owner: &Owner,
    run: RunId,
    by: &str,
    skip_finally: bool,
) -> Result<CancelResult, EngineError> {
    loop {
        let claim = match Claim::read(options, owner, run.clone()).await {
            Ok(claim) => claim,
            Err(error) if is_unreadable(&error) => return cancel_unread(options, owner, run, by).await,
            Err(error) => return Err(error),
        };
        match claim.state.progress() {
            Progress::Finished(outcome) if outcome.is_final() => return Ok(CancelResult::AlreadyFinished(outcome)),
            Progress::New | Progress::Running | Progress::Finished(_) => {}
        }
        let requested = Entry::CancelRequested { by: by.to_owned() };
        let (is_written, result) = match claim.leaseholder().cloned().map(Box::new) {
            Some(current) if claim.state.is_cancelling() => return Ok(CancelResult::Requested(current)),
            Some(current) => (claim.append(requested, RunStatus::Running).await?, CancelResult::Requested(current)),
            None if !skip_finally && has_finally_left(&claim.state) => {
                (request(claim, requested).await?, CancelResult::FinallyLeft)
            }
            None => (finish(claim, requested).await?, CancelResult::Cancelled),
        };
        if is_written {
            return Ok(result);
        }
        // Another process has changed the run: read it again.
    }
}

/// True if the run has steps under `finally` that have not started since its other steps did.
fn has_finally_left(state: &RunState) -> bool {
    state.outcome_before_finally().is_none() && state.needs_finally(Outcome::Cancelled)
}

/// Acquires the run, which fences an owner that may still be live, and stores the request for the
/// process that resumes the run.
async fn request(mut claim: Claim<'_>, requested: Entry) -> Result<bool, EngineError> {
    let requested = Some(requested).filter(|_| !claim.state.is_cancelling());
    let is_written = claim.take_over(requested, false, LockRequest::default()).await?;
    if is_written {
        claim.release().await?;
    }
    Ok(is_written)
}

/// Acquires the run, which fences an owner that may still be live, and finishes it.
async fn finish(mut claim: Claim<'_>, requested: Entry) -> Result<bool, EngineError> {
    let requested = Some(requested).filter(|_| !claim.state.is_cancelling());
    if !claim.take_over(requested, false, LockRequest::default()).await? {
        return Ok(false);
    }
    let outcome = Outcome::Cancelled;
    let finished = Entry::RunFinished { outcome, outputs: Shared::default() };
    let is_finished = claim.append(finished, RunStatus::Finished(outcome)).await?;
    claim.release().await?;
    Ok(is_finished)
}

/// True if the run was found, and this program cannot read or execute it.
fn is_unreadable(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::Journal(JournalError::Unreadable { .. })
            | EngineError::StoredPlan { .. }
            | EngineError::IllegalHistory { .. }
            | EngineError::Plan(_)
            | EngineError::Action { .. }
    )
}

/// Cancels a run by its row alone.
async fn cancel_unread(
    options: &EngineOptions,
    owner: &Owner,
    run: RunId,
    by: &str,
) -> Result<CancelResult, EngineError> {
    loop {
        let row = options.journal.row(run.clone()).await?;
        let at = options.clock.now();
        let requested = Entry::CancelRequested { by: by.to_owned() };
        let (is_written, result) = match (row.status, row.leaseholder(owner, at)) {
            (RunStatus::Finished(outcome), _) if outcome.is_final() => {
                return Ok(CancelResult::AlreadyFinished(outcome));
            }
            (RunStatus::Running, Some(current)) => {
                let result = CancelResult::Requested(Box::new(current.clone()));
                (append(options, &row, at, requested, RunStatus::Running).await?, result)
            }
            (RunStatus::Running | RunStatus::Finished(_), _) => {
                (finish_unread(options, owner, row, at, requested).await?, CancelResult::Cancelled)
            }
        };
        if is_written {
            return Ok(result);
        }
        // Another process has changed the run: read it again.
    }
}

/// Acquires the run, which fences an owner that may still be live, and finishes it.
async fn finish_unread(
    options: &EngineOptions,
    owner: &Owner,
    mut row: RunRow,
    at: UnixMillis,
    requested: Entry,
) -> Result<bool, EngineError> {
    let acquired = Entry::RunAcquired { epoch: row.epoch.next(), owner: owner.to_string(), refresh: false };
    let reopened = Some(Entry::RunReopened).filter(|_| !row.status.is_running());
    let entries = [Some(acquired), reopened, Some(requested)].into_iter().flatten();
    let entries: Vec<_> = entries.map(|entry| TimedEntry { at, entry }).collect();
    let (epoch, seq): (Epoch, Seq) = (row.epoch.next(), row.seq.plus(entries.len()));
    let request = TakeOverRequest {
        run: row.id.clone(),
        seen_epoch: row.epoch,
        seen_lease: row.lease_until,
        after: row.seq,
        owner: owner.clone(),
        lease_until: at.plus(options.lease),
        entries,
        locks: vec![],
        seen_takers: vec![],
        evictions: vec![],
        at,
    };
    if !options.journal.take_over(request).await? {
        return Ok(false);
    }
    (row.epoch, row.seq) = (epoch, seq);
    let outcome = Outcome::Cancelled;
    let finished = Entry::RunFinished { outcome, outputs: Shared::default() };
    let is_finished = append(options, &row, at, finished, RunStatus::Finished(outcome)).await?;
    options.journal.release(row.id, epoch).await?;
    Ok(is_finished)
}

/// Appends an entry after those of the row. Returns `false`, and writes nothing, if the run has
/// changed since.
async fn append(
    options: &EngineOptions,
    row: &RunRow,
    at: UnixMillis,
    entry: Entry,
    status: RunStatus,
) -> Result<bool, EngineError> {
    let entries = vec![TimedEntry { at, entry }];
    let append = Append { run: row.id.clone(), epoch: row.epoch, after: row.seq, entries: entries.into(), status };
    Ok(options.journal.commit(Commit { at, creates: vec![], appends: vec![append] }).await?.is_empty())
}
