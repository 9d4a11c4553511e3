use super::options::CommandOptions;
use super::web::{self, Answer};
use crate::host::image::TAILSCALE_LIST;
use crate::host::io::Io;
use crate::host::process::{Exit, Halted, Process};

/// Equivalent of `https://tailscale.com/install.sh` on Debian.
///
/// `LIST` is replaced by the path of the source list.
const INSTALL: &str = r#"#!/bin/sh
set -eu
curl -fsSL https://pkgs.tailscale.com/stable/debian/trixie.noarmor.gpg | tee /usr/share/keyrings/tailscale-archive-keyring.gpg >/dev/null
curl -fsSL https://pkgs.tailscale.com/stable/debian/trixie.tailscale-keyring.list | tee LIST >/dev/null
apt-get update
apt-get install -y tailscale tailscale-archive-keyring
echo "Installation complete! Log in to start using Tailscale by running:"
echo
echo "tailscale up"
"#;

/// URL of the key that signs Tailscale's repository.
const KEYRING: &str = "https://pkgs.tailscale.com/stable/debian/trixie.noarmor.gpg";
/// URL of the apt source list for Tailscale's repository.
const LIST: &str = "https://pkgs.tailscale.com/stable/debian/trixie.tailscale-keyring.list";

/// Runs the command `curl [-fsSL] [-o FILE] [-w FORMAT] [--data-urlencode msg@-] URL`.
///
/// Knows the few pages that an installation needs, the mirror of the simulated world, the API
/// server and the pods. Any other host does not resolve, which is exit status 6.
pub(super) fn curl(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(
        arguments,
        "oHmXduw",
        &[
            "output",
            "header",
            "max-time",
            "retry",
            "connect-timeout",
            "request",
            "write-out",
            "noproxy",
            "speed-limit",
            "speed-time",
            "data-urlencode",
        ],
    );
    let Some(url) = options.rest.first() else {
        return process.fail(
            io,
            2,
            "curl: no URL specified!\ncurl: try 'curl --help' or 'curl --manual' for more information",
        );
    };
    let (page, status) = match fetched(process, url) {
        Some(Ok(page)) => (page, 200),
        Some(Err(status)) if options.has("f", "fail") => {
            return process.fail(io, 22, format!("curl: (22) The requested URL returned error: {status}"));
        }
        Some(Err(status)) => (String::new(), status),
        None => match web::ask(process, url, message(io, &options).as_deref()) {
            Answer::Page(page) => (page, 200),
            Answer::Status(status) => (String::new(), status),
            failure => {
                let exit = unreached(process, io, url, &options, &failure)?;
                write_out(process, io, &options, 0, 0)?;
                return Ok(exit);
            }
        },
    };
    let size = page.len();
    match options.value('o', "output") {
        None | Some("-") => process.print(io, page)?,
        Some("/dev/null") => {}
        Some(file) if !written(process, file, &page)? => {
            return process.fail(io, 23, "curl: (23) client returned ERROR on write");
        }
        Some(_) => {}
    }
    write_out(process, io, &options, status, size)?;
    Ok(0)
}

/// Returns the form field `msg` that `--data-urlencode msg@-` reads from the input, if it is given.
fn message(io: &Io, options: &CommandOptions) -> Option<String> {
    let given = options.value('-', "data-urlencode").is_some_and(|field| field == "msg@-");
    given.then(|| String::from_utf8_lossy(&io.input.read()).into_owned())
}

/// Prints the format of `-w`: the status, the size of the body, and a duration of a millisecond.
fn write_out(process: &mut Process, io: &Io, options: &CommandOptions, status: u16, size: usize) -> Exit {
    let Some(format) = options.value('w', "write-out") else { return Ok(0) };
    let text = format.replace("%{http_code}", &status.to_string()).replace("%{size_download}", &size.to_string());
    let text = text.replace("%{time_total}", "0.001000").replace("%{time_connect}", "0.000500").replace("\\n", "\n");
    process.print(io, text)?;
    Ok(0)
}

/// Writes a page to a file. Returns false if the file system refuses.
fn written(process: &Process, file: &str, page: &str) -> Result<bool, Halted> {
    let (path, mode) = (process.path(file), 0o666 & !process.umask);
    let actor = process.actor.clone();
    let written =
        process.change("file", |place| place.machine.write_file(&actor, &path, page.as_bytes(), false, mode))?;
    Ok(written.is_ok())
}

/// Returns the response of a simulated server: a page, or an HTTP status without one.
///
/// `None` means that no server has this URL; a pod may still answer.
fn fetched(process: &Process, url: &str) -> Option<Result<String, u16>> {
    if let Some(page) = page(url) {
        return Some(Ok(page));
    }
    if let Some(answer) = crate::mirror::fetch(url) {
        return Some(answer);
    }
    let path = url.find("://").and_then(|scheme| Some(scheme + 3 + url[scheme + 3..].find('/')?));
    let is_cluster = process.shared.peek().kube.is_at(&url[..path.unwrap_or(url.len())]);
    // Requests here are anonymous: the API server shows only its health endpoints to everyone.
    is_cluster.then(|| if url.ends_with('z') { Ok("ok".to_owned()) } else { Err(401) })
}

/// Returns a page of Tailscale's site.
fn page(url: &str) -> Option<String> {
    match url {
        "https://tailscale.com/install.sh" => Some(INSTALL.replace("LIST", TAILSCALE_LIST)),
        KEYRING => Some("keyring\n".to_owned()),
        LIST => Some(
            "deb [signed-by=/usr/share/keyrings/tailscale-archive-keyring.gpg] https://pkgs.tailscale.com/stable/debian trixie main\n"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Prints curl's message for a failed connection and returns its exit status: 6, 7 or 28.
///
/// `-s` without `-S` suppresses the message.
fn unreached(process: &Process, io: &Io, url: &str, options: &CommandOptions, failure: &Answer) -> Exit {
    let (host, port) = web::place(url);
    let (status, why) = match failure {
        Answer::Unresolved | Answer::Page(_) | Answer::Status(_) => (6, format!("Could not resolve host: {host}")),
        Answer::Refused => {
            (7, format!("Failed to connect to {host} port {port} after 0 ms: Could not connect to server"))
        }
        Answer::Stalled => (28, "Operation too slow. Less than 1 bytes/sec transferred the last 5 seconds".to_owned()),
        Answer::TimedOut => (28, format!("Connection timed out after {} milliseconds", patience(options) + 1)),
    };
    if options.has("s", "silent") && !options.has("S", "show-error") {
        return Ok(status);
    }
    process.fail(io, status, format!("curl: ({status}) {why}"))
}

/// Returns the connection timeout in milliseconds.
///
/// The default is 134 seconds, the time for which Linux repeats a SYN.
fn patience(options: &CommandOptions) -> u64 {
    let seconds = options.value('m', "max-time").or_else(|| options.value('m', "connect-timeout"));
    seconds.and_then(|seconds| seconds.parse::<u64>().ok()).unwrap_or(134) * 1000
}
