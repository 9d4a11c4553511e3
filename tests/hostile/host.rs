//! A host over SSH, whose programs print without end: a real sshd on loopback.

use std::{
    fs,
    io::Write as _,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use serde_json::json;
use tempfile::TempDir;

use super::{MAX_MEMORY_KIB, program, run_program};

const SSHD: &str = "/usr/sbin/sshd";
/// Program that runs a command as root: here, as the user.
const SUDO: &str = "shift\nexec \"$@\"\n";

/// An sshd whose sessions have the programs of a test first on their path.
struct HostileHost {
    folder: TempDir,
    port: u16,
    sshd: Child,
}

/// Ends the sshd, and its sessions with the programs in them: those outlive it.
impl Drop for HostileHost {
    fn drop(&mut self) {
        let mut ended = vec![self.sshd.id().to_string()];
        for index in 0.. {
            let Some(parent) = ended.get(index) else { break };
            let children = Command::new("ps").args(["-o", "pid=", "--ppid", parent]).output();
            let children = children.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            ended.extend(children.unwrap_or_default().split_whitespace().map(str::to_owned));
        }
        Command::new("kill").arg("-KILL").args(&ended).stderr(Stdio::null()).status().ok();
        self.sshd.wait().ok();
    }
}

impl HostileHost {
    /// Starts an sshd. `programs` are names and shell scripts. On a machine without sshd, prints a
    /// message and returns `None`.
    fn start(programs: &[(&str, &str)]) -> Option<Self> {
        if !Path::new(SSHD).exists() {
            writeln!(std::io::stderr(), "SKIPPED: {SSHD} is not installed").expect("standard error is open");
            return None;
        }
        fs::create_dir_all("/run/sshd").ok(); // an sshd that runs as root requires it
        // The path of a control socket has a maximum length.
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        for name in ["host", "user"] {
            let key = folder.path().join(name);
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key).status();
            assert!(made.unwrap().success());
        }
        let sessions = folder.path().join("programs");
        fs::create_dir(&sessions).unwrap();
        for (name, script) in programs.iter().chain(&[("sudo", SUDO)]) {
            let path = sessions.join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = folder.path().display();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {at}/host\nPidFile none\nAuthorizedKeysFile {at}/user.pub\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n\
             SetEnv PATH={at}/programs:/usr/sbin:/usr/bin:/sbin:/bin HOME={at}\n"
        );
        fs::write(folder.path().join("sshd_config"), config).unwrap();
        let keys = format!("IdentitiesOnly yes\nIdentityAgent none\nIdentityFile {at}/user\n");
        fs::write(folder.path().join("ssh_config"), keys).unwrap();
        let mut command = Command::new(SSHD);
        command.args(["-D", "-f"]).arg(folder.path().join("sshd_config")).arg("-E").arg(folder.path().join("log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut sshd = command.spawn().unwrap();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(sshd.try_wait().unwrap().is_none(), "{:?}", fs::read_to_string(folder.path().join("log")));
            thread::yield_now();
        }
        Some(Self { folder, port, sshd })
    }

    /// Runs a step that makes a file exist on the host, and returns exit code, output and the
    /// largest memory in KiB.
    fn ensure_file(&self) -> (Option<i32>, String, u64) {
        let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
        let user = user.trim();
        let key = fs::read_to_string(self.folder.path().join("host.pub")).unwrap();
        let host = json!({
            "address": "127.0.0.1", "port": self.port, "user": user, "host_key": key.trim(),
        });
        let path = self.folder.path().join("ensured").display().to_string();
        let with = json!({"host": host, "path": path, "content": "desired\n", "owner": user});
        let retry = json!({"attempts": 1});
        // A program that changes something is not stopped before the step's timeout.
        let step = json!({"uses": "ssh.file.ensure", "timeout": "4s", "retry": retry, "with": with});
        let workflow = json!({"name": "w", "steps": {"s": step}}).to_string();
        let mut command = program(self.folder.path(), &workflow);
        command.env("STARGATE_SSH_CONFIG", self.folder.path().join("ssh_config"));
        run_program(self.folder.path(), command)
    }
}

/// Checks that the step ends with `expected` as its error, in bounded memory.
fn check(program: &str, script: &str, expected: &str) {
    let Some(host) = HostileHost::start(&[(program, script)]) else { return };
    let (code, output, memory) = host.ensure_file();
    let case = format!("{program}: {script}: {memory} KiB: {output}");
    assert!(matches!(code, Some(3 | 4)), "{code:?}: {case}");
    assert!(output.contains(expected), "{case}");
    assert!(memory < MAX_MEMORY_KIB && output.len() < 4096, "{case}");
}

#[test]
fn a_host_whose_file_never_ends_is_read_up_to_the_limit() {
    for script in ["exec yes", "exec head -c 1G /dev/zero", "exec tr '\\0' '\\377' </dev/zero"] {
        check("cat", script, "the output is larger than the limit of 16777216 bytes");
    }
}

#[test]
fn a_host_that_prints_errors_without_end_is_stopped_by_the_timeout() {
    check("cat", "exec yes >&2", "no end within");
}

#[test]
fn a_change_that_prints_without_end_is_stopped_by_the_timeout() {
    for program in ["install", "mv"] {
        check(program, "exec yes", "no end within");
        check(program, "exec cat /dev/zero >&2", "no end within");
    }
}
