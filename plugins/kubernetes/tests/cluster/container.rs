use axum::extract::ws::{Message, WebSocket};
use serde_json::{Value, json};

use crate::fake::FakeApiServer;

/// Handler of commands: words and input in, result out.
pub(crate) type ExecHandler = Box<dyn FnMut(&str, &str) -> ExecResult + Send>;

/// Result of a command.
pub(crate) enum ExecResult {
    /// The command writes this and exits.
    Ends { stdout: Vec<u8>, stderr: &'static str, code: i32 },
    /// The server reports this `Status`.
    Reports(Value),
    /// The connection is lost while the command runs.
    Breaks,
    /// The command does not exit.
    Hangs,
}

impl ExecResult {
    pub(crate) fn prints(stdout: &str) -> Self {
        Self::Ends { stdout: stdout.into(), stderr: "", code: 0 }
    }

    pub(crate) fn fails(code: i32, stderr: &'static str) -> Self {
        Self::Ends { stdout: Vec::new(), stderr, code }
    }
}

/// Handles a command as API server and kubelet do.
pub(crate) async fn serve(mut socket: WebSocket, query: &str, fake: &FakeApiServer) {
    let parameters: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let is =
        |name: &'static str| parameters.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str());
    let command = is("command").collect::<Vec<_>>().join(" ");
    let input = if is("stdin").next() == Some("true") { input(&mut socket).await } else { String::new() };
    let outcome = {
        let mut world = fake.state();
        world.commands.push(command.clone());
        world.container.as_mut().expect("a test with commands has a container")(&command, &input)
    };
    match outcome {
        ExecResult::Ends { stdout, stderr, code } => {
            for part in stdout.chunks(1000) {
                send(&mut socket, 1, part).await;
            }
            send(&mut socket, 2, stderr.as_bytes()).await;
            send(&mut socket, 3, ending(code).to_string().as_bytes()).await;
        }
        ExecResult::Reports(status) => send(&mut socket, 3, status.to_string().as_bytes()).await,
        ExecResult::Breaks => {}
        ExecResult::Hangs => drop(socket.recv().await),
    }
}

/// Reads the input up to the message that ends it.
async fn input(socket: &mut WebSocket) -> String {
    let mut text = Vec::new();
    while let Some(Ok(message)) = socket.recv().await {
        match message {
            Message::Binary(bytes) if bytes[..] == [255, 0] => break,
            Message::Binary(bytes) if bytes[0] == 0 => text.extend_from_slice(&bytes[1..]),
            _ => {}
        }
    }
    String::from_utf8(text).expect("text")
}

/// Sends a part of a stream. A client that has disconnected is ignored.
async fn send(socket: &mut WebSocket, stream: u8, what: &[u8]) {
    drop(socket.send(Message::Binary([&[stream], what].concat().into())).await);
}

fn ending(code: i32) -> Value {
    if code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: command terminated with exit code {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}
