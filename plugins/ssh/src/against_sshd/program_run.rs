use std::fs;

use serde_json::{Value, json};
use stargate_sdk::{FailureKind, FindResult, Preview};

use super::{
    actions::{registry, run},
    server::{TestSshd, context},
};

const ACTION: &str = "ssh.program.run";

async fn find(server: &TestSshd, mut input: Value) -> FindResult<Value> {
    input["host"] = json!(server.host());
    let registry = registry(server, "user");
    registry.find(ACTION).expect("registered").find(&context(), input).await.expect("a result")
}

async fn preview(server: &TestSshd, mut input: Value) -> Preview {
    input["host"] = json!(server.host());
    let registry = registry(server, "user");
    registry.find(ACTION).expect("registered").preview(&context(), input).await.expect("a preview")
}

#[tokio::test]
async fn arguments_and_input_arrive_as_they_are() {
    let Some(server) = TestSshd::start() else { return };
    let words = ["a b", "$HOME", "`id`", "'", "\"", "*", "\n", "-n", "é", ""];
    let args: Vec<&str> = ["%s|"].into_iter().chain(words).collect();
    let output = run(&server, ACTION, json!({ "program": "printf", "args": args })).await.expect("printf");
    assert_eq!(output["stdout"], words.map(|word| format!("{word}|")).concat());
    let output = run(&server, ACTION, json!({ "program": "cat", "stdin": "a\n$(id)\n" })).await.expect("cat");
    assert_eq!(
        (&output["stdout"], &output["exit_code"], &output["ran"]),
        (&json!("a\n$(id)\n"), &json!(0), &json!(true))
    );
}

#[tokio::test]
async fn other_exit_codes_fail_unless_they_are_expected() {
    let Some(server) = TestSshd::start() else { return };
    let script = json!({ "program": "sh", "args": ["-c", "echo broken >&2; exit 3"] });
    let error = run(&server, ACTION, script.clone()).await.expect_err("exit code 3");
    assert_eq!((error.kind, error.code.as_deref()), (FailureKind::Permanent, Some("exit_3")));
    assert!(error.message.contains("broken"), "{error}");
    let mut expected = script;
    expected["success_codes"] = json!([0, 3]);
    assert_eq!(run(&server, ACTION, expected).await.expect("3 is expected")["stderr"], "broken\n");
    let error = run(&server, ACTION, json!({ "program": "no-such-program" })).await.expect_err("no program");
    assert_eq!(error.code.as_deref(), Some("exit_127"));
}

#[tokio::test]
async fn a_secret_on_standard_input_is_not_in_the_output() {
    let Some(server) = TestSshd::start() else { return };
    server.write("token", "s3cr3t-token");
    let secrets = json!({ "token": format!("file:{}", server.path("token").display()) });
    let copy = server.path("copy");
    let input = json!({ "program": "tee", "args": [copy], "stdin": "key={{token}}", "secrets": secrets });
    let output = run(&server, ACTION, input).await.expect("tee");
    assert_eq!(fs::read_to_string(copy).expect("written"), "key=s3cr3t-token");
    assert!(!output.to_string().contains("s3cr3t"), "{output}");
}

#[tokio::test]
async fn a_program_with_nothing_to_do_does_not_run() {
    let Some(server) = TestSshd::start() else { return };
    let (count, made) = (server.path("count"), server.path("made"));
    let script = format!("echo x >> {}; touch {}", count.display(), made.display());
    let creates = json!({ "program": "sh", "args": ["-c", script], "creates": made });
    let unless = json!({ "program": "sh", "args": ["-c", script],
        "unless": { "program": "test", "args": ["-e", made] } });
    for input in [creates, unless] {
        fs::remove_file(&made).ok();
        fs::write(&count, "").expect("written");
        assert!(matches!(preview(&server, input.clone()).await, Preview::Changes { .. }));
        assert_eq!(find(&server, input.clone()).await, FindResult::Absent);
        assert_eq!(run(&server, ACTION, input.clone()).await.expect("first")["ran"], true);
        assert!(matches!(preview(&server, input.clone()).await, Preview::Unchanged { .. }));
        assert!(matches!(find(&server, input.clone()).await, FindResult::Present(_)));
        assert_eq!(run(&server, ACTION, input).await.expect("second")["ran"], false);
        assert_eq!(fs::read_to_string(&count).expect("written"), "x\n");
    }
    let never = json!({ "program": "true", "creates": server.path("never") });
    let error = run(&server, ACTION, never).await.expect_err("it does not make it");
    assert!(error.message.contains("still is something to do"), "{error}");
    let missing = json!({ "program": "true", "unless": { "program": "no-such-program" } });
    run(&server, ACTION, missing).await.expect_err("the condition cannot be judged");
}

#[tokio::test]
async fn a_program_whose_end_was_not_seen_is_in_doubt_without_a_condition() {
    let Some(server) = TestSshd::start() else { return };
    // Ends the session's own sshd: its end is not seen.
    let suicide = json!({ "program": "sh", "args": ["-c", "kill -9 $(ps -o ppid= -p $PPID) $PPID"] });
    let error = run(&server, ACTION, suicide.clone()).await.expect_err("lost");
    assert_eq!(error.kind, FailureKind::Unknown, "{error}");
    assert!(matches!(find(&server, suicide.clone()).await, FindResult::Unclear(_)));
    let mut conditional = suicide;
    conditional["creates"] = json!(server.path("never"));
    assert_eq!(find(&server, conditional).await, FindResult::Absent);
}
