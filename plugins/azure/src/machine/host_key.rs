use ssh_key::{Algorithm, LineEnding, PrivateKey, PublicKey, rand_core::OsRng};
use stargate_sdk::{ActionError, Secret};

/// SSH host key that is generated before its machine exists, so that the first connection can be
/// verified.
pub(crate) struct HostKey {
    /// Public half, in OpenSSH's one-line form without comment.
    pub(crate) public: String,
    /// Private half, in OpenSSH's file form.
    pub(crate) private: Secret,
}

impl HostKey {
    /// Generates an ed25519 key from the system's random numbers.
    ///
    /// # Errors
    /// `Transient`, if the system provides none.
    pub(crate) fn generate() -> Result<Self, ActionError> {
        let not_generated = |e: ssh_key::Error| ActionError::transient(format!("host key cannot be generated: {e}"));
        let key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(not_generated)?;
        let private = Secret::new(key.to_openssh(LineEnding::LF).map_err(not_generated)?.as_str());
        Ok(Self { public: key.public_key().to_openssh().map_err(not_generated)?, private })
    }
}

/// Returns type and data of a public key, without its comment; `None` if the text is not one.
pub(crate) fn without_comment(text: &str) -> Option<String> {
    let mut key = PublicKey::from_openssh(text.trim()).ok()?;
    key.set_comment("");
    key.to_openssh().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_ed25519_and_fits_in_a_tag_and_its_halves_match() {
        let key = HostKey::generate().expect("key");
        assert!(key.public.starts_with("ssh-ed25519 AAAA") && key.public.len() <= 256);
        let private = PrivateKey::from_openssh(key.private.expose()).expect("private key");
        assert_eq!(private.public_key().to_openssh().expect("public key"), key.public);
        assert_ne!(HostKey::generate().expect("key").public, key.public);
    }

    #[test]
    fn a_comment_is_ignored() {
        let key = HostKey::generate().expect("key").public;
        assert_eq!(without_comment(&format!("{key} me@home\n")), Some(key));
        assert_eq!(without_comment("ssh-ed25519 nonsense"), None);
    }
}
