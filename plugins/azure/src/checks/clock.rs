use std::collections::BTreeSet;

use futures::future::BoxFuture;
use jiff::Timestamp;
use stargate_sdk::{ActionContext, Check, Finding, Permission, clock_finding};

use crate::ArmClient;

/// `azure.clock`. Needs no credential: a clock that is wrong may be why there is none.
pub(crate) struct Clock(pub(crate) ArmClient);

impl Check for Clock {
    fn id(&self) -> &'static str {
        "azure.clock"
    }

    fn summary(&self) -> &'static str {
        "Compares this machine's clock with Azure's."
    }

    fn run<'a>(&'a self, _: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        Box::pin(async {
            let asked = Timestamp::now();
            match self.0.date().await {
                Ok(date) => clock_finding(date.as_deref(), asked, Timestamp::now())
                    .unwrap_or_else(|| Finding::skipped("azure's answer has no date to compare with")),
                Err(error) => Finding::skipped(error.to_string()),
            }
        })
    }
}
