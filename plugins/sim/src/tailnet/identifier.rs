use sha2::{Digest as _, Sha256};

/// Returns reproducible letters and digits instead of random ones: the first `length` that `seed`
/// and `number` give.
pub(super) fn token(seed: &str, number: u64, length: usize) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let letters = digest(seed, number).into_iter().map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
    letters.take(length).collect()
}

/// Returns a reproducible key: 64 hexadecimal digits.
pub(super) fn hexadecimal(seed: &str, number: u64) -> String {
    use std::fmt::Write as _;
    digest(seed, number).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

fn digest(seed: &str, number: u64) -> Vec<u8> {
    Sha256::digest(format!("{seed} {number}")).to_vec()
}
