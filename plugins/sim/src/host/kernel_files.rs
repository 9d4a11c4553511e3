use super::network::linux_mac;
use super::state::{Actor, Errno, Machine};

impl Machine {
    /// Reads a file, including the supported ones in `/proc` and `/sys`.
    ///
    /// Permissions are checked for files on the disk only.
    pub fn read_file(&self, actor: &Actor, path: &str) -> Result<Vec<u8>, Errno> {
        if let Some(key) = path.strip_prefix("/proc/sys/") {
            return self.read_setting(key);
        }
        let text = match path {
            "/dev/null" => String::new(),
            "/etc/machine-id" => format!("{}\n", self.machine_id()),
            "/proc/uptime" => format!("{:.2} 0.00\n", self.uptime()),
            "/proc/version" => "Linux version 6.12.48+deb13-cloud-amd64 (debian-kernel@lists.debian.org)\n".to_owned(),
            "/proc/mounts" => "/dev/sda1 / ext4 rw,relatime 0 0\n".to_owned(),
            "/proc/meminfo" => {
                "MemTotal:        8129616 kB\nMemFree:         7012345 kB\nMemAvailable:    7512345 kB\n".to_owned()
            }
            "/proc/swaps" => "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".to_owned(),
            path => {
                let interface = path.strip_prefix("/sys/class/net/").and_then(|rest| rest.strip_suffix("/address"));
                match interface.and_then(|interface| self.mac(interface)) {
                    Some(mac) => format!("{mac}\n"),
                    None => return self.files.read(actor, path),
                }
            }
        };
        Ok(text.into_bytes())
    }

    /// Writes a file.
    ///
    /// Root changes a kernel setting through its file in `/proc/sys`.
    ///
    /// Fails with `ENOENT` for an unknown setting and with `EACCES` for other users.
    pub fn write_file(
        &mut self,
        actor: &Actor,
        path: &str,
        bytes: &[u8],
        append: bool,
        mode: u32,
    ) -> Result<(), Errno> {
        if path == "/dev/null" {
            return Ok(());
        }
        let Some(key) = path.strip_prefix("/proc/sys/") else {
            return self.files.write(actor, path, bytes, append, mode);
        };
        if !actor.is_root() {
            return Err(Errno::Access);
        }
        let key = key.replace('/', ".");
        let value = String::from_utf8_lossy(bytes).trim().to_owned();
        // Opening a file for writing arrives here as an empty write.
        let known = if value.is_empty() { self.sysctls.contains_key(&key) } else { self.set_sysctl(&key, &value) };
        if known { Ok(()) } else { Err(Errno::Missing) }
    }

    /// Reads a kernel setting as the content of its file.
    fn read_setting(&self, key: &str) -> Result<Vec<u8>, Errno> {
        let value = match key {
            "kernel/random/boot_id" => self.boot_id(),
            "kernel/hostname" => self.hostname.clone(),
            key => self.sysctls.get(&key.replace('/', ".")).cloned().ok_or(Errno::Missing)?,
        };
        Ok(format!("{value}\n").into_bytes())
    }

    /// Returns the hardware address of an interface, as Linux writes it.
    fn mac(&self, interface: &str) -> Option<String> {
        let index: usize = interface.strip_prefix("eth")?.parse().ok()?;
        self.spec.nics.get(index).map(linux_mac)
    }
}
