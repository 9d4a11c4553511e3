use std::sync::Arc;

use super::{EngineError, Options, acquire};
use crate::{
    id::RunId,
    journal::{Append, Commit, Owner, StoredRun, TakeOver},
    run::{Entry, Outcome, Progress, Recorded, RunState},
};

/// What came of the wish that a run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancel {
    /// It has ended.
    Done,
    /// This living process advances it, and ends it as soon as it has let go of what it is doing.
    Asked(Box<Owner>),
    /// It had ended before, like this.
    Ended(Outcome),
}

/// Writes that the run is to end, and ends it if nobody advances it.
///
/// A run that has failed or is in doubt can still be cancelled: nobody can resume it then.
pub(super) async fn cancel(options: &Options, owner: &Arc<Owner>, run: RunId) -> Result<Cancel, EngineError> {
    loop {
        let stored = options.journal.load(run.clone()).await?;
        let prepared = acquire::prepared(&stored, &options.registry)?;
        let state = RunState::recover(prepared.plan(), &stored.history, &stored.latest)
            .map_err(|source| EngineError::Illegal { run: run.clone(), source })?;
        if let Progress::Finished(outcome @ (Outcome::Succeeded | Outcome::Cancelled)) = state.progress() {
            return Ok(Cancel::Ended(outcome));
        }
        let written = match stored.row.living_owner(owner, options.clock.now()) {
            Some(holder) if state.is_cancelling() => return Ok(Cancel::Asked(Box::new(holder.clone()))),
            Some(_) => ask(options, owner, &stored).await?,
            None => end(options, owner, &stored, &state).await?,
        };
        match (written, stored.row.living_owner(owner, options.clock.now())) {
            (true, Some(holder)) => return Ok(Cancel::Asked(Box::new(holder.clone()))),
            (true, None) => return Ok(Cancel::Done),
            (false, _) => {} // Somebody wrote in between: look what.
        }
    }
}

fn requested(options: &Options, owner: &Owner) -> Recorded {
    Recorded { at: options.clock.now(), entry: Entry::CancelRequested { by: owner.to_string() } }
}

/// Writes behind the entries of the living owner, whose next commit is then refused until it has taken this in.
async fn ask(options: &Options, owner: &Owner, stored: &StoredRun) -> Result<bool, EngineError> {
    let row = &stored.row;
    let records = vec![requested(options, owner)];
    let append = Append { run: row.id.clone(), epoch: row.epoch, seq: row.seq, records, status: "running" };
    commit(options, append).await
}

/// Takes the run over, which fences whoever may still advance it, and ends it.
async fn end(options: &Options, owner: &Arc<Owner>, stored: &StoredRun, state: &RunState) -> Result<bool, EngineError> {
    let row = &stored.row;
    let mut records = acquire::records(options, owner, stored, state.progress());
    if !state.is_cancelling() {
        records.push(requested(options, owner));
    }
    let (epoch, seq) = (row.epoch + 1, row.seq + records.len() as u64);
    let wish = TakeOver { records, ..acquire::wish(options, owner, stored, Vec::new()) };
    if !options.journal.take_over(wish).await? {
        return Ok(false);
    }
    let finished = Entry::RunFinished { outcome: Outcome::Cancelled, outputs: serde_json::Map::new() };
    let records = vec![Recorded { at: options.clock.now(), entry: finished }];
    let ended = commit(options, Append { run: row.id.clone(), epoch, seq, records, status: "cancelled" }).await?;
    options.journal.release(row.id.clone(), epoch).await?;
    Ok(ended)
}

async fn commit(options: &Options, append: Append) -> Result<bool, EngineError> {
    let commit = Commit { at: options.clock.now(), creates: vec![], appends: vec![append] };
    Ok(options.journal.commit(commit).await?.is_empty())
}
