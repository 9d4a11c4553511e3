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
use crate::{Host, SshSettings, pool::Pool};

const SSHD: &str = "/usr/sbin/sshd";

/// An sshd of the test's own; it ends with the test.
pub(crate) struct Server {
    dir: TempDir,
    port: u16,
    sshd: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.sshd.kill().ok();
        self.sshd.wait().ok();
    }
}

impl Server {
    /// Starts one; `None`, and a word about it, on a machine without sshd.
    pub(crate) fn start() -> Option<Self> {
        if !Path::new(SSHD).exists() {
            writeln!(std::io::stderr(), "SKIPPED: {SSHD} is not installed").expect("written");
            return None;
        }
        fs::create_dir_all("/run/sshd").ok(); // An sshd that runs as root insists on it.
        let dir = tempfile::tempdir_in("/tmp").expect("directory");
        for name in ["host", "other-host", "user", "other-user"] {
            make_key(&dir.path().join(name));
        }
        write_programs(dir.path());
        let port = free_port();
        fs::write(dir.path().join("sshd_config"), sshd_config(dir.path(), port)).expect("written");
        let sshd = Command::new(SSHD)
            .args(["-D", "-f"])
            .arg(dir.path().join("sshd_config"))
            .arg("-E")
            .arg(dir.path().join("sshd.log"))
            .stdin(Stdio::null())
            .spawn()
            .expect("sshd runs");
        let server = Self { dir, port, sshd };
        server.wait_for_port();
        Some(server)
    }

    /// The test's own directory, below which the programs keep their state.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Changes a file of the programs' state in one go.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let beside = self.path("beside");
        fs::write(&beside, text).expect("written");
        fs::rename(&beside, self.path(name)).expect("renamed");
    }

    /// What the sessions' programs were called with, those that only read left out.
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

    /// How often somebody logged in.
    pub(crate) fn logins(&self) -> usize {
        fs::read_to_string(self.path("sshd.log")).unwrap_or_default().matches("Accepted publickey").count()
    }

    /// The server as a host, with its own key pinned.
    pub(crate) fn host(&self) -> Host {
        self.host_with_key("host")
    }

    /// The server as a host, with the pinned key of that name.
    pub(crate) fn host_with_key(&self, name: &str) -> Host {
        Host {
            address: "127.0.0.1".into(),
            user: whoami(),
            host_key: fs::read_to_string(self.path(&format!("{name}.pub"))).expect("key").trim().to_owned(),
            port: Some(self.port),
            via: None,
        }
    }

    /// Connections of a client that has the key of that name.
    pub(crate) fn pool_with_key(&self, name: &str) -> Arc<Pool> {
        Arc::new(Pool::new(self.settings(name).checked().expect("settings")))
    }

    /// Connections of a client that may log in.
    pub(crate) fn pool(&self) -> Arc<Pool> {
        self.pool_with_key("user")
    }

    /// Settings of a client that has the key of that name.
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

/// Waits until the file of that path holds `text`.
pub(crate) async fn until_file_holds(path: &Path, text: &str) {
    let mut interval = tokio::time::interval(Duration::from_millis(5));
    while !fs::read_to_string(path).expect("file").contains(text) {
        interval.tick().await;
    }
}

/// An attempt with no one to tell.
pub(crate) fn context() -> ActionContext {
    ActionContext::detached("step", Arc::new(Secrets::default()))
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("address").port()
}

fn make_key(path: &Path) {
    let status = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status();
    assert!(status.expect("ssh-keygen").success());
}

fn whoami() -> String {
    let output = Command::new("id").arg("-un").output().expect("id");
    String::from_utf8(output.stdout).expect("name").trim().to_owned()
}

fn sshd_config(dir: &Path, port: u16) -> String {
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
MaxSessions 10
SetEnv PATH={dir}/programs:/usr/sbin:/usr/bin:/sbin:/bin
"
    )
}
