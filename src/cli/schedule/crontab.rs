use super::{Call, Written};
use crate::cli::{Failure, exit::Exit, settings::full};

/// Longest line that Debian's cron reads.
const LONGEST: usize = 998;

/// A line for `crontab -e`.
pub(super) fn written(call: &Call<'_>) -> Result<Written, Failure> {
    let mut words = vec![call.program.display().to_string()];
    words.extend(call.words(&call.job.text.lasting_name()?, &full(&call.settings.journal)));
    words.extend(call.inputs_here());
    if words.iter().any(|word| word.contains(['\n', '\r'])) {
        return Err(unfit("a line of a crontab cannot hold an input of several lines"));
    }
    let command: Vec<_> = words.iter().map(|word| shell_quoted(word)).collect();
    // A bare % is a line break to cron, in quotes as well.
    let line = format!("{} {}", call.job.cron, command.join(" ").replace('%', "\\%"));
    if line.len() > LONGEST {
        return Err(unfit(&format!("a line of a crontab has at most {LONGEST} bytes, this has {}", line.len())));
    }
    let variables = call.variables();
    let needs = if variables.is_empty() {
        String::new()
    } else {
        format!("# Needs these variables above this line, or give the secrets as file:PATH: {}\n", variables.join(", "))
    };
    let text = format!("# {}: goes on with what was interrupted, else begins anew.\n{needs}{line}\n", call.job.name());
    Ok(Written { name: "crontab".into(), text })
}

fn unfit(message: &str) -> Failure {
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
