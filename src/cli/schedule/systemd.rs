//! Configuration for systemd: a service and a timer.

use std::fmt::Write as _;

use stargate::workflow::{Cron, CronField, CronItem};

use super::{JobCommand, OutputFile};
use crate::cli::{Failure, settings::full};

/// Smallest and largest values of minute, hour, day and month.
const BOUNDS: [(u8, u8); 4] = [(0, 59), (0, 23), (1, 31), (1, 12)];
const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// Returns a service that runs the job once, and a timer that starts it.
pub(super) fn output_files(command: &JobCommand<'_>) -> Result<Vec<OutputFile>, Failure> {
    let name = command.name();
    let file = |kind: &str, text: String| OutputFile { name: format!("/etc/systemd/system/{name}.{kind}"), text };
    Ok(vec![file("service", service(command, &name)?), file("timer", timer(command))])
}

/// Returns the service. Secrets are read from an environment file, which needs mode 0600.
fn service(command: &JobCommand<'_>, name: &str) -> Result<String, Failure> {
    let mut words = vec![command.program.display().to_string()];
    words.extend(command.arguments(&command.job.text.absolute_name()?, &full(&command.settings.journal)));
    words.extend(command.inputs_as_given());
    let quoted_words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    let variables = command.variables();
    let secrets = if variables.is_empty() {
        String::new()
    } else {
        format!(
            "# This file must set {} and have mode 0600.\nEnvironmentFile=/etc/stargate/{name}.env\n",
            variables.join(", ")
        )
    };
    let state = command.settings.ssh_state.parent().and_then(|state| state.parent()).map(full);
    let state = state.map(|state| format!("Environment={}\n", quoted(&format!("XDG_STATE_HOME={state}"))));
    Ok(format!(
        "[Unit]
Description=stargate: {name}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
{}{secrets}ExecStart={}
# Exit codes for a lock that another run holds, and for a run that another process owns: not failures.
SuccessExitStatus=10 20 75
",
        state.unwrap_or_default(),
        quoted_words.join(" "),
        name = command.job.name(),
    ))
}

/// Returns the timer.
fn timer(command: &JobCommand<'_>) -> String {
    let mut text = format!(
        "[Unit]\nDescription=stargate: {} by its schedule, {}\n\n[Timer]\n",
        command.job.name(),
        command.job.cron
    );
    let zone = command.zone.as_ref().map(|zone| format!(" {zone}")).unwrap_or_default();
    for calendar in calendars(&command.job.cron) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "OnCalendar={calendar}{zone}");
    }
    let persistent = if command.args.catch_up { "Persistent=true\n" } else { "" };
    format!("{text}AccuracySec=1s\n{persistent}\n[Install]\nWantedBy=timers.target\n")
}

/// Returns the calendar events of systemd that elapse when `cron` is due.
pub(super) fn calendars(cron: &Cron) -> Vec<String> {
    let [minute, hour, day, month, weekday] = cron.fields();
    let time = format!("{}:{}:00", numbers(hour, BOUNDS[1]), numbers(minute, BOUNDS[0]));
    let month = numbers(month, BOUNDS[3]);
    let days = weekday.days().iter().map(|&day| DAYS[usize::from(day)]).collect::<Vec<_>>().join(",");
    if cron.is_due_on_either_day() {
        // One event of systemd requires both days; cron accepts either, so there are two events.
        return vec![format!("*-{month}-{} {time}", numbers(day, BOUNDS[2])), format!("{days} *-{month}-* {time}")];
    }
    let days = if weekday.is_any() { String::new() } else { format!("{days} ") };
    vec![format!("{days}*-{month}-{} {time}", numbers(day, BOUNDS[2]))]
}

/// Formats a field. Steps are expanded, because systemd 252 drops the first minute of all hours but
/// the first for `00/7`.
fn numbers(field: &CronField, (least, most): (u8, u8)) -> String {
    let stepped = |from: u8, to: u8, step: u8| {
        let values: Vec<_> = (from..=to).step_by(step.into()).map(|value| format!("{value:02}")).collect();
        values.join(",")
    };
    let item = |item: &CronItem| match *item {
        CronItem::Every { step: 1 } => "*".to_owned(),
        CronItem::Every { step } => stepped(least, most, step),
        CronItem::Range { from, to, .. } if from == to => format!("{from:02}"),
        CronItem::Range { from, to, step: 1 } => format!("{from:02}..{to:02}"),
        CronItem::Range { from, to, step } => stepped(from, to, step),
    };
    field.items().iter().map(item).collect::<Vec<_>>().join(",")
}

/// Quotes a word for `ExecStart=`.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let escaped: String = word
        .chars()
        .map(|c| match c {
            '\\' => r"\\".into(),
            '"' => "\\\"".into(),
            '%' => "%%".into(),
            '$' => "$$".into(),
            '\n' => r"\n".into(),
            '\t' => r"\t".into(),
            c if c.is_control() => format!("\\x{:02x}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_form_in_systemd() {
        let cases = [
            ("*/15 * * * *", vec!["*-*-* *:00,15,30,45:00"]),
            ("0,30 9-17 * * mon-fri", vec!["Mon,Tue,Wed,Thu,Fri *-*-* 09..17:00,30:00"]),
            ("0 12 */10 1,7 *", vec!["*-01,07-01,11,21,31 12:00:00"]),
            ("0 0 13 * 5", vec!["*-*-13 00:00:00", "Fri *-*-* 00:00:00"]),
        ];
        for (cron, expected) in cases {
            assert_eq!(calendars(&cron.parse().expect("a schedule")), expected, "{cron}");
        }
    }

    #[test]
    fn a_quoted_word_reaches_the_program_unchanged() {
        let cases = [
            ("--input=a=b", "--input=a=b"),
            ("", "\"\""),
            ("50% of $HOME \"x\" \\ 'y'", "\"50%% of $$HOME \\\"x\\\" \\\\ 'y'\""),
            ("two\nlines", "\"two\\nlines\""),
        ];
        for (word, expected) in cases {
            assert_eq!(quoted(word), expected);
        }
    }
}
