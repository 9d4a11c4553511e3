//! Commits that only append to the history of one run: bound columns instead of a JSON argument.

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
        && (1..=statements::MAX_APPENDED).contains(&append.entries.len())
        && append.entries.iter().all(in_history)
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
