use std::{
    fmt::{self, Write as _},
    iter,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stargate_sdk::ActionError;

/// A machine to log in to, with its pinned host key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshHost {
    /// IP address or name of the machine.
    pub address: String,
    /// Account that accepts the user's key: root, or one that may use sudo without a password.
    pub user: String,
    /// Public host key, such as `ssh-ed25519 AAAA…`. No other key is accepted.
    pub host_key: String,
    /// Port of the SSH server. If absent, that of the `ssh_config` file, or 22.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Jump host, which resolves `address` and connects to it. If absent, the connection is direct.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<JumpHost>,
}

/// The host through which SSH reaches another one, with its pinned host key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JumpHost {
    /// IP address or name of the jump host.
    pub address: String,
    /// Account that accepts the user's key.
    pub user: String,
    /// Public host key, such as `ssh-ed25519 AAAA…`. No other key is accepted.
    pub host_key: String,
    /// Port of its SSH server. If absent, that of the `ssh_config` file, or 22.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl JumpHost {
    /// The jump host as a host that is connected to directly.
    pub(crate) fn host(&self) -> SshHost {
        let Self { address, user, host_key, port } = self.clone();
        SshHost { address, user, host_key, port, via: None }
    }
}

impl SshHost {
    /// Names of the host and of its jump host.
    pub(crate) fn path(&self) -> impl Iterator<Item = String> {
        iter::once(self.to_string()).chain(self.via.as_ref().map(|via| via.host().to_string()))
    }

    /// Checks that ssh cannot interpret a field as something else: an option, a pattern, a second
    /// line.
    ///
    /// # Errors
    /// `Permanent` for the first malformed field.
    pub(crate) fn check(&self) -> Result<(), ActionError> {
        let address_fits = self.address.starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':')
            && self.address.bytes().all(|b| b.is_ascii_alphanumeric() || b".:_-%".contains(&b));
        let user_fits = self.user.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && self.user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !address_fits {
            return Err(ActionError::permanent(format!(
                "host address {:?} is neither a name nor an address",
                self.address
            )));
        }
        if !user_fits {
            return Err(ActionError::permanent(format!("host {}: {:?} is not a user name", self.address, self.user)));
        }
        if let Some(via) = &self.via {
            if via.address == self.address {
                return Err(ActionError::permanent(format!("host {} cannot be reached through itself", self.address)));
            }
            via.host().check()?;
        }
        self.pinned_key().map(drop)
    }

    /// Returns type and base64 of the pinned key, without its comment.
    ///
    /// # Errors
    /// `Permanent` if it is not a public key.
    pub(crate) fn pinned_key(&self) -> Result<String, ActionError> {
        let mut words = self.host_key.split_ascii_whitespace();
        let (kind, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let kind_fits = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|p| kind.starts_with(p))
            && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"-@.".contains(&b));
        let key_fits = key.starts_with("AAAA") && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
        if kind_fits && key_fits && !self.host_key.trim().contains('\n') {
            return Ok(format!("{kind} {key}"));
        }
        Err(ActionError::permanent(format!("host {}: the pinned host key is not a public key", self.address))
            .with_hint("give it as in /etc/ssh/ssh_host_ed25519_key.pub: ssh-ed25519 AAAA…"))
    }

    /// Name for the host with this key and path, for ssh's files.
    pub(crate) fn alias(&self) -> String {
        let port = self.port.unwrap_or_default();
        let path = self.via.as_ref().map_or_else(String::new, |via| format!(" {}", via.host().alias()));
        format!("stargate-{}", short_hash(format!("{} {port} {}{path}", self.address, self.host_key).as_bytes()))
    }
}

/// Short digest of `bytes` for file names: 16 hexadecimal digits.
pub(crate) fn short_hash(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in Sha256::digest(bytes).iter().take(8) {
        write!(hex, "{byte:02x}").expect("writing to a string does not fail");
    }
    hex
}

impl fmt::Display for SshHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.user, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(address: &str, user: &str, host_key: &str) -> SshHost {
        SshHost { address: address.into(), user: user.into(), host_key: host_key.into(), port: None, via: None }
    }

    #[test]
    fn fields_that_ssh_would_misinterpret_are_refused() {
        let key = "ssh-ed25519 AAAAC3Nz me@here";
        host("203.0.113.7", "ubuntu", key).check().expect("fine");
        host("fd00::7", "ubuntu", key).check().expect("fine");
        for (address, user, key) in [
            ("-oProxyCommand=x", "ubuntu", key),
            ("a b", "ubuntu", key),
            ("*", "ubuntu", key),
            ("", "ubuntu", key),
            ("203.0.113.7", "-l", key),
            ("203.0.113.7", "a\nb", key),
            ("203.0.113.7", "ubuntu", ""),
            ("203.0.113.7", "ubuntu", "ssh-ed25519"),
            ("203.0.113.7", "ubuntu", "ssh-ed25519 AAAA\n* ssh-ed25519 AAAB"),
        ] {
            host(address, user, key).check().expect_err(&format!("{address:?} {user:?} {key:?}"));
        }
    }
}
