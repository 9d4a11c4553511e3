use super::request::ApiRequest;

/// Command of an `exec` request, with the streams that the client attaches.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a parameter of the request")]
pub(super) struct ExecRequest {
    /// Program, followed by its arguments.
    pub(super) words: Vec<String>,
    /// True if the client sends input.
    pub(super) stdin: bool,
    /// True if the client receives standard output.
    pub(super) stdout: bool,
    /// True if the client receives standard error; never with a terminal.
    pub(super) stderr: bool,
    /// True if the command runs in a terminal.
    pub(super) tty: bool,
}

impl ExecRequest {
    /// Parses the query parameters of a request.
    pub(super) fn of(request: &ApiRequest) -> Self {
        let words = request.query.iter().filter(|(key, _)| key == "command").map(|(_, value)| value.clone());
        let tty = request.is_set("tty");
        Self {
            words: words.collect(),
            stdin: request.is_set("stdin"),
            stdout: request.is_set("stdout"),
            // A terminal has a single output stream.
            stderr: request.is_set("stderr") && !tty,
            tty,
        }
    }
}
