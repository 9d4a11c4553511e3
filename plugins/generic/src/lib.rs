//! Actions for what no other provider has.
//!
//! * `core.assert` and `core.fail` end a run with a message of the workflow.
//! * `core.wait` waits, across interruptions of the run.
//! * `http.request` sends one HTTP request and checks the response.
//!
//! A program on a host is `ssh.program.run` of `stargate-ssh`.

mod assert;
mod fail;
mod http_request;
mod wait;

use stargate_sdk::Registry;

/// Adds the actions `core.…` and `http.request`, which have no settings.
///
/// # Errors
/// If TLS cannot be set up.
pub fn register(registry: &mut Registry) -> Result<(), reqwest::Error> {
    registry.add(assert::Assert);
    registry.add(fail::Fail);
    registry.add(wait::WaitAction);
    registry.add(http_request::HttpRequest::new()?);
    Ok(())
}
