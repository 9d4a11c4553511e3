/// Formats the first 16 bytes as a UUID of version 4. `bytes` must have at least 16.
pub(crate) fn uuid(bytes: &[u8]) -> String {
    let mut hex: String = bytes.iter().take(16).fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    hex.replace_range(12..13, "4");
    hex.replace_range(16..17, "a");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
