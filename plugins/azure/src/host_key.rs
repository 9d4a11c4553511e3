use ssh_key::{Algorithm, LineEnding, PrivateKey, PublicKey, rand_core::OsRng};
use stargate_sdk::{ActionError, Secret};

/// An SSH host key made before its machine exists, so that the first connection can already be checked against it.
pub(crate) struct HostKey {
    /// In OpenSSH's one-line form, without a comment.
    pub(crate) public: String,
    /// In OpenSSH's file form.
    pub(crate) private: Secret,
}

impl HostKey {
    /// Makes a fresh ed25519 key from the system's randomness.
    pub(crate) fn generate() -> Result<Self, ActionError> {
        let unmade = |e: ssh_key::Error| ActionError::transient(format!("host key cannot be made: {e}"));
        let key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(unmade)?;
        let private = Secret::new(key.to_openssh(LineEnding::LF).map_err(unmade)?.as_str());
        Ok(Self { public: key.public_key().to_openssh().map_err(unmade)?, private })
    }
}

/// A public key as type and data, without its comment; `None` if the text is no public key.
pub(crate) fn without_comment(text: &str) -> Option<String> {
    let mut key = PublicKey::from_openssh(text.trim()).ok()?;
    key.set_comment("");
    key.to_openssh().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_ed25519_fits_in_a_tag_and_both_halves_belong_together() {
        let key = HostKey::generate().expect("key");
        assert!(key.public.starts_with("ssh-ed25519 AAAA") && key.public.len() <= 256);
        let private = PrivateKey::from_openssh(key.private.expose()).expect("private key");
        assert_eq!(private.public_key().to_openssh().expect("public key"), key.public);
        assert_ne!(HostKey::generate().expect("key").public, key.public);
    }

    #[test]
    fn a_comment_makes_no_difference() {
        let key = HostKey::generate().expect("key").public;
        assert_eq!(without_comment(&format!("{key} me@home\n")), Some(key));
        assert_eq!(without_comment("ssh-ed25519 nonsense"), None);
    }
}
