use super::call::Call;

/// Command of an `exec` request, with the streams that the client attaches.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a parameter of the request")]
pub(super) struct ExecRequest {
    /// Program and its arguments.
    pub(super) words: Vec<String>,
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    pub(super) tty: bool,
}

impl ExecRequest {
    /// Reads the parameters of a request.
    pub(super) fn of(call: &Call) -> Self {
        let words = call.query.iter().filter(|(key, _)| key == "command").map(|(_, value)| value.clone());
        let tty = call.is_set("tty");
        Self {
            words: words.collect(),
            stdin: call.is_set("stdin"),
            stdout: call.is_set("stdout"),
            // A terminal has one output.
            stderr: call.is_set("stderr") && !tty,
            tty,
        }
    }
}
