use super::options::Options;
use crate::host::image::TAILSCALE_LIST;
use crate::host::io::Io;
use crate::host::process::{Exit, Process};

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
    let options =
        Options::parse(arguments, "oHmXdu", &["output", "header", "max-time", "retry", "connect-timeout", "request"]);
    let Some(url) = options.rest.first() else {
        return process.fail(
            io,
            2,
            "curl: no URL specified!\ncurl: try 'curl --help' or 'curl --manual' for more information",
        );
    };
    let Some(page) = page(url) else { return unresolved(process, io, url, &options) };
    match options.value('o', "output") {
        None | Some("-") => process.print(io, page)?,
        Some(file) => {
            let (path, mode) = (process.path(file), 0o666 & !process.umask);
            let actor = process.actor.clone();
            let written = process
                .change("file", |place| place.machine.write_file(&actor, &path, page.as_bytes(), false, mode))?;
            if written.is_err() {
                return process.fail(io, 23, "curl: (23) client returned ERROR on write");
            }
        }
    }
    Ok(0)
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

fn unresolved(process: &Process, io: &Io, url: &str, options: &Options) -> Exit {
    let host = url.split("://").last().unwrap_or_default().split(['/', ':']).next().unwrap_or_default();
    if options.has("s", "silent") && !options.has("S", "show-error") {
        return Ok(6);
    }
    process.fail(io, 6, format!("curl: (6) Could not resolve host: {host}"))
}
