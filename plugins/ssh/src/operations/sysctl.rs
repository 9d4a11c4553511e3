use std::collections::BTreeMap;

use stargate_sdk::ActionError;

use crate::client::{Remote, RemoteCommand};

/// Full path of the program, which is not on every user's PATH.
const SYSCTL: &str = "/usr/sbin/sysctl";

/// Checks names and values of kernel settings.
///
/// # Errors
/// `Permanent` for the first malformed one.
pub(crate) fn check(settings: &BTreeMap<String, String>) -> Result<(), ActionError> {
    for (key, value) in settings {
        let key_fits = key.contains('.')
            && key.starts_with(|c: char| c.is_ascii_lowercase())
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b));
        if !key_fits {
            return Err(ActionError::permanent(format!("{key:?} is not a kernel setting"))
                .with_hint("write it with dots, as in net.ipv4.ip_forward"));
        }
        if value.trim().is_empty() || value.contains(['\n', '\r', '\0']) {
            return Err(ActionError::permanent(format!("{key}: {value:?} is not a value on one line")));
        }
    }
    Ok(())
}

/// Reads the values of the running kernel.
pub(crate) async fn read<'k>(
    remote: &Remote<'_>,
    keys: impl IntoIterator<Item = &'k String>,
) -> Result<BTreeMap<String, String>, ActionError> {
    let command = RemoteCommand::read(SYSCTL).args(keys);
    Ok(parse(&remote.succeed(&command).await?.stdout))
}

/// Reads the values of the running kernel. Keys that it does not have are left out.
pub(crate) async fn read_present(
    remote: &Remote<'_>,
    keys: impl IntoIterator<Item = String>,
) -> Result<BTreeMap<String, String>, ActionError> {
    let command = RemoteCommand::read(SYSCTL).args(["--ignore".to_owned()]).args(keys);
    Ok(parse(&remote.succeed(&command).await?.stdout))
}

/// Sets a value of the running kernel.
pub(crate) async fn write(remote: &Remote<'_>, key: &str, value: &str) -> Result<(), ActionError> {
    remote.succeed(&RemoteCommand::change(SYSCTL).args(["-w".to_owned(), format!("{key}={value}")])).await.map(drop)
}

/// Replaces each run of white space by one space: values of several numbers are printed with tabs
/// and written with spaces.
pub(crate) fn normalize(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Parses `key = value` lines of the program's output or of a file; the last one of a key counts.
pub(crate) fn parse(text: &str) -> BTreeMap<String, String> {
    text.lines().filter_map(parse_line).map(|(key, value)| (key.to_owned(), normalize(value))).collect()
}

/// Parses a `key = value` line; `None` for a comment or an empty line.
pub(crate) fn parse_line(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return None;
    }
    let (key, value) = line.split_once('=')?;
    Some((key.trim().trim_start_matches('-'), value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_values_are_parsed() {
        let text = "net.ipv4.ip_forward = 0\nnet.ipv4.tcp_rmem = 4096\t131072\t6291456\nnot a setting\n";
        let values = parse(text);
        assert_eq!(values["net.ipv4.ip_forward"], "0");
        assert_eq!(values["net.ipv4.tcp_rmem"], "4096 131072 6291456");
        assert_eq!(values.len(), 2);
    }

    #[test]
    fn malformed_settings_are_refused() {
        let settings = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        check(&settings("net.ipv4.ip_forward", "1")).expect("fine");
        for (key, value) in [("-w", "1"), ("net", "1"), ("net.a b", "1"), ("net.a", ""), ("net.a", "1\nkernel.x = 2")] {
            check(&settings(key, value)).expect_err(&format!("{key:?} {value:?}"));
        }
    }
}
