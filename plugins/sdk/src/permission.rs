use std::{borrow::Cow, fmt};

use serde::Serialize;
use serde_json::Value;

use crate::{Ensure, Resource};

/// An operation that an external system must allow before an action can succeed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Permission {
    authority: Cow<'static, str>,
    operation: Cow<'static, str>,
}

impl Permission {
    /// A permission that `authority` grants, such as `azure` or `kubernetes`, in the notation of
    /// that authority.
    pub const fn new(authority: &'static str, operation: &'static str) -> Self {
        Self { authority: Cow::Borrowed(authority), operation: Cow::Borrowed(operation) }
    }

    /// Like [`Self::new`], for an operation that depends on a workflow.
    pub fn of(authority: &'static str, operation: String) -> Self {
        Self { authority: Cow::Borrowed(authority), operation: Cow::Owned(operation) }
    }

    /// Name of the external system that grants it.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Name of the operation, such as `Microsoft.Network/routeTables/write` or `patch nodes`.
    pub fn operation(&self) -> &str {
        &self.operation
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.operation)
    }
}

/// Permissions that an action requires, declared next to its code, so that they can be checked
/// before a run.
///
/// All operations that the action can use are declared, not only those that it always uses. A test
/// compares them with the requests of real runs.
pub trait RequiredPermissions {
    /// Permissions that each input requires.
    const PERMISSIONS: &'static [Permission] = &[];

    /// Additional permissions that an input requires. `with` is that of a step before evaluation:
    /// its expressions are texts, `${{ … }}`.
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
