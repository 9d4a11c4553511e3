use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use stargate_sdk::{FailureKind, FindResult, Preview};

use crate::{
    cluster::{Cluster, until},
    container::ExecResult,
};

const EXEC: &str = "kubernetes.pod.exec";
const WEB: &str = "/api/v1/namespaces/default/pods/web";

fn running(container: &str) -> Value {
    json!({"spec": {"containers": [{"name": container}]}, "status": {"phase": "Running",
        "containerStatuses": [{"name": container, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}})
}

/// A cluster whose pod `web` is running and handles commands with `container`.
async fn cluster(container: impl FnMut(&str, &str) -> ExecResult + Send + 'static) -> Cluster {
    let cluster = Cluster::start().await;
    cluster.fake.state().put(WEB, running("c"));
    cluster.fake.state().container = Some(Box::new(container));
    cluster
}

/// A cluster with a container in which `touch` creates the file that `test` checks for.
async fn with_marker() -> Cluster {
    let mark = AtomicBool::new(false);
    cluster(move |command, _| match command {
        "test -e mark" if mark.load(Ordering::SeqCst) => ExecResult::prints(""),
        "test -e mark" => ExecResult::fails(1, ""),
        _ => {
            mark.store(true, Ordering::SeqCst);
            ExecResult::prints("made\n")
        }
    })
    .await
}

fn marking() -> Value {
    json!({"pod": "web", "command": ["touch", "mark"], "unless": ["test", "-e", "mark"]})
}

#[tokio::test]
async fn a_command_gets_its_words_and_input_and_its_output_is_returned() {
    let cluster = cluster(|command, input| ExecResult::prints(&format!("{command}|{input}"))).await;
    let long = "ä".repeat(50_000);
    let input = json!({"pod": "web", "command": ["cat", "a b", "&c"], "stdin": long});
    let (output, changes) = cluster.actions.step(EXEC, input).await.expect("run");
    assert_eq!((output["ran"].as_bool(), output["exit_code"].as_i64()), (Some(true), Some(0)));
    let expected = format!("cat a b &c|{long}");
    let stdout = output["stdout"].as_str().expect("text");
    assert!(expected.starts_with(stdout.trim_end_matches('\u{fffd}')), "the beginning");
    assert_eq!((stdout.len() > 65_000, &output["truncated"]), (true, &json!(true)));
    assert_eq!(changes, ["ran \"cat a b &c\" in pod default/web"]);
}

#[tokio::test]
async fn a_command_whose_effect_exists_is_not_run_again() {
    let cluster = with_marker().await;
    let preview = cluster.actions.preview(EXEC, marking()).await.expect("preview");
    assert!(matches!(preview, Preview::Changes { .. }), "{preview:?}");
    assert_eq!(cluster.actions.find(EXEC, marking()).await.expect("found"), FindResult::Absent);
    let (first, changes) = cluster.actions.step(EXEC, marking()).await.expect("run");
    assert_eq!((first["ran"].as_bool(), first["stdout"].as_str(), changes.len()), (Some(true), Some("made\n"), 1));
    let (second, changes) = cluster.actions.step(EXEC, marking()).await.expect("run again");
    assert_eq!((second["ran"].as_bool(), changes.len()), (Some(false), 0));
    let preview = cluster.actions.preview(EXEC, marking()).await.expect("preview");
    assert_eq!(preview, Preview::Unchanged { output: second.clone() });
    assert_eq!(cluster.actions.find(EXEC, marking()).await.expect("found"), FindResult::Present(second));
    let touched = cluster.fake.state().commands.iter().filter(|command| *command == "touch mark").count();
    assert_eq!(touched, 1);
}

#[tokio::test]
async fn without_unless_the_outcome_is_unclear() {
    let cluster = cluster(|_, _| ExecResult::Breaks).await;
    let mut input = json!({"pod": "web", "command": ["date"]});
    let found = cluster.actions.find(EXEC, input.clone()).await.expect("found");
    assert!(matches!(&found, FindResult::Unclear(why) if why.contains("`unless`")), "{found:?}");
    assert_eq!(cluster.actions.preview(EXEC, input.clone()).await.expect("preview"), Preview::Opaque);
    input["repeatable"] = true.into();
    assert_eq!(cluster.actions.find(EXEC, input).await.expect("found"), FindResult::Absent);
    assert!(cluster.fake.state().commands.is_empty(), "find and preview run nothing");
}

#[tokio::test]
async fn a_lost_connection_is_unknown_for_the_command_and_transient_for_unless() {
    let lost = cluster(|_, _| ExecResult::Breaks).await;
    let (kind, error) = lost.fails(EXEC, json!({"pod": "web", "command": ["date"]})).await;
    assert_eq!((kind, error.contains("\"date\"")), (FailureKind::Unknown, true), "{error}");
    let (kind, error) = lost.fails(EXEC, marking()).await;
    assert_eq!((kind, error.contains("`unless`")), (FailureKind::Transient, true), "{error}");
}

#[tokio::test]
async fn a_command_that_does_not_exit_is_unknown_when_the_attempt_is_cancelled() {
    let cluster = cluster(|_, _| ExecResult::Hangs).await;
    let cx = cluster.actions.context(EXEC);
    let command = json!({"pod": "web", "command": ["sleep", "inf"]});
    let (result, ()) = tokio::join!(cluster.actions.run(&cx, EXEC, command), async {
        until(|| !cluster.fake.state().commands.is_empty()).await;
        cx.cancellation().cancel();
    });
    assert_eq!(result.expect_err("interrupted").kind, FailureKind::Unknown);
}

#[tokio::test]
async fn another_exit_code_is_a_failure_with_the_end_of_standard_error() {
    let cluster = cluster(|_, _| ExecResult::fails(7, "first line\nno such table\n")).await;
    let (kind, error) = cluster.fails(EXEC, json!({"pod": "web", "command": ["psql", "-c", "x"]})).await;
    assert_eq!(kind, FailureKind::Permanent);
    assert!(error.ends_with("\"psql\" in pod default/web exited with code 7: first line\nno such table"), "{error}");
}

#[tokio::test]
async fn a_missing_program_is_permanent_and_an_unreachable_kubelet_is_transient() {
    let check = async |message: &'static str, kind| {
        let report =
            move || ExecResult::Reports(json!({"status": "Failure", "reason": "InternalError", "message": message}));
        let cluster = cluster(move |_, _| report()).await;
        let (found, error) = cluster.fails(EXEC, json!({"pod": "web", "command": ["nope"]})).await;
        assert_eq!((found, error.contains(message)), (kind, true), "{error}");
    };
    check("exec failed: unable to start container process: exec: \"nope\": not found", FailureKind::Permanent).await;
    check("error dialing backend: dial tcp 10.0.0.4:10250: connect: connection refused", FailureKind::Transient).await;
    check("error reading from error stream: unexpected EOF", FailureKind::Unknown).await;
}

#[tokio::test]
async fn a_refused_upgrade_has_the_message_of_the_server() {
    let cluster = cluster(|_, _| ExecResult::Breaks).await;
    let check = async |code: u16, message: &str, kind| {
        let body = json!({"kind": "Status", "status": "Failure", "message": message, "reason": "r", "code": code});
        cluster.fake.state().refusals.push_back((code, body));
        let (found, error) = cluster.fails(EXEC, json!({"pod": "web", "command": ["date"]})).await;
        assert_eq!((found, error.contains(message)), (kind, true), "{error}");
    };
    check(403, "pods \"web\" is forbidden: User \"u\" cannot create resource \"pods/exec\"", FailureKind::Permanent)
        .await;
    check(500, "error dialing backend: dial tcp 10.0.0.4:10250: i/o timeout", FailureKind::Transient).await;
    check(500, "the store is away", FailureKind::Unknown).await;
    assert!(cluster.fake.state().commands.is_empty());
}

#[tokio::test]
async fn a_container_that_is_not_running_is_refused_before_the_command_is_sent() {
    use FailureKind::{Permanent, Transient};
    let cluster = Cluster::start().await;
    let check = async |pod: Option<Value>, input: Value, kind, words: &str| {
        cluster.fake.state().objects.remove(WEB);
        if let Some(pod) = pod {
            cluster.fake.state().put(WEB, pod);
        }
        let (found, error) = cluster.fails(EXEC, input).await;
        assert_eq!((found, error.contains(words)), (kind, true), "{error}");
    };
    let input = json!({"pod": "web", "command": ["date"]});
    let mut two = running("c");
    two["spec"]["containers"] = json!([{"name": "c"}, {"name": "d"}]);
    let mut waiting = running("c");
    waiting["status"] = json!({"phase": "Pending", "containerStatuses": [
        {"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]});
    let mut ended = running("c");
    ended["status"] = json!({"phase": "Succeeded"});
    check(None, input.clone(), Permanent, "pod default/web: not found").await;
    check(Some(waiting), input.clone(), Transient, "container \"c\" is not running: ImagePullBackOff").await;
    check(Some(ended), input.clone(), Permanent, "phase is Succeeded").await;
    check(Some(two), input, Permanent, "several containers").await;
    let wrong = json!({"pod": "web", "container": "x", "command": ["date"]});
    check(Some(running("c")), wrong, Permanent, "has no container \"x\"").await;
    check(Some(running("c")), json!({"pod": "web", "command": []}), Permanent, "names no program").await;
}
