//! Changes of a journal file that no program makes, through a connection of its own.

use std::path::Path;

use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

/// Executes statements on a journal file.
pub(crate) async fn execute(path: &Path, statements: &'static str) {
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    sqlx::query(statements).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Locks a journal file for writing, as a process that is stopped in the middle of a commit does.
pub(crate) async fn lock(path: &Path) -> SqliteConnection {
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
    connection
}

/// Releases the lock of [`lock`].
pub(crate) async fn unlock(connection: SqliteConnection) {
    connection.close().await.unwrap();
}

/// Reads one text from a journal file.
pub(crate) async fn text(path: &Path, query: &'static str) -> String {
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    let found = sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    found
}

/// Creates a database with these statements, as another program would.
pub(crate) async fn create(path: &Path, statements: &'static str) {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap().close().await.unwrap();
    execute(path, statements).await;
}

/// Leaves the file as the first version of the program left it.
pub(crate) async fn downgrade_to_schema_1(path: &Path) {
    let statements = "PRAGMA application_id = 0; DROP TABLE identity; DROP VIEW taking; DROP TABLE lock_taken; DROP VIEW append; DROP TABLE log; DROP VIEW locking; DROP TABLE lock; DELETE FROM _sqlx_migrations WHERE version > 1";
    execute(path, statements).await;
}

/// Records a migration that this program does not know, as a newer program would.
pub(crate) async fn upgrade_to_schema(path: &Path, version: i64) {
    let insert = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (?1, 'later', true, x'00', 0)";
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    sqlx::query(insert).bind(version).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
