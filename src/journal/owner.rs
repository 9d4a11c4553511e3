use std::fmt;

use serde::{Deserialize, Serialize};

/// The process that may advance a run. Two processes are never equal, not even after a reboot or a reused pid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Name of the machine.
    pub host: String,
    /// The kernel's id of this boot.
    pub boot_id: String,
    /// Process id.
    pub pid: u32,
    /// When the process started, in clock ticks since the boot.
    pub started: u64,
}

impl Owner {
    /// This process.
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

    /// Whether this owner is certainly gone, as seen from `here`: only a process of the same machine can be judged.
    pub fn has_exited(&self, here: &Self) -> bool {
        self.host == here.host && (self.boot_id != here.boot_id || start_time(self.pid) != Some(self.started))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

/// Start time of a process that is not a zombie. Fields 3 and 22 of `/proc/PID/stat`, counted behind the command's
/// closing parenthesis since the command may hold anything (proc(5)).
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
    fn this_process_lives_and_a_reused_pid_does_not() {
        let here = Owner::current_process().expect("owner");
        assert!(!here.has_exited(&here));
        assert!(Owner { started: here.started + 1, ..here.clone() }.has_exited(&here));
        assert!(Owner { boot_id: "other".into(), ..here.clone() }.has_exited(&here));
        assert!(!Owner { host: "other".into(), boot_id: "other".into(), ..here.clone() }.has_exited(&here));
    }

    #[test]
    fn a_killed_child_is_gone_even_before_it_is_waited_for() {
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
