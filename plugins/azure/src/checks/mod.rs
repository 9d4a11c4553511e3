//! Checks of the environment before a run, one file each.

mod clock;
mod credential;
mod granted;
mod permissions;
mod subscription;

pub(crate) use clock::ClockCheck;
pub(crate) use credential::ArmCredentialCheck;
pub(crate) use permissions::PermissionsCheck;
pub(crate) use subscription::SubscriptionCheck;
