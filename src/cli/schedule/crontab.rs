use super::{JobCommand, OutputFile};
use crate::cli::{Failure, exit::Exit, settings::full};

/// Longest line that Debian's cron reads.
const MAX_LINE_BYTES: usize = 998;

/// A line for `crontab -e`.
pub(super) fn output_file(command: &JobCommand<'_>) -> Result<OutputFile, Failure> {
    let mut words = vec![command.program.display().to_string()];
    words.extend(command.words(&command.job.text.absolute_name()?, &full(&command.settings.journal)));
    words.extend(command.inputs_as_given());
    if words.iter().any(|word| word.contains(['\n', '\r'])) {
        return Err(unsuitable("a line of a crontab cannot hold an input of several lines"));
    }
    let quoted: Vec<_> = words.iter().map(|word| shell_quoted(word)).collect();
    // A bare % is a line break to cron, in quotes as well.
    let line = format!("{} {}", command.job.cron, quoted.join(" ").replace('%', "\\%"));
    if line.len() > MAX_LINE_BYTES {
        return Err(unsuitable(&format!(
            "a line of a crontab has at most {MAX_LINE_BYTES} bytes, this has {}",
            line.len()
        )));
    }
    let variables = command.variables();
    let needs = if variables.is_empty() {
        String::new()
    } else {
        format!("# Needs these variables above this line, or give the secrets as file:PATH: {}\n", variables.join(", "))
    };
    let text =
        format!("# {}: goes on with what was interrupted, else begins anew.\n{needs}{line}\n", command.job.name());
    Ok(OutputFile { name: "crontab".into(), text })
}

fn unsuitable(message: &str) -> Failure {
    Failure::new(Exit::Usage, message, "put the inputs in a file and give it with `--inputs FILE`")
}

/// A word that sh reads as it stands.
pub(super) fn shell_quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
