use serde_json::json;

use super::options::{IpOptions, print_json, read_network};
use crate::host::io::Io;
use crate::host::process::{Exit, Process};

/// Runs the command `ip rule show`.
///
/// The rules of tailscaled (priorities 5210 to 5270) are listed while its unit is active. A change
/// of the rules is not simulated.
pub(super) fn rules(process: &Process, io: &Io, options: IpOptions, words: &[&str]) -> Exit {
    if words.first().is_some_and(|verb| !matches!(*verb, "show" | "list" | "ls" | "lst")) {
        return process.fail(io, 255, format!("Command \"{}\" is unknown, try \"ip rule help\".", words[0]));
    }
    let tailscale = read_network(process, |machine, _| machine.unit_active("tailscaled"))?;
    if options.json {
        let mut values = vec![json!({"priority": 0, "src": "all", "table": "local"})];
        if tailscale {
            let marked = |priority: u32, key: &str, value: &str| json!({"priority": priority, "src": "all", "fwmark": "0x80000", "fwmask": "0xff0000", key: value});
            values.extend([
                marked(5210, "table", "main"),
                marked(5230, "table", "default"),
                marked(5250, "action", "unreachable"),
                json!({"priority": 5270, "src": "all", "table": "52"}),
            ]);
        }
        values.push(json!({"priority": 32766, "src": "all", "table": "main"}));
        values.push(json!({"priority": 32767, "src": "all", "table": "default"}));
        return print_json(process, io, &values);
    }
    let marked = "5210:\tfrom all fwmark 0x80000/0xff0000 lookup main\n5230:\tfrom all fwmark 0x80000/0xff0000 lookup default\n\
        5250:\tfrom all fwmark 0x80000/0xff0000 unreachable\n5270:\tfrom all lookup 52\n";
    let marked = if tailscale { marked } else { "" };
    let text =
        format!("0:\tfrom all lookup local\n{marked}32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n");
    process.print(io, text)?;
    Ok(0)
}
