//! Servers that answer with anything: bodies without end, compressed ones that grow, redirects, and
//! success without the promised object; and hosts that print without end. The program fails with
//! few words, in bounded memory, and sends no credential anywhere else.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue panics")]

#[path = "hostile/host.rs"]
mod host;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};

/// Largest resident memory of the program, in KiB.
const MAX_MEMORY_KIB: u64 = 150 * 1024;

/// Body with which a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hostility {
    /// One string that never ends.
    Endless,
    /// 256 MiB, compressed to 256 KiB.
    Bomb,
    /// 3 MiB of empty objects.
    SmallValues,
    /// A redirect to another origin, which keeps the method and the body.
    Redirect,
    /// Status 200 with an error as body.
    ErrorWithSuccess,
    /// Status 200 with a list where an object was promised.
    List,
}

const ALL: [Hostility; 6] = [
    Hostility::Endless,
    Hostility::Bomb,
    Hostility::SmallValues,
    Hostility::Redirect,
    Hostility::ErrorWithSuccess,
    Hostility::List,
];

/// Server with one behaviour, and another origin that must never be called.
struct HostileServer {
    url: String,
    /// Requests that the other origin got.
    stray: Arc<Mutex<Vec<String>>>,
    /// Number of requests that the server answered with its hostility.
    answered: Arc<Mutex<usize>>,
}

impl HostileServer {
    /// Starts the server. Requests whose path contains `spared` get a token.
    fn start(hostility: Hostility, spared: Option<&'static str>, bomb: Arc<Vec<u8>>) -> Self {
        let stray = Arc::new(Mutex::new(Vec::new()));
        let other = serve({
            let stray = Arc::clone(&stray);
            move |request, stream| {
                stray.lock().unwrap().push(request);
                respond(stream, "200 OK", "", br#"{"access_token": "stolen-token", "value": [], "devices": []}"#);
            }
        });
        let answered = Arc::new(Mutex::new(0));
        let count = Arc::clone(&answered);
        let url = serve(move |request, stream| {
            let path = request.split(' ').nth(1).unwrap_or_default();
            if spared.is_some_and(|spared| path.contains(spared)) {
                return respond(stream, "200 OK", "", br#"{"access_token": "granted-token", "expires_in": 3600}"#);
            }
            *count.lock().unwrap() += 1;
            match hostility {
                Hostility::Endless => endless(stream),
                Hostility::Bomb => respond(stream, "200 OK", "content-encoding: gzip\r\n", &bomb),
                Hostility::SmallValues => {
                    let values = "{},".repeat(1 << 19);
                    let body = format!(r#"{{"metadata": {{}}, "value": [{values}{{}}], "items": [{values}{{}}]}}"#);
                    respond(stream, "200 OK", "", body.as_bytes());
                }
                Hostility::Redirect => {
                    let location = format!("location: {other}{path}\r\n");
                    respond(stream, "307 Temporary Redirect", &location, b"");
                }
                Hostility::ErrorWithSuccess => {
                    respond(stream, "200 OK", "", br#"{"error": {"code": "Gone", "message": "no"}}"#);
                }
                Hostility::List => respond(stream, "200 OK", "", b"[]"),
            }
        });
        Self { url, stray, answered }
    }
}

/// Serves each request on a connection of its own; returns the URL.
fn serve(answer: impl Fn(String, &mut TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || {
                if let Some(request) = read_request(&stream) {
                    answer(request, &mut stream);
                }
            });
        }
    });
    url
}

/// Reads one request, and returns its head and body.
fn read_request(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8_lossy(&body))
}

// A client that closes the connection early has read enough.
fn respond(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).ok();
}

fn endless(stream: &mut TcpStream) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{\"x\r\n";
    let part = [b"10000\r\n".as_slice(), &vec![b'x'; 0x10000], b"\r\n"].concat();
    if stream.write_all(head.as_bytes()).is_ok() {
        while stream.write_all(&part).is_ok() {}
    }
}

fn bomb() -> Arc<Vec<u8>> {
    let script = "head -c 268435456 /dev/zero | tr '\\0' '[' | gzip -9";
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    assert!(output.status.success() && output.stdout.len() > 1000);
    Arc::new(output.stdout)
}

/// Runs a workflow with one step, and returns its output and its largest memory in KiB.
fn run(folder: &Path, url: &str, action: &str, with: &str) -> (Option<i32>, String, u64) {
    let step = format!("{{uses: {action}, timeout: 1h, retry: {{attempts: 1}}, with: {with}}}");
    let kubeconfig = folder.join("kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "planted-cluster-token"}}],
    });
    fs::write(&kubeconfig, config.to_string()).unwrap();
    let mut command = program(folder, &format!("name: w\nsteps:\n  s: {step}\n"));
    command.env("STARGATE_KUBECONFIG", kubeconfig);
    command.env("STARGATE_AZURE_ENDPOINT", url).env("STARGATE_AZURE_TOKEN", "env:ARM").env("ARM", "planted-arm-token");
    command.env("STARGATE_AZURE_SUBSCRIPTION", "44654aed-2753-4b88-9142-af7132933b6b");
    command.env("STARGATE_TAILSCALE_ENDPOINT", url).env("TAILSCALE_CLIENT_ID", "planted-id");
    command.env("TAILSCALE_CLIENT_SECRET", "planted-secret");
    run_program(folder, command)
}

/// Returns the command that runs a workflow, with a journal in `folder` and no other settings.
fn program(folder: &Path, workflow: &str) -> Command {
    let path = folder.join("w.yaml");
    fs::write(&path, workflow).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_stargate"));
    command.args(["run", "workflow"]).arg(path).env_clear().stdin(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", folder);
    command.env("STARGATE_JOURNAL", folder.join("j.db"));
    command
}

/// Runs the command, and returns exit code, output and the largest memory in KiB.
fn run_program(folder: &Path, mut command: Command) -> (Option<i32>, String, u64) {
    let output = folder.join("output");
    let file = fs::File::create(&output).unwrap();
    command.stdout(file.try_clone().unwrap()).stderr(file);
    let mut child = command.spawn().unwrap();
    let memory = peak_memory(&mut child);
    (child.wait().unwrap().code(), fs::read_to_string(output).unwrap(), memory)
}

/// Waits for the end of the program, and returns the largest resident memory that was seen.
fn peak_memory(child: &mut Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let seen = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(seen.unwrap_or(0));
        thread::sleep(std::time::Duration::from_millis(2));
    }
    peak
}

fn check(action: &str, with: &str, spared: Option<&'static str>) {
    let bomb = bomb();
    for hostility in ALL {
        let folder = tempfile::tempdir().unwrap();
        let server = HostileServer::start(hostility, spared, Arc::clone(&bomb));
        let (code, output, memory) = run(folder.path(), &server.url, action, with);
        let case = format!("{action}, {hostility:?}: {output}");
        assert!(code.is_some_and(|code| code != 0), "{code:?}: {case}");
        assert!(*server.answered.lock().unwrap() > 0, "{case}");
        assert!(memory < MAX_MEMORY_KIB, "{memory} KiB: {case}");
        assert!(output.len() < 4096 && !output.contains("planted-"), "{case}");
        assert_eq!(*server.stray.lock().unwrap(), Vec::<String>::new(), "{case}");
    }
}

const TOKEN_PATH: &str = "/oauth/token";

#[test]
fn azure_resource_manager() {
    check("azure.route_table.ensure", "{resource_group: g, name: t, location: canadacentral}", None);
}

#[test]
fn tailscale() {
    check("tailscale.devices.list", "{except: []}", Some(TOKEN_PATH));
}

#[test]
fn the_token_endpoint_of_tailscale() {
    check("tailscale.devices.list", "{except: []}", None);
}

#[test]
fn an_object_of_kubernetes() {
    check("kubernetes.object.get", "{api_version: v1, kind: ConfigMap, namespace: default, name: x}", None);
}

#[test]
fn a_list_of_kubernetes() {
    check("kubernetes.nodes.list", "{}", None);
}

#[test]
fn a_next_page_at_another_origin_gets_no_credential() {
    let stray = Arc::new(Mutex::new(Vec::new()));
    let other = serve({
        let stray = Arc::clone(&stray);
        move |request, stream| {
            stray.lock().unwrap().push(request);
            respond(stream, "200 OK", "", br#"{"value": []}"#);
        }
    });
    let url = serve(move |_, stream| {
        let body = json!({"value": [], "nextLink": format!("{other}/subscriptions/s?page=2")});
        respond(stream, "200 OK", "", body.to_string().as_bytes());
    });
    let folder = tempfile::tempdir().unwrap();
    let (code, output, _) = run(folder.path(), &url, "azure.virtual_network.discover", "{resource_group: g}");
    assert!(code.is_some_and(|code| code != 0) && !output.contains("planted-"), "{code:?}: {output}");
    assert!(output.contains("URL outside its own domain"), "{output}");
    assert_eq!(*stray.lock().unwrap(), Vec::<String>::new(), "{output}");
}

/// Pages of a list, each with a token for a next one.
#[derive(Debug, Clone, Copy)]
enum Pages {
    /// One item each.
    Small,
    /// An item with 2 MiB of text each.
    Large,
    /// 200,000 numbers each.
    Values,
}

impl Pages {
    /// Returns an item of a list of Azure or Kubernetes.
    fn item(self) -> Value {
        let name = json!({"name": "x", "resourceVersion": "1", "uid": "u"});
        let content = match self {
            Self::Small => json!("x"),
            Self::Large => json!("x".repeat(2 << 20)),
            Self::Values => json!(vec![1; 200_000]),
        };
        json!({"id": "/x", "name": "x", "metadata": name, "data": {"x": content}})
    }
}

#[test]
fn lists_whose_pages_never_end() {
    for pages in [Pages::Small, Pages::Large, Pages::Values] {
        for action in ["azure.virtual_network.discover", "kubernetes.nodes.list", "kubernetes.objects.list"] {
            let answered = Arc::new(Mutex::new(0));
            let own_url = Arc::new(Mutex::new(String::new()));
            let url = serve({
                let (answered, own_url, item) = (Arc::clone(&answered), Arc::clone(&own_url), pages.item());
                move |_, stream| {
                    *answered.lock().unwrap() += 1;
                    let page = *answered.lock().unwrap();
                    let next = format!("{}/subscriptions/s/next?page={page}", own_url.lock().unwrap());
                    let of_azure = action.starts_with("azure");
                    let body = json!({
                        "kind": "List", "apiVersion": "v1", "metadata": {"continue": format!("page-{page}")},
                        "resources": [{"name": "configmaps", "kind": "ConfigMap", "namespaced": true}],
                        (if of_azure { "value" } else { "items" }): [item], "nextLink": next,
                    });
                    respond(stream, "200 OK", "", body.to_string().as_bytes());
                }
            });
            own_url.lock().unwrap().clone_from(&url);
            let folder = tempfile::tempdir().unwrap();
            let with = match action {
                "azure.virtual_network.discover" => "{resource_group: g}",
                "kubernetes.nodes.list" => "{}",
                _ => "{api_version: v1, kind: ConfigMap}",
            };
            let (code, output, memory) = run(folder.path(), &url, action, with);
            let case = format!("{action}, {pages:?}, {memory} KiB: {output}");
            assert_eq!(code, Some(3), "{case}");
            assert!(memory < MAX_MEMORY_KIB && output.len() < 4096, "{case}");
            let answered = *answered.lock().unwrap();
            assert!((2..1100).contains(&answered), "{answered} pages: {case}");
            assert!(output.contains("pages") || output.contains("MiB"), "{case}");
        }
    }
}

/// Object of a cluster whose only value has this length.
fn object_of(bytes: usize) -> String {
    let metadata = json!({"name": "x", "namespace": "default", "uid": "u", "resourceVersion": "1"});
    json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": {"x": "x".repeat(bytes)}}).to_string()
}

#[test]
fn the_output_of_a_step_at_its_limit_and_beyond() {
    const LIMIT: usize = 1 << 20;
    let around = object_of(0).len() + r#"{"exists":true,"object":}"#.len();
    for (bytes, expected) in [(1000, 0), (LIMIT - around, 0), (LIMIT - around + 1, 3)] {
        let url = serve(move |request, stream| {
            let resources = json!([{"name": "configmaps", "kind": "ConfigMap", "namespaced": true, "verbs": ["get"]}]);
            let body = match request.split(' ').nth(1) {
                Some("/api/v1") => json!({"kind": "APIResourceList", "resources": resources}).to_string(),
                _ => object_of(bytes),
            };
            respond(stream, "200 OK", "", body.as_bytes());
        });
        let folder = tempfile::tempdir().unwrap();
        let object = "{api_version: v1, kind: ConfigMap, namespace: default, name: x}";
        let (code, output, memory) = run(folder.path(), &url, "kubernetes.object.get", object);
        let case = format!("{bytes} bytes, {memory} KiB: {output}");
        assert_eq!(code, Some(expected), "{case}");
        assert!(memory < MAX_MEMORY_KIB && output.len() < 4096, "{case}");
        if expected != 0 {
            assert!(output.contains("it has 1048577 bytes, more than the limit of 1048576"), "{case}");
        }
    }
}
