use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, FindResult, Permission, Preview, Recovery, RequiredPermissions,
};

use crate::{
    api::Api,
    exec::{Command, Ended},
    failure::Effect,
    field::{list, text},
    kind::{At, PODS},
    permission::in_namespace_of,
};

/// `kubernetes.pod.exec`.
pub(crate) struct PodExec(pub(crate) Arc<Api>);

/// What to run, and where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExecInput {
    /// The pod's namespace; the kubeconfig's own by default.
    #[serde(default)]
    namespace: Option<String>,
    /// The pod's name.
    pod: String,
    /// The container; by default the one that the pod's annotation `kubectl.kubernetes.io/default-container` names, or its
    /// only one.
    #[serde(default)]
    container: Option<String>,
    /// The program and its arguments. No shell is added.
    #[schemars(length(min = 1))]
    command: Vec<String>,
    /// What the command reads.
    #[serde(default)]
    stdin: Option<String>,
    /// A command that is run first, in the same container: if it ends with 0, there is nothing to do. It is run whenever
    /// somebody looks, by `stargate plan` as well, and must change nothing.
    #[serde(default)]
    #[schemars(length(min = 1))]
    unless: Option<Vec<String>>,
    /// Whether the command may run twice: it does where nobody can tell whether it ran, and there is no `unless` to ask.
    #[serde(default)]
    repeatable: bool,
}

/// How the command ended.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ExecOutput {
    /// Whether it was run. False: `unless` said that there was nothing to do.
    pub ran: bool,
    /// What it printed: the first 64 KiB.
    pub stdout: String,
    /// Whether it printed more than that.
    pub truncated: bool,
    /// Its exit code: 0, for any other is a failure.
    pub exit_code: i32,
}

/// A container that runs.
struct Place {
    namespace: String,
    pod: String,
    container: String,
}

impl PodExec {
    /// The container that is meant. That it does not run is an error: a `Transient` one if waiting helps.
    async fn place(&self, cx: &ActionContext, input: &ExecInput) -> Result<Place, ActionError> {
        are_words("command", &input.command)?;
        input.unless.as_ref().map_or(Ok(()), |words| are_words("unless", words))?;
        let namespace = match &input.namespace {
            Some(namespace) => namespace.clone(),
            None => self.0.default_namespace().await?,
        };
        let Some(pod) = self.0.get(cx, &PODS, At::namespaced(&namespace, &input.pod)).await? else {
            return Err(ActionError::permanent(format!("pod {namespace}/{}: not found", input.pod)).with_hint(
                "let the step need the one that makes the pod, or find its name with `kubernetes.objects.list`",
            ));
        };
        let container = running_container(&pod, input.container.as_deref());
        let container = container.map_err(|e| e.context(format_args!("pod {namespace}/{}", input.pod)))?.to_owned();
        Ok(Place { namespace, pod: input.pod.clone(), container })
    }

    /// Whether `unless` says that there is nothing to do; `None` without one.
    async fn is_done(&self, cx: &ActionContext, place: &Place, input: &ExecInput) -> Result<Option<bool>, ActionError> {
        let Some(words) = &input.unless else { return Ok(None) };
        let command = place.command(words, None, Effect::None);
        let ended = self.0.exec(cx, &command).await.map_err(|e| e.context("`unless`"))?;
        Ok(Some(ended.exit_code == 0))
    }

    async fn execute(&self, cx: &ActionContext, place: &Place, input: &ExecInput) -> Result<ExecOutput, ActionError> {
        cx.changed(format!("ran {:?} in {place}", input.command.join(" ")));
        let command = place.command(&input.command, input.stdin.as_deref(), Effect::Possible);
        let ended = self.0.exec(cx, &command).await?;
        let said = |bytes: &[u8]| cx.redactor().redact(&String::from_utf8_lossy(bytes));
        said(&ended.stderr).lines().for_each(|line| cx.log(line));
        if ended.exit_code != 0 {
            return Err(unsuccessful(place, input, &ended));
        }
        Ok(ExecOutput { ran: true, stdout: said(&ended.stdout), truncated: ended.truncated, exit_code: 0 })
    }
}

impl Action for PodExec {
    type Input = ExecInput;
    type Output = ExecOutput;
    const NAME: &'static str = "kubernetes.pod.exec";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Find;
    const SUMMARY: &'static str = "Runs a command in a container of a pod, unless another one says that it need not.";

    async fn run(&self, cx: &ActionContext, input: &ExecInput) -> Result<ExecOutput, ActionError> {
        let place = self.place(cx, input).await?;
        if self.is_done(cx, &place, input).await? == Some(true) {
            return Ok(ExecOutput::nothing_to_do());
        }
        self.execute(cx, &place, input).await
    }

    async fn find(&self, cx: &ActionContext, input: &ExecInput) -> Result<FindResult<ExecOutput>, ActionError> {
        let done = match input.unless {
            Some(_) => self.is_done(cx, &self.place(cx, input).await?, input).await?,
            None => None,
        };
        Ok(match done {
            Some(true) => FindResult::Present(ExecOutput::nothing_to_do()),
            Some(false) => FindResult::Absent,
            None if input.repeatable => FindResult::Absent,
            None => FindResult::Unclear(unclear(input)),
        })
    }

    async fn preview(&self, cx: &ActionContext, input: &ExecInput) -> Result<Preview, ActionError> {
        if input.unless.is_none() {
            return Ok(Preview::Opaque);
        }
        let place = self.place(cx, input).await?;
        if self.is_done(cx, &place, input).await? == Some(true) {
            return Preview::unchanged(&ExecOutput::nothing_to_do());
        }
        let difference = Difference::missing(format!("command in {place}"), input.command.join(" "));
        Ok(Preview::Changes { differences: vec![difference] })
    }
}

impl RequiredPermissions for PodExec {
    const PERMISSIONS: &'static [Permission] = &[];

    /// Servers before 1.35 ask for `get`, by which a WebSocket is opened, and later ones for `create`.
    fn for_input(with: &Value) -> Vec<Permission> {
        in_namespace_of(&["get pods", "get pods --subresource=exec", "create pods --subresource=exec"], with, None)
    }
}

impl ExecOutput {
    fn nothing_to_do() -> Self {
        Self { ran: false, stdout: String::new(), truncated: false, exit_code: 0 }
    }
}

impl Place {
    fn command<'a>(&'a self, words: &'a [String], stdin: Option<&'a str>, effect: Effect) -> Command<'a> {
        let at = At::namespaced(&self.namespace, &self.pod);
        Command { at, container: &self.container, words, stdin, effect }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pod {}/{}", self.namespace, self.pod)
    }
}

fn are_words(input: &str, words: &[String]) -> Result<(), ActionError> {
    match words.first() {
        Some(program) if !program.is_empty() => Ok(()),
        _ => Err(ActionError::permanent(format!("{input}: names no program"))
            .with_hint("write a list that begins with a program, such as [sh, -c, \"…\"]")),
    }
}

fn running_container<'a>(pod: &'a Value, wanted: Option<&'a str>) -> Result<&'a str, ActionError> {
    let container = container(pod, wanted)?;
    let phase = text(pod, "/status/phase").unwrap_or("Pending");
    if matches!(phase, "Succeeded" | "Failed") {
        return Err(ActionError::permanent(format!("has ended: its phase is {phase}")));
    }
    let mut statuses = list(pod, "/status/containerStatuses").chain(list(pod, "/status/initContainerStatuses"));
    let status = statuses.find(|status| status["name"] == container).unwrap_or(&Value::Null);
    if status.pointer("/state/running").is_some() {
        return Ok(container);
    }
    let why = ["/state/waiting/reason", "/state/terminated/reason"].iter().find_map(|at| text(status, at));
    let why = why.map_or_else(|| format!("the pod's phase is {phase}"), str::to_owned);
    Err(ActionError::transient(format!("container {container:?} does not run: {why}")))
}

fn container<'a>(pod: &'a Value, wanted: Option<&'a str>) -> Result<&'a str, ActionError> {
    let named = |at| list(pod, at).filter_map(|container| text(container, "/name"));
    let ordinary: Vec<_> = named("/spec/containers").collect();
    let preferred = text(pod, "/metadata/annotations/kubectl.kubernetes.io~1default-container");
    match (wanted.or(preferred), ordinary.as_slice()) {
        (Some(wanted), all) if all.contains(&wanted) || named("/spec/initContainers").any(|name| name == wanted) => {
            Ok(wanted)
        }
        (Some(wanted), all) => Err(ActionError::permanent(format!("has no container {wanted:?}"))
            .with_hint(format!("its containers are {}", all.join(", ")))),
        (None, [only]) => Ok(only),
        (None, all) => Err(ActionError::permanent("has several containers and none is named")
            .with_hint(format!("give `container`: one of {}", all.join(", ")))),
    }
}

fn unclear(input: &ExecInput) -> String {
    let program = input.command.first().map_or("", String::as_str);
    format!(
        "whether command {program:?} ran in pod {:?} cannot be told: give `unless`, a command that looks, or say \
         `repeatable: true` if it may run twice",
        input.pod
    )
}

fn unsuccessful(place: &Place, input: &ExecInput, ended: &Ended) -> ActionError {
    let reason = String::from_utf8_lossy(&ended.stderr);
    let reason = match reason.trim() {
        "" => "it said nothing on standard error".to_owned(),
        reason => reason.to_owned(),
    };
    let (program, code) = (&input.command[0], ended.exit_code);
    ActionError::permanent(format!("command {program:?} in {place} ended with exit code {code}: {reason}"))
}
