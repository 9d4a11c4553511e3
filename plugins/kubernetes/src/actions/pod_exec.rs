use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_client::CallEffect;
use stargate_kubernetes_client::{
    CommandStatus, ExecCommand, KubeClient, ObjectName, PODS,
    json::{list, text},
};
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, FindResult, Nature, Permission, Preview, Recovery,
    RequiredPermissions,
};

use crate::permission::in_namespace_of;

/// Action `kubernetes.pod.exec`: runs a command in a container of a pod.
pub(crate) struct PodExec(pub(crate) Arc<KubeClient>);

/// The command, and the container that it runs in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PodExecInput {
    /// Namespace of the pod [default: that of the kubeconfig's context].
    #[serde(default)]
    namespace: Option<String>,
    /// Name of the pod.
    pod: String,
    /// Name of the container [default: the one in the pod's annotation
    /// `kubectl.kubernetes.io/default-container`, else the only one].
    #[serde(default)]
    container: Option<String>,
    /// The program and its arguments. No shell is added.
    #[schemars(length(min = 1))]
    command: Vec<String>,
    /// Standard input of the command [default: none is attached].
    #[serde(default)]
    stdin: Option<String>,
    /// Command that runs first, in the same container: exit code 0 means that the effect exists
    /// already. It also runs for `stargate plan` and after a crash, and must change nothing.
    #[serde(default)]
    #[schemars(length(min = 1))]
    unless: Option<Vec<String>>,
    /// True if the command may run twice. Without `unless`, it runs again if its outcome is
    /// unknown.
    #[serde(default)]
    repeatable: bool,
}

/// Result of the command.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PodExecOutput {
    /// False if the command was not run, because the effect exists already according to `unless`.
    pub ran: bool,
    /// Standard output, its first 64 KiB.
    pub stdout: String,
    /// True if there was more output.
    pub truncated: bool,
    /// Exit code of the command: always 0, because any other one is a failure.
    pub exit_code: i32,
}

/// A running container.
struct ContainerRef {
    namespace: String,
    pod: String,
    container: String,
}

impl PodExec {
    /// Finds the container of the input. It must be running; the error is `Transient` if it may run
    /// later.
    async fn container(&self, cx: &ActionContext, input: &PodExecInput) -> Result<ContainerRef, ActionError> {
        check_program("command", &input.command)?;
        input.unless.as_ref().map_or(Ok(()), |words| check_program("unless", words))?;
        let namespace = match &input.namespace {
            Some(namespace) => namespace.clone(),
            None => self.0.default_namespace().await?,
        };
        let label = format!("pod {namespace}/{}", input.pod);
        let Some(pod) = self.0.get(cx, &PODS, ObjectName::namespaced(&namespace, &input.pod)?).await? else {
            return Err(ActionError::permanent(format!("{label}: not found")).with_hint(
                "let the step depend on the one that creates the pod, or find its name with `kubernetes.objects.list`",
            ));
        };
        let container = running_container(&pod, input.container.as_deref()).map_err(|e| e.context(label))?.to_owned();
        Ok(ContainerRef { namespace, pod: input.pod.clone(), container })
    }

    /// True if the effect exists according to `unless`; `None` without `unless`.
    async fn has_effect(
        &self,
        cx: &ActionContext,
        container: &ContainerRef,
        input: &PodExecInput,
    ) -> Result<Option<bool>, ActionError> {
        let Some(words) = &input.unless else { return Ok(None) };
        let command = container.command(words, None, CallEffect::ReadOnly)?;
        let result = self.0.exec(cx, &command).await.map_err(|e| e.context("`unless`"))?;
        Ok(Some(result.exit_code == 0))
    }

    async fn execute(
        &self,
        cx: &ActionContext,
        container: &ContainerRef,
        input: &PodExecInput,
    ) -> Result<PodExecOutput, ActionError> {
        // Reported before the call: an attempt that is lost may have run the command.
        cx.changed(format!("ran {:?} in {container}", input.command.join(" ")));
        let command = container.command(&input.command, input.stdin.as_deref(), CallEffect::MayHaveChanged)?;
        let result = self.0.exec(cx, &command).await?;
        let text = |bytes: &[u8]| cx.redactor().redact(&String::from_utf8_lossy(bytes));
        text(&result.stderr).lines().for_each(|line| cx.log(line));
        if result.exit_code != 0 {
            return Err(exit_code_error(container, input, &result));
        }
        Ok(PodExecOutput { ran: true, stdout: text(&result.stdout), truncated: result.truncated, exit_code: 0 })
    }
}

impl Action for PodExec {
    type Input = PodExecInput;
    type Output = PodExecOutput;
    const NAME: &'static str = "kubernetes.pod.exec";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Once;
    const RECOVERY: Recovery = Recovery::Find;
    const SUMMARY: &'static str = "Runs a command in a container of a pod, unless its effect exists already.";

    async fn run(&self, cx: &ActionContext, input: &PodExecInput) -> Result<PodExecOutput, ActionError> {
        let container = self.container(cx, input).await?;
        if self.has_effect(cx, &container, input).await? == Some(true) {
            return Ok(PodExecOutput::not_run());
        }
        self.execute(cx, &container, input).await
    }

    async fn find(&self, cx: &ActionContext, input: &PodExecInput) -> Result<FindResult<PodExecOutput>, ActionError> {
        let has_effect = match input.unless {
            Some(_) => self.has_effect(cx, &self.container(cx, input).await?, input).await?,
            None => None,
        };
        Ok(match has_effect {
            Some(true) => FindResult::Present(PodExecOutput::not_run()),
            Some(false) => FindResult::Absent,
            None if input.repeatable => FindResult::Absent,
            None => FindResult::Unclear(unclear_reason(input)),
        })
    }

    async fn preview(&self, cx: &ActionContext, input: &PodExecInput) -> Result<Preview, ActionError> {
        if input.unless.is_none() {
            return Ok(Preview::Opaque);
        }
        let container = self.container(cx, input).await?;
        if self.has_effect(cx, &container, input).await? == Some(true) {
            return Preview::unchanged(&PodExecOutput::not_run());
        }
        let difference = Difference::missing(format!("command in {container}"), input.command.join(" "));
        Ok(Preview::changes(vec![difference]))
    }
}

impl RequiredPermissions for PodExec {
    const PERMISSIONS: &'static [Permission] = &[];

    /// Servers before 1.35 require `get`, the method that opens a WebSocket, and later ones
    /// `create`.
    fn for_input(with: &Value) -> Vec<Permission> {
        in_namespace_of(&["get pods", "get pods --subresource=exec", "create pods --subresource=exec"], with, None)
    }
}

impl PodExecOutput {
    /// Output of a step that did not run the command.
    fn not_run() -> Self {
        Self { ran: false, stdout: String::new(), truncated: false, exit_code: 0 }
    }
}

impl ContainerRef {
    fn command<'a>(
        &'a self,
        words: &'a [String],
        stdin: Option<&'a str>,
        effect: CallEffect,
    ) -> Result<ExecCommand<'a>, ActionError> {
        let pod = ObjectName::namespaced(&self.namespace, &self.pod)?;
        Ok(ExecCommand { pod, container: &self.container, words, stdin, effect })
    }
}

impl std::fmt::Display for ContainerRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pod {}/{}", self.namespace, self.pod)
    }
}

/// Refuses a command without a program; `field` is its name in the input.
fn check_program(field: &str, words: &[String]) -> Result<(), ActionError> {
    match words.first() {
        Some(program) if !program.is_empty() => Ok(()),
        _ => Err(ActionError::permanent(format!("{field}: names no program"))
            .with_hint("write a list that starts with a program, such as [sh, -c, \"…\"]")),
    }
}

/// Name of the container to use, if it is running.
fn running_container<'a>(pod: &'a Value, name: Option<&'a str>) -> Result<&'a str, ActionError> {
    let container = container_name(pod, name)?;
    let phase = text(pod, "/status/phase").unwrap_or("Pending");
    if matches!(phase, "Succeeded" | "Failed") {
        return Err(ActionError::permanent(format!("has ended: its phase is {phase}")));
    }
    let mut statuses = list(pod, "/status/containerStatuses").chain(list(pod, "/status/initContainerStatuses"));
    let status = statuses.find(|status| status["name"] == container).unwrap_or(&Value::Null);
    if status.pointer("/state/running").is_some() {
        return Ok(container);
    }
    let reason = ["/state/waiting/reason", "/state/terminated/reason"].iter().find_map(|at| text(status, at));
    let reason = reason.map_or_else(|| format!("the pod's phase is {phase}"), str::to_owned);
    Err(ActionError::transient(format!("container {container:?} is not running: {reason}")))
}

/// Name of the container to use: the given one, that of the annotation, or the only one.
fn container_name<'a>(pod: &'a Value, name: Option<&'a str>) -> Result<&'a str, ActionError> {
    let names = |at| list(pod, at).filter_map(|container| text(container, "/name"));
    let ordinary: Vec<_> = names("/spec/containers").collect();
    let preferred = text(pod, "/metadata/annotations/kubectl.kubernetes.io~1default-container");
    match (name.or(preferred), ordinary.as_slice()) {
        (Some(name), all) if all.contains(&name) || names("/spec/initContainers").any(|init| init == name) => Ok(name),
        (Some(name), all) => Err(ActionError::permanent(format!("has no container {name:?}"))
            .with_hint(format!("its containers are {}", all.join(", ")))),
        (None, [only]) => Ok(only),
        (None, all) => Err(ActionError::permanent("has several containers and none is named")
            .with_hint(format!("give `container`: one of {}", all.join(", ")))),
    }
}

fn unclear_reason(input: &PodExecInput) -> String {
    let program = input.command.first().map_or("", String::as_str);
    format!(
        "it is not known whether command {program:?} ran in pod {:?}: give `unless`, a command that checks for its \
         effect, or set `repeatable: true` if it may run twice",
        input.pod
    )
}

fn exit_code_error(container: &ContainerRef, input: &PodExecInput, result: &CommandStatus) -> ActionError {
    let stderr = String::from_utf8_lossy(&result.stderr);
    let reason = match stderr.trim() {
        "" => "standard error is empty",
        reason => reason,
    };
    let (program, code) = (&input.command[0], result.exit_code);
    ActionError::permanent(format!("command {program:?} in {container} exited with code {code}: {reason}"))
}
