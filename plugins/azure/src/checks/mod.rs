//! What can be looked at before anything is run: one file a check.

mod clock;
mod credential;
mod granted;
mod permissions;
mod subscription;

pub(crate) use clock::Clock;
pub(crate) use credential::Credential;
pub(crate) use permissions::Permissions;
pub(crate) use subscription::Subscription;
