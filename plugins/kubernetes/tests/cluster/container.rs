use axum::extract::ws::{Message, WebSocket};
use serde_json::{Value, json};

use crate::fake::Fake;

/// Decides what becomes of a command.
pub(crate) type Container = Box<dyn FnMut(&str, &str) -> Outcome + Send>;

/// What becomes of a command.
pub(crate) enum Outcome {
    /// It says this and ends.
    Ends { stdout: Vec<u8>, stderr: &'static str, code: i32 },
    /// The server says this of it.
    Told(Value),
    /// The connection breaks while it runs.
    Breaks,
    /// It does not end.
    Hangs,
}

impl Outcome {
    pub(crate) fn says(stdout: &str) -> Self {
        Self::Ends { stdout: stdout.into(), stderr: "", code: 0 }
    }

    pub(crate) fn fails(code: i32, stderr: &'static str) -> Self {
        Self::Ends { stdout: Vec::new(), stderr, code }
    }
}

/// Runs a command as the API server has a kubelet do.
pub(crate) async fn serve(mut socket: WebSocket, query: &str, fake: &Fake) {
    let parameters: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let is =
        |name: &'static str| parameters.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str());
    let command = is("command").collect::<Vec<_>>().join(" ");
    let input = if is("stdin").next() == Some("true") { input(&mut socket).await } else { String::new() };
    let outcome = {
        let mut world = fake.world();
        world.commands.push(command.clone());
        world.container.as_mut().expect("a test with commands has a container")(&command, &input)
    };
    match outcome {
        Outcome::Ends { stdout, stderr, code } => {
            for part in stdout.chunks(1000) {
                say(&mut socket, 1, part).await;
            }
            say(&mut socket, 2, stderr.as_bytes()).await;
            say(&mut socket, 3, ending(code).to_string().as_bytes()).await;
        }
        Outcome::Told(status) => say(&mut socket, 3, status.to_string().as_bytes()).await,
        Outcome::Breaks => {}
        Outcome::Hangs => drop(socket.recv().await),
    }
}

/// Everything up to the message that says that there is no more.
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

/// A client that has gone hears nothing.
async fn say(socket: &mut WebSocket, stream: u8, what: &[u8]) {
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
