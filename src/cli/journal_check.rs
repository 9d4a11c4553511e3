use std::{collections::BTreeSet, path::PathBuf};

use futures::future::BoxFuture;
use stargate::journal::{Inspected, inspect};
use stargate_sdk::{ActionContext, Check, Finding, Permission};

use super::Failure;

/// `journal.open`.
pub(super) struct JournalCheck {
    /// The file that the settings name.
    pub(super) path: PathBuf,
}

impl Check for JournalCheck {
    fn id(&self) -> &'static str {
        "journal.open"
    }

    fn summary(&self) -> &'static str {
        "Looks whether the journal can be used and is whole, or can be made."
    }

    fn run<'a>(&'a self, _: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        Box::pin(self.look())
    }
}

impl JournalCheck {
    async fn look(&self) -> Finding {
        let path = self.path.display();
        match inspect(&self.path).await {
            Ok(Inspected::Absent) => Finding::ok(format!("{path} is not there yet; the first run makes it")),
            Ok(Inspected::Intact { schema, known }) if schema < known => {
                Finding::ok(format!("{path} is whole, of schema {schema}; the next command brings it to {known}"))
            }
            Ok(Inspected::Intact { schema, .. }) => Finding::ok(format!("{path} is whole, of schema {schema}")),
            Err(error) => {
                let failure = Failure::from(error);
                Finding::failed(failure.to_string(), failure.hint())
            }
        }
    }
}
