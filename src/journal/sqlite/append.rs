//! Commits that only append to the history of one run: bound columns instead of a JSON argument.

use std::sync::Arc;

use sqlx::{Sqlite, query::Query, sqlite::SqliteArguments};

use super::{payload, statements};
use crate::{
    journal::{Append, Commit},
    run::{RunStatus, StoredIn, TimedEntry},
};

/// Returns the query that writes the commit, if it is one append of a few history entries to a
/// running run.
pub(super) fn of_commit(commit: &Commit) -> Option<Query<'static, Sqlite, SqliteArguments>> {
    match (&commit.creates[..], &commit.appends[..]) {
        ([], [append]) if is_simple(append) => Some(query(append)),
        _ => None,
    }
}

fn is_simple(append: &Append) -> bool {
    let in_history = |entry: &TimedEntry| match entry.entry.stored_in() {
        StoredIn::History => true,
        StoredIn::Attempt(_) | StoredIn::Checkpoint(_) => false,
    };
    append.status == RunStatus::Running
        && !append.entries.iter().any(|timed| timed.entry.is_large())
        && (1..=statements::MAX_APPENDED).contains(&append.entries.len())
        && append.entries.iter().all(in_history)
}

/// Returns the queries that write the history entries of an append, one each. They check neither
/// epoch nor sequence number.
pub(super) fn of_history(append: &Append) -> impl Iterator<Item = Query<'static, Sqlite, SqliteArguments>> {
    let history = append.entries.iter().filter(|timed| timed.is_in_history()).enumerate();
    history.map(|(index, timed)| {
        let seq = i64::try_from(append.after.plus(index + 1).0).ok();
        let query = sqlx::query(statements::APPEND_LARGE).bind(append.run.to_string()).bind(seq);
        query.bind(timed.at.0).bind(payload::to_exact_text(&timed.entry))
    })
}

/// Returns an append without entries, which only checks epoch and sequence number.
pub(super) fn check_only(append: &Append) -> Append {
    Append { entries: Arc::default(), status: RunStatus::Running, ..append.clone() }
}

/// Returns the append without its history entries, after they were written.
pub(super) fn without_history(append: &Append) -> Append {
    let (history, rest): (Vec<_>, Vec<_>) = append.entries.iter().partition(|timed| timed.is_in_history());
    Append { after: append.after.plus(history.len()), entries: rest.into_iter().cloned().collect(), ..append.clone() }
}

fn query(append: &Append) -> Query<'static, Sqlite, SqliteArguments> {
    let query = sqlx::query(statements::APPEND).bind(append.run.to_string());
    let query = query.bind(i64::try_from(append.epoch.0).ok()).bind(i64::try_from(append.after.0).ok());
    (0..statements::MAX_APPENDED).fold(query, |query, index| {
        let entry = append.entries.get(index);
        let body = entry.map(|timed| payload::to_text(&timed.entry));
        query.bind(entry.map(|timed| timed.at.0)).bind(body)
    })
}
