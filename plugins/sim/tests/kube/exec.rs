use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use stargate_sim::kube::kubelet_stopped;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::Error;

use crate::harness::{Bench, open};

const NODE: &str = "aks-nodepool1-41954725-vmss000000";
const V5: &str = "v5.channel.k8s.io";
const V4: &str = "v4.channel.k8s.io";
const STREAMS: &str = "stdout=true&stderr=true";

/// What came of a command.
#[derive(Debug, Default)]
struct Done {
    stdout: String,
    stderr: String,
    status: Value,
}

impl Done {
    fn code(&self) -> i64 {
        match self.status["status"].as_str() {
            Some("Success") => 0,
            _ => {
                self.status["details"]["causes"][0]["message"].as_str().and_then(|code| code.parse().ok()).unwrap_or(-1)
            }
        }
    }

    fn message(&self) -> &str {
        self.status["message"].as_str().unwrap_or_default()
    }
}

/// A cluster with the pods `one` and `two`, which answer at port 8080.
async fn with_pods() -> Bench {
    let bench = open().await;
    for name in ["one", "two"] {
        let container = json!({"name": "c", "image": "x:1", "ports": [{"containerPort": 8080}],
            "env": [{"name": "COLOUR", "value": "red"}, {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]});
        make(&bench, name, &json!({"nodeName": NODE, "containers": [container]})).await;
    }
    bench
}

async fn make(bench: &Bench, name: &str, spec: &Value) {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
    assert_eq!(bench.admin("POST", "/api/v1/namespaces/default/pods", Some(&pod)).await.0, 201);
}

async fn address(bench: &Bench, name: &str) -> String {
    let (_, pod) = bench.admin("GET", &format!("/api/v1/namespaces/default/pods/{name}"), None).await;
    pod["status"]["podIP"].as_str().unwrap().to_owned()
}

async fn connect(
    bench: &Bench,
    token: &str,
    protocol: &str,
    pod: &str,
    query: &str,
) -> Result<WebSocketStream<TlsStream<TcpStream>>, (u16, Value)> {
    let url = bench.sim.kube_url().unwrap().replace("https://", "wss://");
    let mut request = format!("{url}/api/v1/namespaces/default/pods/{pod}/exec?{query}").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let place = url.trim_start_matches("wss://");
    let stream = TcpStream::connect(place).await.unwrap();
    let name = place.split(':').next().unwrap().to_owned().try_into().unwrap();
    let stream = TlsConnector::from(bench.tls()).connect(name, stream).await.unwrap();
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            Err((response.status().as_u16(), serde_json::from_slice(&body).unwrap_or_default()))
        }
        Err(error) => panic!("{error}"),
    }
}

/// Runs words, giving them input and, if the protocol can, its end.
async fn exec(
    bench: &Bench,
    protocol: &str,
    pod: &str,
    words: &[&str],
    stdin: Option<&str>,
) -> Result<Done, (u16, Value)> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(words.iter().map(|word| ("command", word)));
    query.append_pair("stdout", "true").append_pair("stderr", "true");
    if stdin.is_some() {
        query.append_pair("stdin", "true");
    }
    let mut socket = connect(bench, &bench.token, protocol, pod, &query.finish()).await?;
    if let Some(stdin) = stdin {
        socket.send(Message::binary([&[0], stdin.as_bytes()].concat())).await.unwrap();
        socket.send(Message::binary(vec![255, 0])).await.unwrap();
    }
    let mut done = Done::default();
    while let Some(Ok(message)) = socket.next().await {
        let Message::Binary(bytes) = message else { continue };
        let text = String::from_utf8(bytes[1..].to_vec()).unwrap();
        match bytes[0] {
            1 => done.stdout.push_str(&text),
            2 => done.stderr.push_str(&text),
            3 => done.status = serde_json::from_str(&text).unwrap(),
            other => panic!("channel {other}: {text}"),
        }
    }
    Ok(done)
}

async fn sh(bench: &Bench, pod: &str, script: &str) -> Done {
    exec(bench, V5, pod, &["sh", "-c", script], None).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_has_a_name_an_environment_a_disk_and_exit_codes() {
    let bench = with_pods().await;
    assert_eq!(exec(&bench, V5, "one", &["hostname"], None).await.unwrap().stdout, "one\n");
    let ip = address(&bench, "one").await;
    let done = sh(&bench, "one", "echo $COLOUR $IP $HOSTNAME; echo no >&2; exit 3").await;
    assert_eq!((done.stdout, done.stderr.as_str()), (format!("red {ip} one\n"), "no\n"));
    let done = sh(&bench, "one", "exit 3").await;
    assert_eq!((done.code(), done.status["reason"].as_str()), (3, Some("NonZeroExitCode")));
    assert_eq!(done.message(), "command terminated with non-zero exit code: command terminated with exit code 3");
    assert_eq!(sh(&bench, "one", "test -e /tmp/mark").await.code(), 1);
    assert_eq!(sh(&bench, "one", "touch /tmp/mark").await.code(), 0);
    assert_eq!(sh(&bench, "one", "test -e /tmp/mark").await.code(), 0, "the disk is the container's");
    assert_eq!(sh(&bench, "two", "test -e /tmp/mark").await.code(), 1, "and of no other");
    assert_eq!(sh(&bench, "one", "systemctl").await.code(), 127, "a container is no machine");
    assert_eq!(exec(&bench, V5, "one", &["cat"], Some("told\n")).await.unwrap().stdout, "told\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_the_same_name_begins_anew() {
    let bench = with_pods().await;
    assert_eq!(sh(&bench, "one", "touch /tmp/mark").await.code(), 0);
    let now = json!({"gracePeriodSeconds": 0});
    bench.admin("DELETE", "/api/v1/namespaces/default/pods/one", Some(&now)).await;
    make(&bench, "one", &json!({"nodeName": NODE, "containers": [{"name": "c", "image": "x:1"}]})).await;
    assert_eq!(sh(&bench, "one", "test -e /tmp/mark").await.code(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_between_pods_go_by_the_data_plane() {
    let bench = with_pods().await;
    let (one, two) = (address(&bench, "one").await, address(&bench, "two").await);
    let done = sh(&bench, "one", &format!("wget -qO- -T 3 http://{two}:8080/")).await;
    assert_eq!((done.code(), done.stdout), (0, format!("two {one}\n")));
    let done = sh(&bench, "one", "curl -s localhost:8080 || curl -s http://localhost:8080").await;
    assert!(done.stdout.starts_with("one "), "{done:?}");
    let done = sh(&bench, "one", &format!("wget -qO- http://{two}:81")).await;
    assert_eq!(
        (done.stderr, done.status["reason"].as_str()),
        (format!("wget: can't connect to remote host ({two}): Connection refused\n"), Some("NonZeroExitCode"))
    );
    let done = sh(&bench, "one", "wget -qO- -T 3 http://10.99.9.9:8080").await;
    assert_eq!((done.stderr.as_str(), done.code()), ("wget: download timed out\n", 1));
    let done = sh(&bench, "one", "curl -sS -m 3 http://10.99.9.9:8080").await;
    assert_eq!((done.stderr.as_str(), done.code()), ("curl: (28) Connection timed out after 3001 milliseconds\n", 28));
    let done = sh(&bench, "one", "wget -q http://nowhere.example").await;
    assert_eq!(done.stderr, "wget: bad address 'nowhere.example'\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_is_refused_in_the_runtimes_words() {
    let bench = with_pods().await;
    let check = async |program: &str, why: &str| {
        let done = exec(&bench, V5, "one", &[program], None).await.unwrap();
        assert_eq!(done.status["reason"], "InternalError", "{done:?}");
        assert!(done.message().ends_with(&format!("unable to start container process: {why}: unknown")), "{done:?}");
        assert!(
            done.message().starts_with("Internal error occurred: Internal error occurred: error executing"),
            "{done:?}"
        );
    };
    check("nope", "exec: \"nope\": executable file not found in $PATH").await;
    check("/bin/nope", "exec: \"/bin/nope\": stat /bin/nope: no such file or directory").await;
    check("/etc/passwd", "exec: \"/etc/passwd\": permission denied").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_protocol_speaks_with_the_kubelet_itself() {
    let bench = with_pods().await;
    let done = exec(&bench, V4, "one", &["sh", "-c", "echo a; exit 4"], None).await.unwrap();
    assert_eq!((done.stdout.as_str(), done.code()), ("a\n", 4));
    assert!(done.message().ends_with("error executing command [sh -c echo a; exit 4], exit code 4"), "{done:?}");
    kubelet_stopped(&mut bench.sim.shared().lock().kube, NODE);
    let (status, body) = exec(&bench, V4, "one", &["true"], None).await.unwrap_err();
    let message = body["message"].as_str().unwrap();
    assert_eq!(status, 500);
    assert!(message.starts_with("error dialing backend: dial tcp 10.224.0."), "{message}");
    let done = exec(&bench, V5, "one", &["true", "a b"], None).await.unwrap();
    assert!(done.message().contains("error sending request: Post \"https://10.224.0."), "{done:?}");
    assert!(
        done.message().contains("/exec/default/one/c?command=true&command=a+b&output=1&error=1\": dial tcp"),
        "{done:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_kubelet_refuses_is_its_answer_or_a_status() {
    let bench = with_pods().await;
    let waiting = json!([{"name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]);
    let patch = json!({"status": {"containerStatuses": waiting}});
    let kind = "application/merge-patch+json";
    bench.ask("PATCH", "/api/v1/namespaces/default/pods/two/status", &bench.token, kind, Some(&patch)).await;
    for (pod, query, code, why) in [
        ("two", STREAMS, 500, "container not found (\"c\")"),
        ("one", "", 400, "you must specify at least 1 of stdin, stdout, stderr"),
    ] {
        let query = format!("command=true&{query}");
        let (status, _) = connect(&bench, &bench.token, V4, pod, &query).await.unwrap_err();
        assert_eq!(status, code);
        let mut socket = connect(&bench, &bench.token, V5, pod, &query).await.unwrap();
        let Some(Ok(Message::Binary(told))) = socket.next().await else { panic!("nothing is told") };
        let told: Value = serde_json::from_slice(&told[1..]).unwrap();
        assert_eq!(told["message"], format!("Internal error occurred: unable to upgrade connection: {why}"));
    }
    let (status, body) = connect(&bench, &bench.token, "v9.channel.k8s.io", "one", STREAMS).await.unwrap_err();
    assert_eq!((status, body), (403, Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_of_any_type() {
    let bench = with_pods().await;
    let url =
        format!("{}/api/v1/namespaces/default/pods/one/exec?command=true&{STREAMS}", bench.sim.kube_url().unwrap());
    let request = bench.client.get(url).bearer_auth(&bench.token).header("upgrade", "websocket");
    let response = request.header("accept", "application/json").send().await.unwrap();
    assert_eq!(response.status().as_u16(), 406, "as Kubernetes 1.37 answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_before_the_upgrade() {
    let bench = with_pods().await;
    make(
        &bench,
        "both",
        &json!({"nodeName": NODE, "containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "x:1"}]}),
    )
    .await;
    make(&bench, "nowhere", &json!({"nodeSelector": {"a": "b"}, "containers": [{"name": "c", "image": "x:1"}]})).await;
    let check = async |pod: &str, query: &str, code: u16, message: &str| {
        let query = format!("command=true&{query}");
        let (status, body) = connect(&bench, &bench.token, V5, pod, &query).await.unwrap_err();
        assert_eq!((status, body["message"].as_str()), (code, Some(message)));
    };
    check("none", STREAMS, 404, "pods \"none\" not found").await;
    check("one", &format!("container=x&{STREAMS}"), 400, "container x is not valid for pod one").await;
    check("both", STREAMS, 400, "a container name must be specified for pod both, choose one of: [a b]").await;
    check("nowhere", STREAMS, 400, "pod nowhere does not have a host assigned").await;
    let (status, body) = bench.admin("POST", "/api/v1/namespaces/default/pods/one/exec?command=true", None).await;
    assert_eq!((status, body["message"].as_str()), (400, Some("Upgrade request required")));
}

#[tokio::test(flavor = "multi_thread")]
async fn get_is_one_right_and_post_is_another() {
    let bench = with_pods().await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "runner"}});
    bench.admin("POST", "/api/v1/namespaces/default/serviceaccounts", Some(&account)).await;
    let (_, issued) = bench
        .admin("POST", "/api/v1/namespaces/default/serviceaccounts/runner/token", Some(&json!({"spec": {}})))
        .await;
    let token = issued["status"]["token"].as_str().unwrap().to_owned();
    let query = format!("command=true&{STREAMS}");
    let (status, body) = connect(&bench, &token, V5, "one", &query).await.unwrap_err();
    let who = "User \"system:serviceaccount:default:runner\"";
    let why = format!(
        "pods \"one\" is forbidden: {who} cannot get resource \"pods/exec\" in API group \"\" in the namespace \"default\""
    );
    assert_eq!((status, body["message"].as_str()), (403, Some(why.as_str())));
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"},
        "rules": [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "r"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "runner", "namespace": "default"}]});
    let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    assert_eq!(bench.admin("POST", &format!("{path}/roles"), Some(&role)).await.0, 201);
    assert_eq!(bench.admin("POST", &format!("{path}/rolebindings"), Some(&binding)).await.0, 201);
    assert!(connect(&bench, &token, V5, "one", &query).await.is_ok());
    let path = format!("/api/v1/namespaces/default/pods/one/exec?{query}");
    assert_eq!(bench.ask("POST", &path, &token, "", None).await.0, 403, "that is `create`");
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_kubectl_runs_commands() {
    let bench = with_pods().await;
    let check = async |arguments: &[&str], code: i32, expected: &str| {
        let Some(output) = bench.kubectl(arguments).await else { return };
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "kubectl {}: {printed}", arguments.join(" "));
        assert!(printed.contains(expected), "kubectl {}: {printed}", arguments.join(" "));
    };
    check(&["exec", "one", "--", "hostname"], 0, "one\n").await;
    check(&["exec", "one", "--", "sh", "-c", "exit 5"], 5, "command terminated with exit code 5").await;
    check(&["exec", "none", "--", "true"], 1, "pods \"none\" not found").await;
    check(&["exec", "one", "-c", "x", "--", "true"], 1, "container x is not valid for pod one").await;
}
