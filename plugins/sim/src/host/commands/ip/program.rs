use super::address::addresses;
use super::options::IpOptions;
use super::route_change::change;
use super::route_get::get;
use super::route_show::show;
use super::rule::rules;
use crate::host::io::Io;
use crate::host::process::{Exit, Process};

/// Runs the command `ip [-json] [-details] [-4|-6] OBJECT COMMAND …`.
///
/// Objects are `address`, `link`, `route` and `rule`, which may be abbreviated. The simulated
/// kernel has IPv4 only: with `-6` every list of routes is empty.
pub(in crate::host::commands) fn ip(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    let count = arguments.iter().take_while(|word| word.starts_with('-')).count();
    let (options, words) = arguments.split_at(count);
    let has = |names: &[&str]| options.iter().any(|option| names.contains(&option.as_str()));
    let options = IpOptions { json: has(&["-j", "-json", "--json"]), six: has(&["-6"]) };
    if has(&["-V", "-Version"]) {
        process.print(io, "ip utility, iproute2-6.15.0, libbpf 1.5.0\n")?;
        return Ok(0);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((object, rest)) = words.split_first() else {
        return process.fail(io, 255, "Usage: ip [ OPTIONS ] OBJECT { COMMAND | help }");
    };
    let is = |name: &str, shortest: usize| object.len() >= shortest && name.starts_with(object);
    if is("address", 1) {
        addresses(process, io, options, rest, true)
    } else if is("link", 1) {
        addresses(process, io, options, rest, false)
    } else if is("route", 1) {
        route(process, io, options, rest)
    } else if is("rule", 2) {
        rules(process, io, options, rest)
    } else {
        process.fail(io, 1, format!("Object \"{object}\" is unknown, try \"ip help\"."))
    }
}

/// Runs the command `ip route COMMAND …`; the default command is `show`.
fn route(process: &Process, io: &Io, options: IpOptions, words: &[&str]) -> Exit {
    let (verb, rest) = words.split_first().map_or(("show", words), |(verb, rest)| (*verb, rest));
    match verb {
        "show" | "list" | "ls" | "sh" => show(process, io, options, rest),
        "get" | "g" => get(process, io, options, rest),
        "add" | "a" | "replace" | "change" | "append" | "del" | "delete" | "d" => change(process, io, verb, rest),
        _ => process.fail(io, 255, format!("Command \"{verb}\" is unknown, try \"ip route help\".")),
    }
}
