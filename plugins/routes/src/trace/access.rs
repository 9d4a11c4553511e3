//! Access rules of the tailnet: the receiving router drops new connections that they do not admit.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    facts::TraceFacts,
    report::{Fault, PathSurface},
};

/// Decision of the tailnet's access rules about a connection, in the form of
/// `tailscale.access.inspect`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct TracedAccess {
    /// True if a rule admits the connection, false if none does; `None` if it is not known.
    #[serde(default)]
    pub admitted: Option<bool>,
    /// Parts of the policy that were not read or not evaluated, each with the reason.
    #[serde(default)]
    pub unread: Vec<String>,
}

/// Checks that the access rules admit the connection. They let its replies pass.
///
/// # Errors
/// No rule admits it.
pub(super) fn check(facts: &TraceFacts) -> Result<(), Fault> {
    let TraceFacts { from, to, port, .. } = facts;
    match facts.access.as_ref().and_then(|access| access.admitted) {
        Some(true) | None => Ok(()),
        Some(false) => {
            let expected = format!("a grant or an ACL that admits {} to {} on TCP port {port}", from.ip, to.ip);
            let command = format!(
                "`{{\"src\": [\"{}\"], \"dst\": [\"{}\"], \"ip\": [\"tcp:{port}\"]}}` among the grants of the policy \
                 in the admin console admits it",
                from.ip, to.ip
            );
            let fault = Fault::own(PathSurface::AccessRule, "access rules of the tailnet", expected, "none");
            Err(fault.with_command(command))
        }
    }
}
