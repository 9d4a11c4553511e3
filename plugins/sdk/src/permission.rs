use std::{borrow::Cow, fmt};

use serde::Serialize;
use serde_json::Value;

use crate::{Ensure, Resource};

/// Something that a far side has to allow before an action's calls succeed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Permission {
    authority: Cow<'static, str>,
    operation: Cow<'static, str>,
}

impl Permission {
    /// What `authority` grants, such as `azure` or `kubernetes`, in that authority's own words for it.
    pub const fn new(authority: &'static str, operation: &'static str) -> Self {
        Self { authority: Cow::Borrowed(authority), operation: Cow::Borrowed(operation) }
    }

    /// The same, of an operation that is not known until a workflow is read.
    pub fn of(authority: &'static str, operation: String) -> Self {
        Self { authority: Cow::Borrowed(authority), operation: Cow::Owned(operation) }
    }

    /// Who grants it.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What is granted, such as `Microsoft.Network/routeTables/write` or `patch nodes`.
    pub fn operation(&self) -> &str {
        &self.operation
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.operation)
    }
}

/// What an action has to be allowed: told beside its code, and asked for before anything runs.
///
/// What it may ask for is told, not only what it asks for every time. A test holds it against the requests of real runs.
pub trait RequiredPermissions {
    /// Whatever the input.
    const PERMISSIONS: &'static [Permission] = &[];

    /// What an input adds. `with` is a step's, not evaluated yet: an expression in it stands as `${{ … }}`.
    fn for_input(with: &Value) -> Vec<Permission> {
        let _ = with;
        Vec::new()
    }
}

impl<R: Resource + RequiredPermissions> RequiredPermissions for Ensure<R> {
    const PERMISSIONS: &'static [Permission] = R::PERMISSIONS;

    fn for_input(with: &Value) -> Vec<Permission> {
        R::for_input(with)
    }
}
