use super::copy::{cp, install, ln, mv};
use super::create::{mkdir, mktemp, touch};
use super::list::{ls, readlink, stat};
use super::permissions::{chmod, chown};
use super::remove::{rm, rmdir};
use super::stream::{cat, dd, tee};
use crate::host::io::Io;
use crate::host::process::{Exit, Process};

/// Runs one of the programs that handle files, by its name.
pub(in crate::host::commands) fn run(process: &mut Process, io: &Io, name: &str, arguments: &[String]) -> Exit {
    match name {
        "cat" => cat(process, io, arguments),
        "chmod" => chmod(process, io, arguments),
        "chown" | "chgrp" => chown(process, io, name, arguments),
        "cp" => cp(process, io, arguments),
        "dd" => dd(process, io, arguments),
        "install" => install(process, io, arguments),
        "ln" => ln(process, io, arguments),
        "ls" => ls(process, io, arguments),
        "mkdir" => mkdir(process, io, arguments),
        "mktemp" => mktemp(process, io, arguments),
        "mv" => mv(process, io, arguments),
        "readlink" => readlink(process, io, arguments),
        "rm" => rm(process, io, arguments),
        "rmdir" => rmdir(process, io, arguments),
        "stat" => stat(process, io, arguments),
        "tee" => tee(process, io, arguments),
        "touch" => touch(process, io, arguments),
        _ => Ok(0), // sync: each write is on the disk immediately
    }
}
