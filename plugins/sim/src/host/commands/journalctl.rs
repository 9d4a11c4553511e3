use super::options::CommandOptions;
use crate::host::io::Io;
use crate::host::process::{Exit, Process};
use crate::host::state::unit_name;

/// Number of lines that `-n` without a number prints.
const LINES: usize = 10;

/// Runs the command `journalctl [-u UNIT] [-n LINES] [-o cat]`.
///
/// Prints the last message of a kubelet. The simulation keeps no log of other units.
pub(super) fn journalctl(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "uno", &["unit", "lines", "output"]);
    let said = process.with(|place| place.machine.kubelet.said.clone())?;
    let unit = options.value('u', "unit").map(unit_name);
    let is_meant = unit.is_none_or(|unit| unit == "kubelet.service");
    let prefix = if options.value('o', "output") == Some("cat") { "" } else { "kubelet: " };
    let most = options.value('n', "lines").map_or(usize::MAX, |lines| lines.parse().unwrap_or(LINES));
    let lines: Vec<&str> = said.lines().filter(|_| is_meant).collect();
    for line in &lines[lines.len().saturating_sub(most)..] {
        process.print(io, format!("{prefix}{line}\n"))?;
    }
    if lines.is_empty() && !options.has("q", "quiet") {
        process.print(io, "-- No entries --\n")?;
    }
    Ok(0)
}
