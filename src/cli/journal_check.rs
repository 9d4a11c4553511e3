//! Check of the journal file for `stargate doctor`.

use std::{collections::BTreeSet, path::PathBuf};

use futures::future::BoxFuture;
use stargate::journal::{Inspected, inspect};
use stargate_sdk::{ActionContext, Check, Finding, Permission};

use super::Failure;

/// Check `journal.open`: the journal file can be used, or created. It writes nothing.
pub(super) struct JournalCheck {
    /// Path of the journal file.
    pub(super) path: PathBuf,
}

impl Check for JournalCheck {
    fn id(&self) -> &'static str {
        "journal.open"
    }

    fn summary(&self) -> &'static str {
        "Checks that the journal file is intact and can be used, or can be created."
    }

    fn run<'a>(&'a self, _: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        Box::pin(self.inspect())
    }
}

impl JournalCheck {
    /// Opens the file read-only and reports schema and integrity.
    async fn inspect(&self) -> Finding {
        let path = self.path.display();
        match inspect(&self.path).await {
            Ok(Inspected::Absent) => Finding::ok(format!("{path} does not exist yet; the first run creates it")),
            Ok(Inspected::Intact { schema, known }) if schema < known => {
                Finding::ok(format!("{path} is intact, schema {schema}; the next command migrates it to {known}"))
            }
            Ok(Inspected::Intact { schema, .. }) => Finding::ok(format!("{path} is intact, schema {schema}")),
            Err(error) => {
                let failure = Failure::from(error);
                Finding::failed(failure.to_string(), failure.hint())
            }
        }
    }
}
