//! Secrets that the cluster issues at use, one file for each scheme of secret references.

mod bootstrap_token;
mod service_account_token;

pub(crate) use bootstrap_token::BootstrapTokenSource;
pub(crate) use service_account_token::ServiceAccountTokenSource;
