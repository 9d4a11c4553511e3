/// Text before the exit code on the last line of a command's output.
const MARKER: &str = "stargate-exit:";

/// Line of input after which a command starts that waits for it.
pub(super) const GATE: &str = "start\n";

/// Returns the shell command `line`, which starts when it has read [`GATE`] and does not start at
/// the end of the input. The rest of the input is the command's.
pub(super) fn after_gate(line: &str) -> String {
    format!("read -r start || exit 255; {line}")
}

/// Returns the shell command `line`, extended to print its exit code on a last line of its own.
///
/// ssh's own exit code is 255 both for a lost connection and for a command that exits with 255.
pub(super) fn with_exit_code(line: &str) -> String {
    format!("{line}; echo {MARKER}$?")
}

/// Splits the command's own output and its exit code; `None` if the connection was lost before the
/// command ended.
pub(super) fn split_exit_code(mut output: Vec<u8>) -> Option<(Vec<u8>, i32)> {
    let text = output.strip_suffix(b"\n")?;
    let start = text.windows(MARKER.len()).rposition(|window| window == MARKER.as_bytes())?;
    let code = str::from_utf8(&text[start + MARKER.len()..]).ok()?.parse().ok()?;
    output.truncate(start);
    Some((output, code))
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };

    use super::*;

    fn run(line: &str) -> Vec<u8> {
        Command::new("sh").args(["-c", &with_exit_code(line)]).output().expect("sh").stdout
    }

    #[test]
    fn the_exit_code_is_separated_from_the_output() {
        assert_eq!(split_exit_code(run("printf 'no newline'")), Some((b"no newline".to_vec(), 0)));
        assert_eq!(split_exit_code(run("(echo out; exit 255)")), Some((b"out\n".to_vec(), 255)));
        assert_eq!(split_exit_code(run("nothing-here 2>/dev/null")), Some((Vec::new(), 127)));
        assert_eq!(split_exit_code(run("echo stargate-exit:0; false")), Some((b"stargate-exit:0\n".to_vec(), 1)));
    }

    #[test]
    fn a_command_behind_the_gate_starts_after_its_line_and_gets_the_rest_of_the_input() {
        let run = |input: &str| {
            let mut child = Command::new("sh")
                .args(["-c", &with_exit_code(&after_gate("cat"))])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("sh");
            child.stdin.take().expect("stdin").write_all(input.as_bytes()).expect("written");
            child.wait_with_output().expect("ended").stdout
        };
        assert_eq!(split_exit_code(run(&format!("{GATE}two\nlines"))), Some((b"two\nlines".to_vec(), 0)));
        assert_eq!(split_exit_code(run(GATE)), Some((Vec::new(), 0)));
        assert_eq!(run(""), b"", "it was not started");
    }

    #[test]
    fn incomplete_output_has_no_exit_code() {
        for output in
            ["", "out\n", "out\nstargate-ex", "out\nstargate-exit:", "out\nstargate-exit:1", "stargate-exit:x\n"]
        {
            assert_eq!(split_exit_code(output.into()), None, "{output:?}");
        }
    }
}
