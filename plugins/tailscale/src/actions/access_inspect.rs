use std::{net::Ipv4Addr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{
    Action, ActionContext, ActionError, FailureKind, Nature, Permission, Preview, Recovery, RequiredPermissions,
};

use crate::{
    access::{AccessEnd, AccessFlow, Decision, decide},
    client::TailscaleClient,
    permission::scope,
};

/// Surface, as reports name it.
const LABEL: &str = "access rules of the tailnet";

/// Action `tailscale.access.inspect`: reads whether the access rules of the tailnet admit a
/// connection.
///
/// A policy that may not be read is named as unread. A server that shows no policy to any client
/// has none to read. The policy itself is not part of the output.
pub(crate) struct AccessInspect {
    client: Arc<TailscaleClient>,
}

/// A TCP connection through the routers of two sites.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessInspectInput {
    /// End that opens the connection, as `kubernetes.ends.find` returns it.
    from: ConnectionEnd,
    /// End that answers.
    to: ConnectionEnd,
    /// Port of the end that answers.
    port: u16,
    /// Names of the routers, which are devices of the tailnet.
    #[serde(default)]
    routers: Vec<String>,
}

/// End of a connection. Other fields are ignored.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ConnectionEnd {
    /// Address of the end.
    #[schemars(with = "String")]
    ip: Ipv4Addr,
    /// Name of the machine that the end is, or is on.
    machine: String,
    /// True if the end is a pod with an address of its own.
    pod: bool,
}

/// Decision of the access rules, in the form of the input of `routes.path.trace`.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AccessInspectOutput {
    /// True if a rule admits the connection, false if none does; `null` if it is not known, or if
    /// the server shows no policy.
    pub admitted: Option<bool>,
    /// Parts of the policy that were not read or not evaluated, each with the reason.
    pub unread: Vec<String>,
}

impl AccessInspect {
    pub(crate) fn new(client: Arc<TailscaleClient>) -> Self {
        Self { client }
    }
}

impl AccessInspectInput {
    fn flow(&self) -> AccessFlow {
        let end = |end: &ConnectionEnd| AccessEnd {
            address: end.ip,
            is_device: !end.pod && self.routers.contains(&end.machine),
        };
        AccessFlow { from: end(&self.from), to: end(&self.to), port: self.port }
    }
}

impl AccessInspectOutput {
    fn of(decision: Decision) -> Self {
        match decision {
            Decision::Admitted => Self { admitted: Some(true), unread: Vec::new() },
            Decision::Refused => Self { admitted: Some(false), unread: Vec::new() },
            Decision::Unknown => Self::unread("the rules that concern the addresses are not evaluated"),
        }
    }

    fn unread(reason: &str) -> Self {
        Self { admitted: None, unread: vec![format!("{LABEL}: {reason}")] }
    }
}

impl Action for AccessInspect {
    type Input = AccessInspectInput;
    type Output = AccessInspectOutput;
    const NAME: &'static str = "tailscale.access.inspect";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Reads whether the access rules of the tailnet admit a connection.";

    async fn run(&self, cx: &ActionContext, input: &AccessInspectInput) -> Result<AccessInspectOutput, ActionError> {
        let path = ["tailnet", self.client.tailnet(), "acl"];
        match self.client.get::<Value>(cx, &path, &[]).await {
            Ok(policy) => Ok(AccessInspectOutput::of(decide(&policy, &input.flow()))),
            Err(error) if error.is_unsupported() => {
                cx.log(format!("{LABEL}: the coordination server does not show its policy"));
                Ok(AccessInspectOutput::default())
            }
            Err(error) if error.is_forbidden() => Ok(AccessInspectOutput::unread(
                "the tailscale OAuth client needs the scope policy_file:read to read the policy",
            )),
            Err(error) if error.error.kind == FailureKind::Permanent => {
                Ok(AccessInspectOutput::unread(&error.error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn preview(&self, cx: &ActionContext, input: &AccessInspectInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for AccessInspect {
    const PERMISSIONS: &'static [Permission] = &[scope("policy_file:read")];
}
