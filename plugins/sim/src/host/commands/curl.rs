use super::options::Options;
use super::web::{self, Answer};
use crate::host::image::TAILSCALE_LIST;
use crate::host::io::Io;
use crate::host::process::{Exit, Halted, Process};

/// What `https://tailscale.com/install.sh` comes to on Debian.
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

const KEYRING: &str = "https://pkgs.tailscale.com/stable/debian/trixie.noarmor.gpg";
const LIST: &str = "https://pkgs.tailscale.com/stable/debian/trixie.tailscale-keyring.list";

/// `curl [-fsSL] [-o FILE] URL`: the few pages that an installation needs; anything else has no name in the simulated DNS.
pub(super) fn curl(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    let options = Options::parse(
        arguments,
        "oHmXduw",
        &["output", "header", "max-time", "retry", "connect-timeout", "request", "write-out"],
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
        None => match web::ask(process, url) {
            Answer::Page(page) => (page, 200),
            failure => return unreached(process, io, url, &options, &failure),
        },
    };
    match options.value('o', "output") {
        None | Some("-") => process.print(io, page)?,
        Some("/dev/null") => {}
        Some(file) if !written(process, file, &page)? => {
            return process.fail(io, 23, "curl: (23) client returned ERROR on write");
        }
        Some(_) => {}
    }
    if let Some(format) = options.value('w', "write-out") {
        process.print(io, format.replace("%{http_code}", &status.to_string()).replace("\\n", "\n"))?;
    }
    Ok(0)
}

fn written(process: &Process, file: &str, page: &str) -> Result<bool, Halted> {
    let (path, mode) = (process.path(file), 0o666 & !process.umask);
    let actor = process.actor.clone();
    let written =
        process.change("file", |place| place.machine.write_file(&actor, &path, page.as_bytes(), false, mode))?;
    Ok(written.is_ok())
}

/// What answers at a URL: a page, or a status that is none; nothing where nobody answers.
fn fetched(process: &Process, url: &str) -> Option<Result<String, u16>> {
    if let Some(page) = page(url) {
        return Some(Ok(page));
    }
    if let Some(answer) = crate::mirror::fetch(url) {
        return Some(answer);
    }
    let path = url.find("://").and_then(|scheme| Some(scheme + 3 + url[scheme + 3..].find('/')?));
    let is_cluster = process.shared.peek().kube.is_at(&url[..path.unwrap_or(url.len())]);
    // Nobody has said who asks: only whether it is up is told to everyone.
    is_cluster.then(|| if url.ends_with('z') { Ok("ok".to_owned()) } else { Err(401) })
}

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

fn unreached(process: &Process, io: &Io, url: &str, options: &Options, failure: &Answer) -> Exit {
    let (host, port) = web::place(url);
    let (status, why) = match failure {
        Answer::Unresolved | Answer::Page(_) => (6, format!("Could not resolve host: {host}")),
        Answer::Refused => {
            (7, format!("Failed to connect to {host} port {port} after 0 ms: Could not connect to server"))
        }
        Answer::TimedOut => (28, format!("Connection timed out after {} milliseconds", patience(options) + 1)),
    };
    if options.has("s", "silent") && !options.has("S", "show-error") {
        return Ok(status);
    }
    process.fail(io, status, format!("curl: ({status}) {why}"))
}

/// Milliseconds that it waits; without an option, as long as the kernel tries.
fn patience(options: &Options) -> u64 {
    let seconds = options.value('m', "max-time").or_else(|| options.value('m', "connect-timeout"));
    seconds.and_then(|seconds| seconds.parse::<u64>().ok()).unwrap_or(134) * 1000
}
