use std::time::Duration;

use jiff::Timestamp;

use super::options::CommandOptions;
use crate::host::io::Io;
use crate::host::process::{Exit, Process};

/// Runs one of the programs that report the user, the host or the time.
pub(super) fn run(process: &mut Process, io: &Io, name: &str, arguments: &[String]) -> Exit {
    match name {
        "hostname" => hostname(process, io, arguments),
        "hostnamectl" => set_hostname(process, io, arguments),
        "whoami" => line(process, io, &process.actor.user.clone()),
        "id" => id(process, io, arguments),
        "uname" => uname(process, io, arguments),
        "nproc" => line(process, io, "2"),
        "pwd" => line(process, io, &process.directory.clone()),
        "sleep" => sleep(process, io, arguments),
        _ => date(process, io, arguments),
    }
}

/// Prints one line and returns exit status 0.
fn line(process: &Process, io: &Io, text: &str) -> Exit {
    process.print(io, format!("{text}\n"))?;
    Ok(0)
}

/// Runs the command `hostname [-I] [NAME]`.
///
/// With a name it sets the kernel's host name until the next boot, which requires root.
fn hostname(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "", &[]);
    if let Some(name) = options.rest.first() {
        if !process.actor.is_root() {
            return process.fail(io, 1, "hostname: you must be root to change the host name");
        }
        process
            .change("hostname", |place| {
                place.machine.hostname.clone_from(name);
                Ok::<_, ()>(())
            })?
            .unwrap_or_default();
        return Ok(0);
    }
    let addresses = process.with(|place| {
        let interfaces = place.machine.interfaces(place.tailnet);
        let all = interfaces.iter().skip(1).flat_map(|interface| interface.addresses.clone());
        all.map(|address| format!("{} ", address.addr())).collect::<Vec<_>>().concat()
    })?;
    let name = process.with(|place| place.machine.hostname.clone())?;
    line(process, io, if options.has("I", "all-ip-addresses") { &addresses } else { &name })
}

/// Runs the command `hostnamectl set-hostname NAME`.
///
/// Sets the kernel's host name and `/etc/hostname`, which requires root. Without a verb it prints
/// the host name only.
fn set_hostname(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let [verb, name] = arguments else {
        let name = process.with(|place| place.machine.hostname.clone())?;
        return line(process, io, &format!(" Static hostname: {name}"));
    };
    if verb != "set-hostname" && verb != "hostname" {
        return process.fail(io, 1, format!("Unknown command verb '{verb}'."));
    }
    if !process.actor.is_root() {
        return process.fail(io, 1, "Could not set static hostname: Access denied");
    }
    process
        .change("hostname", |place| {
            place.machine.hostname.clone_from(name);
            place.machine.files.put("/etc/hostname", 0o644, format!("{name}\n"));
            Ok::<_, ()>(())
        })?
        .unwrap_or_default();
    Ok(0)
}

/// Runs the command `id [-u] [-g] [-G] [-n] [USER]`.
fn id(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "", &[]);
    let name = options.rest.first().unwrap_or(&process.actor.user).clone();
    let account = process.with(|place| {
        let account = place.machine.account(&name)?;
        let groups = place.machine.files.text("/etc/group").unwrap_or_default();
        Some((account, groups))
    })?;
    let Some((account, groups)) = account else {
        return process.fail(io, 1, format!("id: ‘{name}’: no such user"));
    };
    let number = |group: &str| {
        let line = groups.lines().find(|line| line.split(':').next() == Some(group));
        line.and_then(|line| line.split(':').nth(2)).unwrap_or("0").to_owned()
    };
    let own = account.groups.first().cloned().unwrap_or_default();
    let all: Vec<String> = account.groups.iter().map(|group| format!("{}({group})", number(group))).collect();
    let text = match (options.has("u", ""), options.has("g", ""), options.has("G", ""), options.has("n", "")) {
        (true, _, _, true) => name,
        (true, _, _, false) => account.uid.to_string(),
        (_, true, _, true) => own,
        (_, true, _, false) => account.gid.to_string(),
        (_, _, true, true) => account.groups.join(" "),
        _ => format!("uid={}({name}) gid={}({own}) groups={}", account.uid, account.gid, all.join(",")),
    };
    line(process, io, &text)
}

/// Runs the command `uname [-a] [-snrvmo]` with the kernel version of Debian 13's cloud image.
fn uname(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "", &[]);
    let name = process.with(|place| place.machine.hostname.clone())?;
    let all = options.has("a", "all");
    let mut words: Vec<&str> = Vec::new();
    let fields = [
        ("s", "kernel-name", "Linux"),
        ("n", "nodename", name.as_str()),
        ("r", "kernel-release", "6.12.48+deb13-cloud-amd64"),
        ("v", "kernel-version", "#1 SMP PREEMPT_DYNAMIC Debian 6.12.48-1 (2025-09-20)"),
        ("m", "machine", "x86_64"),
        ("o", "operating-system", "GNU/Linux"),
    ];
    for (letter, word, value) in fields {
        if all || options.has(letter, word) {
            words.push(value);
        }
    }
    if words.is_empty() {
        words.push("Linux");
    }
    line(process, io, &words.join(" "))
}

/// Runs the command `date [+FORMAT]` in UTC.
///
/// The clock is the one of the computer that runs the simulation.
fn date(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let now = Timestamp::now();
    let format = arguments.iter().find_map(|argument| argument.strip_prefix('+'));
    let text = match format {
        Some("%s") => now.as_second().to_string(),
        Some(format) => now.strftime(format).to_string(),
        None => now.strftime("%a %b %e %H:%M:%S UTC %Y").to_string(),
    };
    line(process, io, &text)
}

/// Runs the command `sleep SECONDS`, for at most one minute of real time.
///
/// A reboot or deletion of the machine ends it early with `Halted`.
fn sleep(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let Some(seconds) = arguments.first().and_then(|word| word.trim_end_matches('s').parse::<f64>().ok()) else {
        return process.fail(io, 1, "sleep: missing operand");
    };
    let mut left = Duration::try_from_secs_f64(seconds.min(60.0)).unwrap_or_default();
    while !left.is_zero() {
        let step = left.min(Duration::from_millis(50));
        std::thread::sleep(step);
        left -= step;
        process.with(|_| ())?;
    }
    Ok(0)
}
