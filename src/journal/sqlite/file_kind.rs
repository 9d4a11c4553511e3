//! Recognition of a journal among other database files.

use sqlx::SqliteConnection;

/// Application id that the migration `identity` writes to the header of a journal: "Strg" in ASCII.
const APPLICATION_ID: i32 = 0x5374_7267;
/// Tables of all journals, including those without an application id.
const TABLES: [&str; 4] = ["_sqlx_migrations", "plan", "run", "entry"];

/// Kind of a database file, by its application id and its tables.
#[derive(Debug, PartialEq)]
pub(super) enum FileKind {
    /// The file has no tables: a process exited before its first migration.
    Empty,
    /// The file is a journal of this program.
    Journal,
}

/// Reads the kind of a file, or a description of a file that belongs to another program. Writes
/// nothing.
pub(super) async fn read(connection: &mut SqliteConnection) -> Result<Result<FileKind, String>, sqlx::Error> {
    let application_id: i32 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlite_*' ORDER BY rowid",
    )
    .fetch_all(&mut *connection)
    .await?;
    Ok(of(application_id, &tables))
}

fn of(application_id: i32, tables: &[String]) -> Result<FileKind, String> {
    let has_table = |name: &&str| tables.iter().any(|table| table == name);
    match application_id {
        APPLICATION_ID => Ok(FileKind::Journal),
        0 if TABLES.iter().all(has_table) => Ok(FileKind::Journal),
        0 if tables.iter().all(|table| table == TABLES[0]) => Ok(FileKind::Empty),
        0 => Err(format!("its tables are {}", tables.join(", "))),
        other => Err(format!("its application id is {other:#010x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_has_the_application_id_or_all_tables_of_the_first_schema() {
        let of = |id, tables: &[&str]| of(id, &tables.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        assert_eq!(of(0, &[]), Ok(FileKind::Empty));
        assert_eq!(of(0, &["_sqlx_migrations"]), Ok(FileKind::Empty));
        assert_eq!(of(0, &["_sqlx_migrations", "plan", "run", "entry", "attempt"]), Ok(FileKind::Journal));
        assert_eq!(of(APPLICATION_ID, &["later"]), Ok(FileKind::Journal));
        assert_eq!(of(0, &["run", "plan"]), Err("its tables are run, plan".into()));
        assert_eq!(of(7, &[]), Err("its application id is 0x00000007".into()));
    }
}
