use std::collections::BTreeMap;

use crate::host::state::Machine;

/// Start of the program's second line; the version follows.
const MARK: &str = "# kubelet of the simulated world, ";

/// Flags that the simulation supports.
///
/// For any other flag it reports the error that a real kubelet reports for an unknown flag.
const KNOWN: [&str; 9] = [
    "config",
    "kubeconfig",
    "bootstrap-kubeconfig",
    "node-ip",
    "node-labels",
    "hostname-override",
    "register-with-taints",
    "cert-dir",
    "v",
];

/// Command line with which systemd starts the kubelet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommandLine {
    /// Version of the program, such as `v1.33.5`.
    pub(super) version: String,
    flags: BTreeMap<String, String>,
}

/// Returns the version that a program names, if it is a kubelet from the mirror of the simulated
/// world.
pub(crate) fn version_of(program: &str) -> Option<&str> {
    program.lines().nth(1)?.strip_prefix(MARK)
}

impl CommandLine {
    /// Reads the command line of the machine's unit.
    ///
    /// # Errors
    ///
    /// The message of systemd or the kubelet, if the unit, its environment file, the program or a
    /// flag is missing or not valid.
    pub(super) fn of(machine: &Machine) -> Result<Self, String> {
        let setting = |key: &str| {
            let sections = machine.unit_sections(super::UNIT);
            let settings =
                sections.into_iter().filter(|(name, _)| name == "Service").flat_map(|(_, settings)| settings);
            settings.filter(|(name, _)| name == key).map(|(_, value)| value).next_back()
        };
        let line = setting("ExecStart").ok_or("the unit has no ExecStart")?;
        let environment = setting("EnvironmentFile").map(|path| environment(machine, &path)).transpose()?;
        let words = words(&line, &environment.unwrap_or_default());
        let (program, arguments) = words.split_first().ok_or("ExecStart is empty")?;
        let text = machine.files.text(program).ok_or_else(|| format!("Failed to locate executable {program}"))?;
        let version = version_of(&text).ok_or_else(|| format!("{program}: Exec format error"))?.to_owned();
        Ok(Self { version, flags: flags(arguments)? })
    }

    /// Returns the value of a flag, or `None` if it was not given.
    pub(super) fn flag(&self, name: &str) -> Option<&str> {
        self.flags.get(name).map(String::as_str)
    }

    /// Returns the directory of the certificates: `--cert-dir` or its default.
    pub(super) fn certificates(&self) -> &str {
        self.flag("cert-dir").unwrap_or("/var/lib/kubelet/pki")
    }

    /// Returns the labels of `--node-labels`.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let pairs = self.flag("node-labels").unwrap_or_default().split(',').filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// Returns the taints of `--register-with-taints`, each as `KEY=VALUE:EFFECT`.
    pub(super) fn taints(&self) -> Vec<String> {
        let taints = self.flag("register-with-taints").unwrap_or_default().split(',').filter(|taint| !taint.is_empty());
        taints.map(str::to_owned).collect()
    }
}

/// Reads an environment file with lines `NAME=value`.
///
/// As in systemd, a path that starts with a dash may be missing.
fn environment(machine: &Machine, path: &str) -> Result<BTreeMap<String, String>, String> {
    let (path, may_be_missing) = path.strip_prefix('-').map_or((path, false), |path| (path, true));
    let Some(text) = machine.files.text(path) else {
        let missing = || format!("Failed to load environment files: No such file or directory ({path})");
        return if may_be_missing { Ok(BTreeMap::new()) } else { Err(missing()) };
    };
    let pairs =
        text.lines().map(str::trim).filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.trim_matches(['"', '\'']).to_owned())).collect())
}

/// Splits a command line as systemd does.
///
/// The value of a variable that is a whole word is split at spaces. An unset variable has no words.
fn words(line: &str, environment: &BTreeMap<String, String>) -> Vec<String> {
    let value = |name: &str| environment.get(name).cloned().unwrap_or_default();
    let expanded = line.split_whitespace().flat_map(|word| match word.strip_prefix('$') {
        Some(name) if !name.starts_with('{') => value(name).split_whitespace().map(str::to_owned).collect(),
        _ => vec![word.trim_matches(['"', '\'']).to_owned()],
    });
    expanded.collect()
}

/// Parses the flags, written as `--name=value` or `--name value`.
fn flags(arguments: &[String]) -> Result<BTreeMap<String, String>, String> {
    let mut flags = BTreeMap::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let word = argument.strip_prefix("--").ok_or_else(|| format!("unknown command {argument}"))?;
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => (word, arguments.next().cloned().unwrap_or_default()),
        };
        if !KNOWN.contains(&name) {
            return Err(format!("failed to parse kubelet flag: unknown flag: --{name}"));
        }
        flags.insert(name.to_owned(), value);
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_taken_apart_as_systemd_does() {
        let environment = BTreeMap::from([("EXTRA".to_owned(), "--v 4 --cert-dir=/c".to_owned())]);
        let words = words("/k --config=/a --node-ip 10.0.0.4 $EXTRA $NOTHING", &environment);
        let flags = flags(&words[1..]).expect("flags");
        assert_eq!(flags["node-ip"], "10.0.0.4");
        assert_eq!(flags["cert-dir"], "/c");
        assert!(super::flags(&["--no-such=1".to_owned()]).expect_err("unknown").contains("unknown flag: --no-such"));
    }
}
