use std::collections::BTreeMap;

use stargate_sdk::ActionError;

use super::file;
use crate::client::{Remote, RemoteCommand};

/// Directories of system units, in descending priority (systemd.unit(5), "Unit File Load Path").
/// The last one is a link to its neighbour where `/lib` and `/usr/lib` are merged.
const DIRECTORIES: [&str; 13] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    SYSTEM,
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/run/systemd/generator.late",
    "/lib/systemd/system",
];
/// Directory of the units that an administrator, or this program, has written.
pub(crate) const SYSTEM: &str = "/etc/systemd/system";
/// Prints the existing files of the unit `$1` in the directories `$2…`: first the unit's own files,
/// then its drop-ins, then the drop-ins of all services.
const LIST: &str = r#"unit=$1; shift
for d in "$@"; do if [ -e "$d/$unit" ]; then echo "$d/$unit"; fi; done
for d in "$@"; do for f in "$d/$unit.d"/*.conf; do if [ -e "$f" ]; then echo "$f"; fi; done; done
for d in "$@"; do for f in "$d/service.d"/*.conf; do if [ -e "$f" ]; then echo "$f"; fi; done; done"#;

/// File of a unit on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnitFile {
    /// Absolute path of the file.
    pub(crate) path: String,
    /// Settings of the section `Service`, in their order.
    pub(crate) settings: Vec<(String, String)>,
}

/// Files that systemd merges into one service unit, whether it has loaded the unit or not.
///
/// `systemctl cat` and `systemctl show` omit the drop-ins of a unit that has no file yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UnitFiles {
    /// File that defines the unit.
    pub(crate) main: Option<UnitFile>,
    /// Drop-ins in effect, in the order in which systemd applies them.
    pub(crate) drop_ins: Vec<UnitFile>,
}

impl UnitFiles {
    /// Reads the files of the service `unit`, such as `kubelet.service`.
    pub(crate) async fn read(remote: &Remote<'_>, unit: &str) -> Result<Self, ActionError> {
        let arguments = ["-c", LIST, "sh", unit].into_iter().chain(DIRECTORIES);
        let listed = remote.succeed(&RemoteCommand::read("sh").args(arguments).with_root()).await?.stdout;
        let paths = in_effect(&listed, unit);
        let mut files = Self::default();
        for path in &paths.drop_ins {
            files.drop_ins.push(UnitFile { path: (*path).to_owned(), settings: settings(remote, path).await? });
        }
        if let Some(path) = paths.main {
            files.main = Some(UnitFile { path: path.to_owned(), settings: settings(remote, path).await? });
        }
        Ok(files)
    }
}

impl UnitFile {
    /// Last value of a setting that is not empty.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let values = self.settings.iter().rev().filter(|(key, value)| key == name && !value.is_empty());
        values.map(|(_, value)| value.as_str()).next()
    }

    /// Program of the last `ExecStart`, without the prefixes of systemd.
    pub(crate) fn program(&self) -> Option<&str> {
        let word = self.value("ExecStart")?.split_ascii_whitespace().next()?;
        Some(word.trim_start_matches(['-', '@', ':', '+', '!', '|']))
    }

    /// True if the file has a higher priority than the one in [`SYSTEM`].
    pub(crate) fn overrides_system(&self) -> bool {
        DIRECTORIES
            .iter()
            .take_while(|directory| **directory != SYSTEM)
            .any(|directory| self.path.starts_with(directory))
    }
}

/// Paths of the files that systemd uses.
struct PathsInEffect<'a> {
    main: Option<&'a str>,
    drop_ins: Vec<&'a str>,
}

/// Chooses among the paths that [`LIST`] prints. The first file of a name hides the others.
fn in_effect<'a>(listed: &'a str, unit: &str) -> PathsInEffect<'a> {
    let mut main = None;
    let mut drop_ins = BTreeMap::new();
    for path in listed.lines() {
        let name = path.rsplit('/').next().unwrap_or(path);
        if name == unit {
            main.get_or_insert(path);
        } else {
            drop_ins.entry(name).or_insert(path);
        }
    }
    PathsInEffect { main, drop_ins: drop_ins.into_values().collect() }
}

/// Reads the settings of a file. A link to `/dev/null`, which disables a file, has none.
async fn settings(remote: &Remote<'_>, path: &str) -> Result<Vec<(String, String)>, ActionError> {
    Ok(service_settings(&file::read(remote, path).await?.unwrap_or_default()))
}

/// Parses the section `Service` of a unit file. A backslash at the end of a line continues it.
fn service_settings(text: &str) -> Vec<(String, String)> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    let mut is_service = false;
    let mut settings = Vec::new();
    for line in lines {
        if line.starts_with('[') {
            is_service = line == "[Service]";
        } else if let Some((key, value)) = line.split_once('=').filter(|_| is_service) {
            settings.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_of_a_name_is_in_effect() {
        let listed = "/etc/systemd/system/kubelet.service\n/usr/lib/systemd/system/kubelet.service\n\
                      /etc/systemd/system/kubelet.service.d/20-x.conf\n/etc/systemd/system/kubelet.service.d/10-kubeadm.conf\n\
                      /usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf\n/usr/lib/systemd/system/service.d/10-timeout.conf\n";
        let paths = in_effect(listed, "kubelet.service");
        assert_eq!(paths.main, Some("/etc/systemd/system/kubelet.service"));
        let expected = [
            "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
            "/usr/lib/systemd/system/service.d/10-timeout.conf",
            "/etc/systemd/system/kubelet.service.d/20-x.conf",
        ];
        assert_eq!(paths.drop_ins, expected);
        assert_eq!(in_effect("", "kubelet.service").main, None);
    }

    #[test]
    fn the_last_command_of_a_service_counts() {
        let text = "[Unit]\nExecStart=/no\n[Service]\n# ExecStart=/no\nExecStart=\nExecStart=-/usr/bin/kubelet \\\n  --x=1 $A\n";
        let file = UnitFile { path: "/run/systemd/transient/kubelet.service".into(), settings: service_settings(text) };
        assert_eq!(file.program(), Some("/usr/bin/kubelet"));
        assert_eq!(file.value("ExecStart"), Some("-/usr/bin/kubelet    --x=1 $A"));
        assert!(file.overrides_system());
        let ours = UnitFile { path: "/etc/systemd/system/kubelet.service".into(), settings: vec![] };
        assert!(!ours.overrides_system() && ours.program().is_none());
    }
}
