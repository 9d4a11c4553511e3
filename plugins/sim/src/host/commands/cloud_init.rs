use super::options::CommandOptions;
use crate::host::io::Io;
use crate::host::process::{Exit, Halted, Process};
use crate::host::state::CloudInit;

/// Runs the command `cloud-init status [--wait] [--long] [--format=json]`.
pub(super) fn cloud_init(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "", &["format"]);
    if options.has("v", "version") {
        process.print(io, "/usr/bin/cloud-init 25.1.4\n")?;
        return Ok(0);
    }
    if options.rest.first().is_none_or(|verb| verb != "status") {
        return process.fail(io, 2, "usage: cloud-init [-h] [--version] [--debug] [--force] {init,modules,single,query,features,analyze,devel,collect-logs,clean,status,schema} ...");
    }
    let json = options.value('\0', "format").is_some_and(|format| format == "json");
    let waits = options.has("w", "wait");
    if waits {
        wait(process, io, json)?;
    }
    let state = process.with(|place| place.machine.cloud_init.clone())?;
    let text = if json {
        state.json()
    } else if options.has("l", "long") {
        state.long()
    } else {
        format!("{}status: {}\n", if waits { "\n" } else { "" }, state.status())
    };
    process.print(io, text)?;
    Ok(state.exit_status())
}

/// Waits until cloud-init has finished in this boot.
///
/// Prints a dot after each check, unless the output is JSON. A reboot ends the wait with `Halted`.
fn wait(process: &Process, io: &Io, json: bool) -> Result<(), Halted> {
    let mut progress = process.progress.subscribe();
    let runtime = tokio::runtime::Handle::current();
    loop {
        progress.mark_unchanged();
        if process.with(|place| CloudInit::ended(&place.machine.cloud_init))? {
            return Ok(());
        }
        if !json {
            process.print(io, ".")?;
        }
        runtime.block_on(progress.changed()).map_err(|_| Halted)?;
    }
}
