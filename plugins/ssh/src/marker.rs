/// What stands before the exit code on the last line of a command's output.
const MARKER: &str = "stargate-exit:";

/// `line`, followed by its exit code on a line of its own.
///
/// ssh's own exit code cannot tell a command that ended with 255 from a lost connection.
pub(crate) fn marked(line: &str) -> String {
    format!("{line}; echo {MARKER}$?")
}

/// The command's own output and its exit code; `None` when the connection was lost before the command had ended.
pub(crate) fn unmarked(mut output: Vec<u8>) -> Option<(Vec<u8>, i32)> {
    let text = output.strip_suffix(b"\n")?;
    let start = text.windows(MARKER.len()).rposition(|window| window == MARKER.as_bytes())?;
    let code = str::from_utf8(&text[start + MARKER.len()..]).ok()?.parse().ok()?;
    output.truncate(start);
    Some((output, code))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn run(line: &str) -> Vec<u8> {
        Command::new("sh").args(["-c", &marked(line)]).output().expect("sh").stdout
    }

    #[test]
    fn the_exit_code_of_a_command_is_told_from_its_output() {
        assert_eq!(unmarked(run("printf 'no newline'")), Some((b"no newline".to_vec(), 0)));
        assert_eq!(unmarked(run("(echo out; exit 255)")), Some((b"out\n".to_vec(), 255)));
        assert_eq!(unmarked(run("nothing-here 2>/dev/null")), Some((Vec::new(), 127)));
        assert_eq!(unmarked(run("echo stargate-exit:0; false")), Some((b"stargate-exit:0\n".to_vec(), 1)));
    }

    #[test]
    fn output_that_breaks_off_has_no_exit_code() {
        for output in
            ["", "out\n", "out\nstargate-ex", "out\nstargate-exit:", "out\nstargate-exit:1", "stargate-exit:x\n"]
        {
            assert_eq!(unmarked(output.into()), None, "{output:?}");
        }
    }
}
