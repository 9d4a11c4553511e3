/// The first eight bytes of a digest in hexadecimal: enough to distinguish the steps of a cluster's
/// runs.
pub(crate) fn digest_text(digest: &[u8]) -> String {
    let start = digest.first_chunk().expect("a digest has eight bytes or more");
    format!("{:016x}", u64::from_be_bytes(*start))
}
