use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};

use crate::World;
use crate::host::state::Machine;
use crate::tailnet::Tailnet;

/// Returns the path of the client configuration for `ssh -F`.
pub(super) fn config_path(directory: &Path) -> PathBuf {
    directory.join("ssh_config")
}

/// Returns the path of the private key that the client configuration names.
pub(super) fn identity_path(directory: &Path) -> PathBuf {
    directory.join("id_ed25519")
}

/// Creates the client's key pair, unless it exists.
pub(super) fn ensure_identity(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let path = identity_path(directory);
    if path.exists() {
        return Ok(());
    }
    let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).map_err(io::Error::other)?;
    let public = key.public_key().to_openssh().map_err(io::Error::other)?;
    fs::write(path.with_extension("pub"), format!("{public}\n"))?;
    let text = key.to_openssh(LineEnding::LF).map_err(io::Error::other)?;
    replace(&path, text.as_bytes(), 0o600)
}

/// Writes the client configuration for the current machines, unless it equals `last`.
///
/// Returns the new text, or `None` if nothing was written.
///
/// # Errors
///
/// The error of the file system; the old file is then unchanged.
pub(super) fn write(directory: &Path, world: &World, silent: u16, last: &str) -> io::Result<Option<String>> {
    let text = render(directory, world, silent);
    if text == last {
        return Ok(None);
    }
    replace(&config_path(directory), text.as_bytes(), 0o644)?;
    Ok(Some(text))
}

/// Returns the client configuration, with one block for each address.
///
/// The caller's known hosts are therefore searched for the address and not for the port on
/// loopback. A public address that security groups close leads to the `silent` port.
fn render(directory: &Path, world: &World, silent: u16) -> String {
    let identity = identity_path(directory);
    let mut text = "# Written by the simulated world; changes are lost.\n".to_owned();
    let mut seen = BTreeSet::new();
    for (name, machine) in world.hosts.machines.iter().filter(|(_, machine)| machine.port != 0) {
        for alias in aliases(name, machine, &world.tailnet).into_iter().filter(|alias| seen.insert(alias.clone())) {
            let port = if is_closed(machine, &alias) { silent } else { machine.port };
            write!(
                text,
                "\nHost {alias}\n  HostName 127.0.0.1\n  Port {port}\n  HostKeyAlias {alias}\n  IdentityFile \"{}\"\n",
                identity.display()
            )
            .expect("writing to a string does not fail");
        }
    }
    text
}

/// Returns true if a security group closes the machine's address for SSH.
fn is_closed(machine: &Machine, address: &str) -> bool {
    machine.spec.nics.iter().any(|nic| nic.ssh_closed && nic.public_ip.as_deref() == Some(address))
}

/// Returns the names and addresses under which the client reaches a machine.
fn aliases(name: &str, machine: &Machine, tailnet: &Tailnet) -> Vec<String> {
    let mut aliases = vec![name.to_owned()];
    for nic in &machine.spec.nics {
        aliases.extend(nic.public_ip.clone());
        aliases.push(nic.private_ip.clone());
    }
    aliases.extend(machine.tailscale_address(tailnet).map(|address| address.to_string()));
    aliases
}

/// Replaces a file atomically, so that no reader sees a part of it.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, bytes)?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(mode))?;
    fs::rename(&beside, path)
}
