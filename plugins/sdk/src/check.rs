use std::collections::BTreeSet;

use futures::future::BoxFuture;
use serde::Serialize;

use crate::{ActionContext, ActionError, Permission};

/// A look at one thing that actions need from their surroundings. It changes nothing, anywhere.
pub trait Check: Send + Sync {
    /// `provider.noun`. It never changes: others look for it.
    fn id(&self) -> &'static str;

    /// One sentence, third person.
    fn summary(&self) -> &'static str;

    /// The checks without which this one cannot be judged, all of them added before it.
    fn after(&self) -> &'static [&'static str] {
        &[]
    }

    /// Looks. `needed` is what all the actions that are meant have to be allowed, by whatever authority.
    fn run<'a>(&'a self, cx: &'a ActionContext, needed: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding>;
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is as it has to be.
    Ok,
    /// It may do, and may not.
    Warning,
    /// It will not do.
    Failed,
    /// It could not be judged.
    Skipped,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it ended.
    pub status: Status,
    /// What is there, or why that will not do. Lower case, no full stop.
    pub found: String,
    /// What to type or to grant next.
    pub hint: Option<String>,
    /// What has to be allowed, where that is what was looked at.
    pub needed: Vec<String>,
}

impl Finding {
    /// It is as it has to be.
    pub fn ok(found: impl Into<String>) -> Self {
        Self { status: Status::Ok, found: found.into(), hint: None, needed: Vec::new() }
    }

    /// It may do, and may not.
    pub fn warning(found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status: Status::Warning, found: found.into(), hint: Some(hint.into()), needed: Vec::new() }
    }

    /// It will not do.
    pub fn failed(found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status: Status::Failed, found: found.into(), hint: Some(hint.into()), needed: Vec::new() }
    }

    /// It could not be judged, for this reason.
    pub fn skipped(why: impl Into<String>) -> Self {
        Self { status: Status::Skipped, found: why.into(), hint: None, needed: Vec::new() }
    }

    /// It failed with `error`; the error's own hint comes before `hint`.
    pub fn of_error(error: ActionError, hint: impl Into<String>) -> Self {
        let found = error.to_string();
        Self {
            status: Status::Failed,
            found,
            hint: Some(error.hint.unwrap_or_else(|| hint.into())),
            needed: Vec::new(),
        }
    }

    /// The same, with what has to be allowed.
    #[must_use]
    pub fn with_permissions(mut self, needed: &[&str]) -> Self {
        self.needed = needed.iter().map(|&operation| operation.to_owned()).collect();
        self
    }
}
