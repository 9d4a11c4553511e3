use std::{
    fs,
    io::Write as _,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use stargate_sdk::{ActionContext, Secrets};
use tempfile::TempDir;

use super::programs::write_programs;
use crate::{SshHost, SshSettings, client::ConnectionPool};

const SSHD: &str = "/usr/sbin/sshd";

/// An sshd on loopback that is stopped when the test ends.
pub(crate) struct TestSshd {
    dir: TempDir,
    port: u16,
    sshd: Child,
}

impl Drop for TestSshd {
    fn drop(&mut self) {
        self.sshd.kill().ok();
        self.sshd.wait().ok();
    }
}

impl TestSshd {
    /// Starts an sshd. On a machine without sshd, prints a message and returns `None`.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with_sessions(10)
    }

    /// Starts an sshd that permits so many sessions in a connection.
    pub(crate) fn start_with_sessions(max_sessions: usize) -> Option<Self> {
        if !Path::new(SSHD).exists() {
            writeln!(std::io::stderr(), "SKIPPED: {SSHD} is not installed").expect("written");
            return None;
        }
        fs::create_dir_all("/run/sshd").ok(); // An sshd that runs as root requires it.
        let dir = tempfile::tempdir_in("/tmp").expect("directory");
        for name in ["host", "other-host", "user", "other-user"] {
            make_key(&dir.path().join(name));
        }
        write_programs(dir.path());
        let port = free_port();
        fs::write(dir.path().join("sshd_config"), sshd_config(dir.path(), port, max_sessions)).expect("written");
        let sshd = Command::new(SSHD)
            .args(["-D", "-f"])
            .arg(dir.path().join("sshd_config"))
            .arg("-E")
            .arg(dir.path().join("sshd.log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sshd runs");
        let server = Self { dir, port, sshd };
        server.wait_for_port();
        Some(server)
    }

    /// Path below the test's directory, in which the programs keep their state.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Replaces a file of the programs' state atomically.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let temporary = self.path("temporary");
        fs::write(&temporary, text).expect("written");
        fs::rename(&temporary, self.path(name)).expect("renamed");
    }

    /// Command lines of the sessions' programs that change something, in order.
    pub(crate) fn writes(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        let is_write = |call: &&str| {
            let reads = ["systemctl is-enabled", "systemctl is-system-running", "systemctl show"];
            let writes = [
                "install ",
                "dd ",
                "mv ",
                "rm -f /etc/",
                "curl ",
                "apt-get ",
                "tailscale set",
                "ip route replace",
                "systemctl ",
            ];
            writes.iter().any(|write| call.starts_with(write)) && !reads.iter().any(|read| call.starts_with(read))
        };
        calls.lines().filter(is_write).map(str::to_owned).collect()
    }

    /// Number of logins so far.
    pub(crate) fn logins(&self) -> usize {
        fs::read_to_string(self.path("sshd.log")).unwrap_or_default().matches("Accepted publickey").count()
    }

    /// The sshd as a host, with its own key pinned.
    pub(crate) fn host(&self) -> SshHost {
        self.host_with_key("host")
    }

    /// The sshd as a host, with the key `name` pinned.
    pub(crate) fn host_with_key(&self, name: &str) -> SshHost {
        SshHost {
            address: "127.0.0.1".into(),
            user: whoami(),
            host_key: fs::read_to_string(self.path(&format!("{name}.pub"))).expect("key").trim().to_owned(),
            port: Some(self.port),
            via: None,
        }
    }

    /// Connections of a client with the user key `name`.
    pub(crate) fn pool_with_key(&self, name: &str) -> Arc<ConnectionPool> {
        Arc::new(ConnectionPool::new(self.settings(name).checked().expect("settings")))
    }

    /// Connections of a client whose key the sshd accepts.
    pub(crate) fn pool(&self) -> Arc<ConnectionPool> {
        self.pool_with_key("user")
    }

    /// Settings of a client with the user key `name`.
    pub(crate) fn settings(&self, name: &str) -> SshSettings {
        let config = self.path(&format!("{name}.config"));
        let text = format!("IdentitiesOnly yes\nIdentityAgent none\nIdentityFile {}\n", self.path(name).display());
        fs::write(&config, text).expect("written");
        SshSettings { config: Some(config), state_dir: self.path("state") }
    }

    fn wait_for_port(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                Instant::now() < deadline,
                "sshd: {}",
                fs::read_to_string(self.path("sshd.log")).unwrap_or_default()
            );
            std::thread::yield_now();
        }
    }
}

/// Waits until the file at `path` contains `text`.
pub(crate) async fn wait_until_file_contains(path: &Path, text: &str) {
    let mut interval = tokio::time::interval(Duration::from_millis(5));
    while !fs::read_to_string(path).expect("file").contains(text) {
        interval.tick().await;
    }
}

/// Context of an attempt whose events are dropped.
pub(crate) fn context() -> ActionContext {
    ActionContext::detached("step", Arc::new(Secrets::default()))
}

/// A port without a listener.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("address").port()
}

/// Creates a key pair without a passphrase at `path` and `path.pub`.
fn make_key(path: &Path) {
    let status = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status();
    assert!(status.expect("ssh-keygen").success());
}

/// Name of this process's user, the only one that an sshd without root admits.
fn whoami() -> String {
    let output = Command::new("id").arg("-un").output().expect("id");
    String::from_utf8(output.stdout).expect("name").trim().to_owned()
}

/// Configuration with keys of the test only. The programs of the test come first in the path of a
/// session. The home has no startup files, so that those of the user have no effect on the test.
fn sshd_config(dir: &Path, port: u16, max_sessions: usize) -> String {
    let dir = dir.display();
    format!(
        "ListenAddress 0.0.0.0
Port {port}
HostKey {dir}/host
PidFile none
AuthorizedKeysFile {dir}/user.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxSessions {max_sessions}
SetEnv PATH={dir}/programs:/usr/sbin:/usr/bin:/sbin:/bin HOME={dir}/home
"
    )
}
