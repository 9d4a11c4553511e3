use std::sync::Arc;

use super::{EngineError, Options, acquire};
use crate::{
    id::RunId,
    journal::{Append, Owner, StoredRun, TakeOverRequest},
    run::{Entry, Outcome, Progress, RunState, TimedEntry},
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
        let holder = acquire::holder(options, owner, &stored, state.progress());
        let written = match holder {
            Some(holder) if state.is_cancelling() => return Ok(Cancel::Asked(Box::new(holder.clone()))),
            Some(_) => acquire::write_behind(options, &stored, requested(owner)).await?,
            None => end(options, owner, &stored, &state).await?,
        };
        match (written, holder) {
            (true, Some(holder)) => return Ok(Cancel::Asked(Box::new(holder.clone()))),
            (true, None) => return Ok(Cancel::Done),
            (false, _) => {} // Somebody wrote in between: look what.
        }
    }
}

fn requested(owner: &Owner) -> Entry {
    Entry::CancelRequested { by: owner.to_string() }
}

/// Takes the run over, which fences whoever may still advance it, and ends it.
async fn end(options: &Options, owner: &Arc<Owner>, stored: &StoredRun, state: &RunState) -> Result<bool, EngineError> {
    let row = &stored.row;
    let mut records = acquire::records(options, owner, stored, state.progress());
    if !state.is_cancelling() {
        records.push(TimedEntry { at: options.clock.now(), entry: requested(owner) });
    }
    let (epoch, seq) = (row.epoch + 1, row.seq + records.len() as u64);
    let wish = TakeOverRequest { records, ..acquire::wish(options, owner, stored, Vec::new()) };
    if !options.journal.take_over(wish).await? {
        return Ok(false);
    }
    let finished = Entry::RunFinished { outcome: Outcome::Cancelled, outputs: serde_json::Map::new() };
    let records = vec![TimedEntry { at: options.clock.now(), entry: finished }];
    let append = Append { run: row.id.clone(), epoch, seq, records, status: "cancelled" };
    let ended = acquire::append_alone(options, append).await?;
    options.journal.release(row.id.clone(), epoch).await?;
    Ok(ended)
}
