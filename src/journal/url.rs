use std::{ffi::OsStr, path::PathBuf, sync::Arc};

use super::{
    Inspected, Journal, JournalError,
    sqlite::{SqliteJournal, inspect as sqlite},
};

/// Opens the journal at `url`, after creating and migrating it if necessary.
///
/// `sqlite:PATH`, or a path without a scheme, is a file on a local disk.
///
/// # Errors
/// [`JournalError::Scheme`] for any other scheme; otherwise the error names the reason for which
/// the journal cannot be opened.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("journal.db");
/// let journal = stargate::journal::open(format!("sqlite:{}", path.display())).await?;
/// assert!(journal.runs(10).await?.is_empty());
/// # Ok(())
/// # }
/// ```
pub async fn open(url: impl AsRef<OsStr>) -> Result<Arc<dyn Journal>, JournalError> {
    match Store::parse(url.as_ref())? {
        Store::Sqlite(path) => Ok(Arc::new(SqliteJournal::open(&path).await?)),
    }
}

/// Opens the journal at `url`, or returns `None` and creates nothing if it does not exist.
///
/// # Errors
/// As for [`open`].
pub async fn open_existing(url: impl AsRef<OsStr>) -> Result<Option<Arc<dyn Journal>>, JournalError> {
    match Store::parse(url.as_ref())? {
        // If it is not known whether the file exists, opening it fails and names the reason.
        Store::Sqlite(path) if matches!(path.try_exists(), Ok(false)) => Ok(None),
        Store::Sqlite(_) => open(url).await.map(Some),
    }
}

/// Checks whether the journal at `url` is intact and can be used, or can be created. Writes
/// nothing.
///
/// # Errors
/// As for [`open`], and [`JournalError::Corrupt`] if the journal is damaged.
pub async fn inspect(url: impl AsRef<OsStr>) -> Result<Inspected, JournalError> {
    match Store::parse(url.as_ref())? {
        Store::Sqlite(path) => sqlite::inspect(&path).await,
    }
}

/// Kind and place of a journal.
#[derive(Debug, PartialEq)]
enum Store {
    Sqlite(PathBuf),
}

impl Store {
    fn parse(url: &OsStr) -> Result<Self, JournalError> {
        match url.to_str().and_then(|text| text.split_once(':')) {
            Some(("sqlite", path)) => Ok(Self::Sqlite(path.strip_prefix("//").unwrap_or(path).into())),
            Some((_, rest)) if rest.starts_with("//") => {
                Err(JournalError::Scheme { url: url.to_string_lossy().into_owned() })
            }
            Some(_) | None => Ok(Self::Sqlite(url.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_store_and_a_text_without_a_scheme_is_a_path() {
        let parse = |url: &str| Store::parse(OsStr::new(url));
        let sqlite = |path: &str| Ok(Store::Sqlite(path.into()));
        assert_eq!(parse("sqlite:a/b.db"), sqlite("a/b.db"));
        assert_eq!(parse("sqlite:///a/b.db"), sqlite("/a/b.db"));
        assert_eq!(parse("/a/b.db"), sqlite("/a/b.db"));
        assert_eq!(parse("a:b.db"), sqlite("a:b.db"));
        assert_eq!(parse("postgres://a/b"), Err(JournalError::Scheme { url: "postgres://a/b".into() }));
    }
}
