use super::state::Machine;

/// Name of containerd's unit.
pub(super) const UNIT: &str = "containerd.service";
/// Path of the configuration file that containerd reads at its start.
pub(super) const CONFIGURATION: &str = "/etc/containerd/config.toml";

/// Returns true if containerd exits at once because its configuration is clearly not TOML.
///
/// A missing configuration file is valid: real containerd then uses its defaults.
pub(super) fn is_broken(machine: &Machine) -> bool {
    machine.files.text(CONFIGURATION).is_some_and(|text| !may_be_toml(&text))
}

/// Returns true if the text may be TOML.
///
/// Each line must start a table, set a key, be empty or a comment, or belong to an array of several
/// lines. The check accepts some invalid TOML.
fn may_be_toml(text: &str) -> bool {
    let mut open = 0;
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).all(|line| {
        let inside = open > 0;
        let value = if inside { line } else { line.split_once('=').map_or("", |(_, value)| value) };
        open += brackets(value);
        inside || is_table(line) || line.split_once('=').is_some_and(|(key, value)| is_key(key) && !value.is_empty())
    }) && open == 0
}

/// Returns true if the line is the header of a table.
fn is_table(line: &str) -> bool {
    let line = line.rsplit_once('#').map_or(line, |(before, _)| before.trim_end());
    line.starts_with('[') && line.ends_with(']')
}

/// Returns true if the text is a key: no spaces except inside quotes and around dots.
fn is_key(key: &str) -> bool {
    let key = key.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.\"'".contains(c);
    !key.is_empty() && (key.contains(['"', '\'']) || key.chars().all(plain))
}

/// Returns the number of opening brackets minus the number of closing ones.
fn brackets(value: &str) -> i32 {
    value.chars().map(|c| i32::from(c == '[') - i32::from(c == ']')).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_obviously_not_toml_is_distinguished() {
        let good = "version = 2\n\n# a remark\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\n  bin_dir = \"/opt/cni/bin\"\n\
                    imports = [\n  \"/a\",\n  \"/b\"\n]\n";
        assert!(may_be_toml(good));
        assert!(may_be_toml(""));
        for bad in ["broken", "version 2", "[plugins", "two words = 1", "a =", "imports = [\n  \"/a\"\n"] {
            assert!(!may_be_toml(bad), "{bad}");
        }
    }
}
