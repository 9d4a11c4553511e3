use std::collections::BTreeMap;

use super::sysctl::{normalize, parse_line};

/// File with the settings that are applied at boot.
pub(crate) const PATH: &str = "/etc/sysctl.d/90-stargate.conf";
/// First line of a new file. An existing file keeps its own first line.
const HEADER: &str = "# Kept by stargate: put in force at every boot.\n";

/// Returns the file's text with `settings` added or replaced; other lines stay.
///
/// Settings are at the end in the order of their names, and each line ends with a line break, so
/// that the same input gives the same text.
pub(crate) fn merged(present: Option<&str>, settings: &BTreeMap<String, String>) -> String {
    let mut text = match present {
        Some(present) => other_lines(present, settings),
        None => HEADER.to_owned(),
    };
    for (key, value) in settings {
        text.push_str(&[key, " = ", &normalize(value), "\n"].concat());
    }
    text
}

/// The lines of `present` that are not about one of `settings`.
fn other_lines(present: &str, settings: &BTreeMap<String, String>) -> String {
    let is_replaced = |line: &&str| parse_line(line).is_some_and(|(key, _)| settings.contains_key(key));
    present.lines().filter(|line| !is_replaced(line)).flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_settings_of_the_file_stay() {
        let settings = BTreeMap::from([("net.ipv4.ip_forward".to_owned(), "1".to_owned())]);
        assert_eq!(merged(None, &settings), format!("{HEADER}net.ipv4.ip_forward = 1\n"));
        let present = "# mine\nnet.ipv4.ip_forward=0\nvm.swappiness = 1";
        assert_eq!(merged(Some(present), &settings), "# mine\nvm.swappiness = 1\nnet.ipv4.ip_forward = 1\n");
    }
}
