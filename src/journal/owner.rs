use std::{fmt, os::unix::fs::MetadataExt};

use serde::{Deserialize, Serialize};

/// Identity of a process that executes runs. No two processes have the same one, even after a
/// reboot or with a reused pid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Host name of the machine.
    pub host: String,
    /// Boot id of the kernel, from `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Namespace of the pid, as the inode of `/proc/self/ns/pid`. `None` for owners that an older
    /// program stored, and for a process whose `/proc` is that of another namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_namespace: Option<u64>,
    /// Process id in its namespace.
    pub pid: u32,
    /// Time at which the process started, in clock ticks since the boot.
    pub started: u64,
}

/// Knowledge of one process about another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// The process exists. It may be stopped.
    Alive,
    /// The process has exited.
    Exited,
    /// The process cannot be observed: it belongs to another host, boot or pid namespace.
    Unknown,
}

impl Owner {
    /// Returns the identity of this process.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn current_process() -> std::io::Result<Self> {
        let read = |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_owned());
        let this =
            ProcessStat::read("self").ok_or_else(|| std::io::Error::other("/proc does not know this process"))?;
        let pid = std::process::id();
        // A container can have the `/proc` of its host, in which a pid means another process.
        let is_own_proc = ProcessStat::read(&pid.to_string()).is_some_and(|found| found.started == this.started);
        let namespace = std::fs::metadata("/proc/self/ns/pid").map(|metadata| metadata.ino());
        Ok(Self {
            host: read("/proc/sys/kernel/hostname")?,
            boot_id: read("/proc/sys/kernel/random/boot_id")?,
            pid_namespace: namespace.ok().filter(|_| is_own_proc),
            pid,
            started: this.started,
        })
    }

    /// Returns what the process `here` knows about this one.
    pub fn liveness(&self, here: &Self) -> Liveness {
        if !self.is_observable(here) {
            return Liveness::Unknown;
        }
        match self.stat() {
            Some(_) => Liveness::Alive,
            None => Liveness::Exited,
        }
    }

    /// True if the process `here` knows that this one is stopped, such as by Ctrl-Z.
    pub fn is_stopped(&self, here: &Self) -> bool {
        self.is_observable(here) && self.stat().is_some_and(|stat| matches!(stat.state, 'T' | 't'))
    }

    /// True if the pid means the same process to `here`.
    fn is_observable(&self, here: &Self) -> bool {
        self.host == here.host
            && self.boot_id == here.boot_id
            && self.pid_namespace.is_some()
            && self.pid_namespace == here.pid_namespace
    }

    /// Reads the state of the process; `None` if it has exited.
    fn stat(&self) -> Option<ProcessStat> {
        let stat = ProcessStat::read(&self.pid.to_string());
        stat.filter(|stat| stat.started == self.started && !matches!(stat.state, 'Z' | 'X'))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

/// Fields of `/proc/PID/stat`.
struct ProcessStat {
    /// State of the process, such as `T` for a stopped one and `Z` for a zombie.
    state: char,
    /// Time at which the process started, in clock ticks since the boot.
    started: u64,
}

impl ProcessStat {
    /// Reads the fields; `None` if there is no such process.
    ///
    /// The state and the start time are fields 3 and 22. Fields are counted from the closing
    /// parenthesis of the command, since the command may contain any character (proc(5)).
    fn read(pid: &str) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        Some(Self { state, started: fields.nth(18)?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    fn here() -> Owner {
        Owner::current_process().expect("owner")
    }

    #[test]
    fn a_pid_is_judged_only_in_its_own_namespace_boot_and_host() {
        let here = here();
        assert!(here.pid_namespace.is_some());
        assert_eq!(here.liveness(&here), Liveness::Alive);
        let gone = Owner { started: here.started + 1, ..here.clone() };
        assert_eq!(gone.liveness(&here), Liveness::Exited);
        for elsewhere in [
            Owner { boot_id: "other".into(), ..gone.clone() },
            Owner { host: "other".into(), ..gone.clone() },
            Owner { pid_namespace: Some(1), ..gone.clone() },
            Owner { pid_namespace: None, ..gone.clone() },
        ] {
            assert_eq!(elsewhere.liveness(&here), Liveness::Unknown, "{elsewhere:?}");
            assert_eq!(gone.liveness(&elsewhere), Liveness::Unknown, "{elsewhere:?}");
        }
    }

    #[test]
    fn an_owner_of_an_older_program_has_no_namespace() {
        let stored = r#"{"host":"a","boot_id":"b","pid":7,"started":9}"#;
        let owner: Owner = serde_json::from_str(stored).expect("an owner");
        assert_eq!((owner.pid_namespace, owner.liveness(&here())), (None, Liveness::Unknown));
        assert_eq!(serde_json::to_string(&owner).expect("text"), stored);
    }

    #[test]
    fn a_stopped_child_is_alive_and_a_killed_one_has_exited_before_its_parent_waits_for_it() {
        let here = here();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let started = ProcessStat::read(&child.id().to_string()).expect("running").started;
        let owner = Owner { pid: child.id(), started, ..here.clone() };
        assert!(!owner.is_stopped(&here));
        kill_process(Pid::from_child(&child), Signal::STOP).expect("stop");
        while !owner.is_stopped(&here) {
            std::thread::yield_now();
        }
        assert_eq!(owner.liveness(&here), Liveness::Alive);
        child.kill().expect("kill");
        while owner.liveness(&here) != Liveness::Exited {
            std::thread::yield_now();
        }
        child.wait().expect("wait");
        assert_eq!(owner.liveness(&here), Liveness::Exited);
    }
}
