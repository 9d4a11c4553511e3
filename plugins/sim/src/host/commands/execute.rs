use super::{
    agnhost, apt, cloud_init, curl, file, identity, ip, iptables, journalctl, network, nft, openssl, sysctl, systemctl,
    tailscale, text, wget,
};
use crate::host::io::Io;
use crate::host::process::{Execution, Exit, Halted, Process};
use crate::host::shell::{Dialect, Shell};
use crate::host::state::Kind;

/// Executes a program of the machine: the [`Loader`](crate::host::process::Loader) of its
/// processes.
pub(crate) fn execute(process: &mut Process, io: &Io, words: &[String]) -> Result<Execution, Halted> {
    let Some((path, kind)) = process.program(&words[0])? else { return Ok(Execution::NotFound) };
    let actor = process.actor.clone();
    if !process.with(|place| place.machine.files.permits(&actor, &path, 1))? {
        return Ok(Execution::Refused);
    }
    let status = match kind {
        Kind::Program(name) => program(process, io, &name, words)?,
        _ => script(process, io, &path, words)?,
    };
    Ok(Execution::Exited(status))
}

/// Runs a file as a shell script.
///
/// Its first line selects bash, if it names it, and dash otherwise.
fn script(process: &mut Process, io: &Io, path: &str, words: &[String]) -> Exit {
    let actor = process.actor.clone();
    let text = process.with(|place| place.machine.files.read(&actor, path))?;
    let Ok(text) = text else { return process.fail(io, 126, format!("{}: Permission denied", words[0])) };
    let text = String::from_utf8_lossy(&text).into_owned();
    let bash = text.lines().next().is_some_and(|line| line.starts_with("#!") && line.contains("bash"));
    let dialect = if bash { Dialect::Bash } else { Dialect::Dash };
    Shell::new(&mut process.clone(), dialect, &words[0], &words[1..], io).run(&text)
}

/// Calls the implementation of the simulated program `name`.
fn program(process: &mut Process, io: &Io, name: &str, words: &[String]) -> Exit {
    let arguments = &words[1..];
    match name {
        "sh" | "dash" | "bash" => shell(process, io, name, arguments),
        "sudo" => sudo(process, io, arguments),
        "env" => environment(process, io, arguments),
        "timeout" => within(process, io, arguments),
        "ip" => ip::ip(process, io, arguments),
        "sysctl" => sysctl::sysctl(process, io, arguments),
        "iptables" => iptables::iptables(process, io, arguments),
        "nft" => nft::nft(process, io, arguments),
        "networkctl" => network::networkctl(process, io, arguments),
        "systemctl" => systemctl::systemctl(process, io, arguments),
        "reboot" | "shutdown" => systemctl::reboot(process, io),
        "tailscale" => tailscale::tailscale(process, io, arguments),
        "cloud-init" => cloud_init::cloud_init(process, io, arguments),
        "apt-get" | "apt" => apt::apt(process, io, arguments),
        "dpkg-query" | "dpkg" => apt::dpkg_query(process, io, name, arguments),
        "curl" => curl::curl(process, io, arguments),
        "wget" => wget::wget(process, io, arguments),
        "agnhost" => agnhost::agnhost(process, io, arguments),
        "openssl" => openssl::openssl(process, io, arguments),
        "journalctl" => journalctl::journalctl(process, io, arguments),
        // The answer to `timedatectl show -p NTPSynchronized --value`.
        "timedatectl" => {
            process.print(io, "yes\n")?;
            Ok(0)
        }
        "df" => {
            process.print(io, "     Avail\n25769803776\n")?;
            Ok(0)
        }
        "hostname" | "hostnamectl" | "whoami" | "id" | "uname" | "nproc" | "date" | "pwd" | "sleep" => {
            identity::run(process, io, name, arguments)
        }
        "cat" | "chmod" | "chown" | "chgrp" | "cp" | "dd" | "install" | "ln" | "ls" | "mkdir" | "mktemp" | "mv"
        | "readlink" | "rm" | "rmdir" | "stat" | "sync" | "tee" | "touch" => file::run(process, io, name, arguments),
        "echo" | "printf" | "test" | "[" | "true" | "false" | "head" | "tail" | "grep" | "wc" | "sha256sum"
        | "base64" | "sort" | "cut" | "tr" | "basename" | "dirname" => text::run(process, io, name, arguments),
        "containerd" => {
            process.print(io, "containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24~ds1-6+deb13u1\n")?;
            Ok(0)
        }
        _ => process.fail(io, 1, format!("{name}: not simulated")),
    }
}

/// Runs the command `sh [-eux] [-s] [-c SCRIPT] [NAME] [ARGUMENT…]`.
fn shell(process: &mut Process, io: &Io, name: &str, arguments: &[String]) -> Exit {
    let dialect = if name == "bash" { Dialect::Bash } else { Dialect::Dash };
    let is_option = |word: &&String| word.len() > 1 && word.starts_with('-') && *word != "--";
    let flags: Vec<&String> = arguments.iter().take_while(is_option).collect();
    let mut rest = &arguments[flags.len()..];
    if rest.first().is_some_and(|word| word == "--") {
        rest = &rest[1..];
    }
    let letters: String = flags.iter().filter(|flag| !flag.starts_with("--")).map(|flag| &flag[1..]).collect();
    let mut process = process.clone();
    let (script, called, rest) = if letters.contains('c') {
        let Some((script, rest)) = rest.split_first() else {
            return process.fail(io, 2, format!("{name}: 0: -c requires an argument"));
        };
        let called = rest.first().map_or(name, String::as_str);
        (script.clone(), called.to_owned(), rest.get(1..).unwrap_or_default())
    } else if letters.contains('s') || rest.is_empty() {
        (String::from_utf8_lossy(&io.input.read()).into_owned(), name.to_owned(), rest)
    } else {
        let path = process.path(&rest[0]);
        let actor = process.actor.clone();
        match process.with(|place| place.machine.read_file(&actor, &path))? {
            Ok(text) => (String::from_utf8_lossy(&text).into_owned(), rest[0].clone(), &rest[1..]),
            Err(_) => return process.fail(io, 2, format!("{name}: 0: cannot open {}: No such file", rest[0])),
        }
    };
    let mut shell = Shell::new(&mut process, dialect, &called, rest, io);
    shell.set_options(&letters.replace(['c', 's'], ""), true);
    shell.run(&script)
}

/// Runs the command `sudo [-n] [-E] [-H] [-u USER] [NAME=VALUE…] COMMAND…`.
///
/// Never asks for a password: without a rule in sudoers it fails.
fn sudo(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    let mut user = "root".to_owned();
    let mut rest = arguments;
    while let Some(option) = rest.first().filter(|word| word.starts_with('-')) {
        rest = &rest[1..];
        match option.as_str() {
            "--" => break,
            "-u" | "--user" => {
                user = rest.first().cloned().unwrap_or_default();
                rest = rest.get(1..).unwrap_or_default();
            }
            _ => {}
        }
    }
    let name = process.actor.user.clone();
    if !process.with(|place| place.machine.may_sudo(&name))? {
        return process.fail(io, 1, "sudo: a password is required");
    }
    let Some(mut inner) = process.for_user(&user)? else {
        return process.fail(io, 1, format!("sudo: unknown user {user}"));
    };
    inner.directory.clone_from(&process.directory);
    inner.environment.insert("SUDO_USER".to_owned(), name);
    while let Some((name, value)) = rest.first().and_then(|word| word.split_once('=')).filter(|_| rest.len() > 1) {
        inner.environment.insert(name.to_owned(), value.to_owned());
        rest = &rest[1..];
    }
    if rest.is_empty() {
        return process.fail(io, 1, "usage: sudo -h | -K | -k | -V");
    }
    match inner.execute(io, rest)? {
        Execution::Exited(status) => Ok(status),
        Execution::NotFound => process.fail(io, 1, format!("sudo: {}: command not found", rest[0])),
        Execution::Refused => process.fail(io, 1, format!("sudo: unable to execute {}: Permission denied", rest[0])),
    }
}

/// Runs the command `env [-i] [NAME=VALUE…] [COMMAND…]`; without a command it prints the
/// environment.
fn environment(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    let mut inner = process.clone();
    let mut rest = arguments;
    while let Some(word) = rest.first() {
        if word == "-i" || word == "-" {
            inner.environment.clear();
        } else if let Some((name, value)) = word.split_once('=') {
            inner.environment.insert(name.to_owned(), value.to_owned());
        } else {
            break;
        }
        rest = &rest[1..];
    }
    if rest.is_empty() {
        let lines: Vec<String> = inner.environment.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        process.print(io, lines.concat())?;
        return Ok(0);
    }
    found("env", &mut inner, io, rest)
}

/// Runs the command `timeout DURATION COMMAND…`.
///
/// The duration is not enforced, because simulated programs end quickly.
fn within(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    let rest: Vec<String> = arguments.iter().skip_while(|word| word.starts_with('-')).skip(1).cloned().collect();
    if rest.is_empty() {
        return process.fail(io, 125, "timeout: missing operand");
    }
    found("timeout", process, io, &rest)
}

/// Runs the command that another program, such as `env`, was given.
///
/// Prints the caller's message if it does not exist or cannot be executed (exit status 127 or 126).
fn found(caller: &str, process: &mut Process, io: &Io, words: &[String]) -> Exit {
    match process.execute(io, words)? {
        Execution::Exited(status) => Ok(status),
        Execution::NotFound => {
            let verb = if caller == "timeout" { "failed to run command " } else { "" };
            process.fail(io, 127, format!("{caller}: {verb}‘{}’: No such file or directory", words[0]))
        }
        Execution::Refused => process.fail(io, 126, format!("{caller}: ‘{}’: Permission denied", words[0])),
    }
}
