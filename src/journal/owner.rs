use std::fmt;

use serde::{Deserialize, Serialize};

/// Identity of a process that executes runs. No two processes have the same one, even after a
/// reboot or with a reused pid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Host name of the machine.
    pub host: String,
    /// Boot id of the kernel, from `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Process id on the machine.
    pub pid: u32,
    /// Time at which the process started, in clock ticks since the boot.
    pub started: u64,
}

impl Owner {
    /// Returns the identity of this process.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn current_process() -> std::io::Result<Self> {
        let pid = std::process::id();
        let started = start_time(pid).ok_or_else(|| std::io::Error::other("/proc does not know this process"))?;
        let read = |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_owned());
        Ok(Self {
            host: read("/proc/sys/kernel/hostname")?,
            boot_id: read("/proc/sys/kernel/random/boot_id")?,
            pid,
            started,
        })
    }

    /// True if this process has certainly exited. Always `false` for a process of another machine
    /// than `here`.
    pub fn has_exited(&self, here: &Self) -> bool {
        self.host == here.host && (self.boot_id != here.boot_id || start_time(self.pid) != Some(self.started))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

/// Returns the start time of a process, or `None` if it has exited or is a zombie.
///
/// The state and the start time are fields 3 and 22 of `/proc/PID/stat`. Fields are counted from
/// the closing parenthesis of the command, since the command may contain any character (proc(5)).
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_not_exited_and_a_process_with_another_start_time_has() {
        let here = Owner::current_process().expect("owner");
        assert!(!here.has_exited(&here));
        assert!(Owner { started: here.started + 1, ..here.clone() }.has_exited(&here));
        assert!(Owner { boot_id: "other".into(), ..here.clone() }.has_exited(&here));
        assert!(!Owner { host: "other".into(), boot_id: "other".into(), ..here.clone() }.has_exited(&here));
    }

    #[test]
    fn a_killed_child_has_exited_before_its_parent_waits_for_it() {
        let here = Owner::current_process().expect("owner");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let started = start_time(child.id()).expect("running");
        let owner = Owner { pid: child.id(), started, ..here.clone() };
        assert!(!owner.has_exited(&here));
        child.kill().expect("kill");
        while !owner.has_exited(&here) {
            std::thread::yield_now();
        }
        child.wait().expect("wait");
        assert!(owner.has_exited(&here));
    }
}
