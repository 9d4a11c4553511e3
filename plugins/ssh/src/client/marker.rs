/// Text before the exit code on the last line of a command's output.
const MARKER: &str = "stargate-exit:";

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
    use std::process::Command;

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
    fn incomplete_output_has_no_exit_code() {
        for output in
            ["", "out\n", "out\nstargate-ex", "out\nstargate-exit:", "out\nstargate-exit:1", "stargate-exit:x\n"]
        {
            assert_eq!(split_exit_code(output.into()), None, "{output:?}");
        }
    }
}
