use super::machine::Machine;

/// Its unit.
pub(super) const UNIT: &str = "containerd.service";
/// Where it looks for its configuration.
pub(super) const CONFIGURATION: &str = "/etc/containerd/config.toml";

/// Whether containerd ends at once because its configuration is obviously no TOML; it runs without one.
pub(super) fn is_broken(machine: &Machine) -> bool {
    machine.files.text(CONFIGURATION).is_some_and(|text| !may_be_toml(&text))
}

/// Every line begins a table, sets a key, says nothing, or belongs to an array that goes on over several lines.
fn may_be_toml(text: &str) -> bool {
    let mut open = 0;
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).all(|line| {
        let inside = open > 0;
        let value = if inside { line } else { line.split_once('=').map_or("", |(_, value)| value) };
        open += brackets(value);
        inside || is_table(line) || line.split_once('=').is_some_and(|(key, value)| is_key(key) && !value.is_empty())
    }) && open == 0
}

fn is_table(line: &str) -> bool {
    let line = line.rsplit_once('#').map_or(line, |(before, _)| before.trim_end());
    line.starts_with('[') && line.ends_with(']')
}

/// A key has no spaces but inside of quotes and around dots.
fn is_key(key: &str) -> bool {
    let key = key.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.\"'".contains(c);
    !key.is_empty() && (key.contains(['"', '\'']) || key.chars().all(plain))
}

fn brackets(value: &str) -> i32 {
    value.chars().map(|c| i32::from(c == '[') - i32::from(c == ']')).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_obviously_no_toml_is_told_from_what_may_be() {
        let good = "version = 2\n\n# a remark\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\n  bin_dir = \"/opt/cni/bin\"\n\
                    imports = [\n  \"/a\",\n  \"/b\"\n]\n";
        assert!(may_be_toml(good));
        assert!(may_be_toml(""));
        for bad in ["broken", "version 2", "[plugins", "two words = 1", "a =", "imports = [\n  \"/a\"\n"] {
            assert!(!may_be_toml(bad), "{bad}");
        }
    }
}
