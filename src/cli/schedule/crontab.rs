//! Configuration for cron: one line of a crontab.

use super::{JobCommand, OutputFile};
use crate::cli::{Failure, exit::Exit, settings::full};

/// Maximum length of a line that Debian's cron reads, in bytes.
const MAX_LINE_BYTES: usize = 998;

/// Returns a line for `crontab -e`.
pub(super) fn output_file(command: &JobCommand<'_>) -> Result<OutputFile, Failure> {
    if command.args.catch_up {
        let hint = "use `--print systemd`, or `stargate schedule NAME --catch-up`";
        return Err(Failure::usage("cron does not start what was due while it was not running", hint));
    }
    let mut words = vec![command.program.display().to_string()];
    words.extend(command.arguments(&command.job.text.absolute_name()?, &full(&command.settings.journal)));
    words.extend(command.inputs_as_given());
    if words.iter().any(|word| word.contains(['\n', '\r'])) {
        return Err(unsuitable("a crontab line cannot contain an input of several lines"));
    }
    let quoted: Vec<_> = words.iter().map(|word| shell_quoted(word)).collect();
    // A bare % is a line break for cron, also within quotes.
    let line = format!("{} {}", command.job.cron, quoted.join(" ").replace('%', "\\%"));
    if line.len() > MAX_LINE_BYTES {
        return Err(unsuitable(&format!(
            "a crontab line has at most {MAX_LINE_BYTES} bytes, this one has {}",
            line.len()
        )));
    }
    let variables = command.variables();
    let needs = if variables.is_empty() {
        String::new()
    } else {
        format!("# Set these variables above this line, or use file:PATH for the secrets: {}\n", variables.join(", "))
    };
    let zone = command.zone.as_ref().map(|zone| format!("# Meant for the time zone {zone}.\n")).unwrap_or_default();
    let head = format!("# {}: cancels an interrupted run and starts a new one.\n", command.job.name());
    let text = format!("{head}{zone}{needs}{line}\n");
    Ok(OutputFile { name: "crontab".into(), text })
}

fn unsuitable(message: &str) -> Failure {
    Failure::new(Exit::Usage, message, "put the inputs into a file and add `--inputs FILE`")
}

/// Quotes a word for sh.
pub(super) fn shell_quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
