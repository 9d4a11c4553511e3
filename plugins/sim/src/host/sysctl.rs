use std::collections::BTreeMap;

use super::state::Machine;
use super::systemd_files::configuration_files;

/// Kernel settings after a boot, with their default values.
const DEFAULTS: &[(&str, &str)] = &[
    ("fs.inotify.max_user_instances", "128"),
    ("fs.inotify.max_user_watches", "29541"),
    ("kernel.ostype", "Linux"),
    ("kernel.panic", "0"),
    ("kernel.panic_on_oops", "0"),
    ("kernel.keys.root_maxbytes", "25000000"),
    ("kernel.keys.root_maxkeys", "1000000"),
    ("net.core.rmem_max", "212992"),
    ("net.core.somaxconn", "4096"),
    ("net.core.wmem_max", "212992"),
    ("net.ipv4.conf.all.accept_redirects", "0"),
    ("net.ipv4.conf.all.arp_filter", "0"),
    ("net.ipv4.conf.all.forwarding", "0"),
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.all.send_redirects", "1"),
    ("net.ipv4.conf.all.src_valid_mark", "0"),
    ("net.ipv4.conf.default.forwarding", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    ("net.ipv4.conf.default.send_redirects", "1"),
    ("net.ipv4.conf.eth0.forwarding", "0"),
    ("net.ipv4.conf.eth0.rp_filter", "0"),
    ("net.ipv4.conf.eth0.send_redirects", "1"),
    ("net.ipv4.ip_forward", "0"),
    ("net.ipv4.ip_local_port_range", "32768\t60999"),
    ("net.ipv4.neigh.default.gc_thresh1", "128"),
    ("net.ipv4.neigh.default.gc_thresh2", "512"),
    ("net.ipv4.neigh.default.gc_thresh3", "1024"),
    ("net.ipv4.tcp_keepalive_time", "7200"),
    ("net.ipv6.conf.all.disable_ipv6", "0"),
    ("net.ipv6.conf.all.forwarding", "0"),
    ("net.ipv6.conf.default.disable_ipv6", "0"),
    ("net.ipv6.conf.default.forwarding", "0"),
    ("vm.max_map_count", "65530"),
    ("vm.overcommit_memory", "0"),
    ("vm.panic_on_oom", "0"),
    ("vm.swappiness", "60"),
];

/// Names of the settings that share one switch in the kernel.
const FORWARDING: [&str; 2] = ["net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding"];

/// Directories of `sysctl.d(5)`, in descending priority.
const DIRECTORIES: [&str; 4] = ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"];

/// Returns the kernel settings after a boot.
pub(super) fn defaults() -> BTreeMap<String, String> {
    DEFAULTS.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Returns the settings in a file of `sysctl.d(5)`, in their order.
pub(super) fn settings(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (dotted(key.trim()), value.trim().to_owned())).collect()
}

/// Returns a key with dots: `net/ipv4/ip_forward` becomes `net.ipv4.ip_forward`.
pub(super) fn dotted(key: &str) -> String {
    let key = key.strip_prefix('-').unwrap_or(key);
    match key.find(['.', '/']) {
        Some(at) if key[at..].starts_with('/') => key.replace('/', "."),
        _ => key.to_owned(),
    }
}

impl Machine {
    /// Returns the files that `sysctl --system` reads, in its order.
    pub fn sysctl_files(&self) -> Vec<String> {
        let mut files = configuration_files(&self.files, &DIRECTORIES, ".conf");
        if self.files.text("/etc/sysctl.conf").is_some() {
            files.push("/etc/sysctl.conf".to_owned());
        }
        files
    }

    /// Sets a kernel setting. Returns false if no setting has this name.
    pub fn set_sysctl(&mut self, key: &str, value: &str) -> bool {
        if !self.sysctls.contains_key(key) {
            return false;
        }
        let together = if FORWARDING.contains(&key) { &FORWARDING[..] } else { &[] };
        for key in together.iter().copied().chain([key]) {
            self.sysctls.insert(key.to_owned(), value.to_owned());
        }
        if FORWARDING.contains(&key) {
            self.forward_all_interfaces(value);
        }
        true
    }

    /// Applies the files of `sysctl.d(5)`, as systemd-sysctl does at boot.
    pub fn apply_sysctl_files(&mut self) {
        for file in self.sysctl_files() {
            for (key, value) in settings(&self.files.text(&file).unwrap_or_default()) {
                self.set_sysctl(&key, &value);
            }
        }
    }

    /// Returns true if the kernel forwards IPv4 packets.
    pub fn forwards(&self) -> bool {
        self.sysctls.get("net.ipv4.ip_forward").is_some_and(|value| value == "1")
    }

    /// Copies the global forwarding setting to each interface, as the kernel does.
    fn forward_all_interfaces(&mut self, value: &str) {
        let interfaces = self.sysctls.iter_mut();
        let each = interfaces.filter(|(key, _)| key.starts_with("net.ipv4.conf.") && key.ends_with(".forwarding"));
        for (_, current) in each {
            value.clone_into(current);
        }
    }
}
