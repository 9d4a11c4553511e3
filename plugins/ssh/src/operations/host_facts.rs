use stargate_sdk::ActionError;

use crate::{
    command::RemoteCommand,
    outcome::{NOT_INSTALLED, SUDO_DENIED},
    remote::Remote,
};

/// How long a URL may take to answer, in seconds, as curl is told.
const ANSWER_SECONDS: &str = "10";

/// What a host says of itself.
#[derive(Debug, Clone)]
pub(crate) struct HostFacts {
    pub(crate) hostname: String,
    pub(crate) os: String,
    pub(crate) os_version: String,
    pub(crate) architecture: String,
    pub(crate) kernel: String,
    pub(crate) machine_id: String,
    /// In bytes.
    pub(crate) memory: u64,
    /// In bytes, below /var.
    pub(crate) disk_free: u64,
    pub(crate) swap: bool,
    /// Whether its clock is synchronised; `None` where nobody knows.
    pub(crate) synchronised: Option<bool>,
    /// What sudo said instead of letting the user be root.
    pub(crate) sudo_refusal: Option<String>,
    /// `v1` or `v2`.
    pub(crate) cgroup: String,
    /// As `systemctl is-system-running` says.
    pub(crate) system: String,
    pub(crate) reached: Vec<Reached>,
}

/// Whether a URL answered.
#[derive(Debug, Clone)]
pub(crate) struct Reached {
    pub(crate) url: String,
    pub(crate) answer: Answer,
}

/// What came of asking a URL.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Some HTTP status.
    Some,
    /// None, and what curl said.
    None(String),
    /// Nobody asked: the host has no curl.
    NotAsked,
}

impl HostFacts {
    /// Asks the host for all of it.
    pub(crate) async fn read(remote: &Remote<'_>, reach: &[String]) -> Result<Self, ActionError> {
        let release = file(remote, "/etc/os-release").await?;
        let (machine_id, sudo_refusal) = machine_id(remote).await?;
        let mut reached = Vec::new();
        for url in reach {
            reached.push(self::reach(remote, url).await?);
        }
        Ok(Self {
            hostname: line(remote, "hostname", &[]).await?,
            os: entry(&release, "ID"),
            os_version: entry(&release, "VERSION_ID"),
            architecture: line(remote, "uname", &["-m"]).await?,
            kernel: line(remote, "uname", &["-r"]).await?,
            machine_id,
            sudo_refusal,
            memory: memory(&file(remote, "/proc/meminfo").await?)?,
            disk_free: free(&line(remote, "df", &["-B1", "--output=avail", "/var"]).await?)?,
            // A heading, and a line for each.
            swap: file(remote, "/proc/swaps").await?.lines().count() > 1,
            synchronised: synchronised(remote).await?,
            cgroup: cgroup(&line(remote, "stat", &["-fc", "%T", "/sys/fs/cgroup"]).await?).into(),
            system: system(remote).await?,
            reached,
        })
    }
}

async fn line(remote: &Remote<'_>, program: &'static str, args: &[&str]) -> Result<String, ActionError> {
    let command = RemoteCommand::read(program).args(args.iter().copied());
    Ok(remote.succeed(&command).await?.stdout.trim().to_owned())
}

async fn file(remote: &Remote<'_>, path: &str) -> Result<String, ActionError> {
    Ok(remote.succeed(&RemoteCommand::read("cat").args([path])).await?.stdout)
}

/// Everyone may read it; as root, it shows at the same time whether the user may be root.
async fn machine_id(remote: &Remote<'_>) -> Result<(String, Option<String>), ActionError> {
    let command = RemoteCommand::read("cat").args(["/etc/machine-id"]).with_root();
    let outcome = remote.run(&command).await?;
    if outcome.is_success() {
        return Ok((outcome.stdout.trim().to_owned(), None));
    }
    let error = outcome.failure(&command);
    // 127 is the shell's word for a machine that has no sudo at all.
    if error.code.as_deref() == Some(SUDO_DENIED) || outcome.code == 127 {
        return Ok((String::new(), Some(outcome.words())));
    }
    Err(remote.context(error))
}

async fn synchronised(remote: &Remote<'_>) -> Result<Option<bool>, ActionError> {
    let command = RemoteCommand::read("timedatectl").args(["show", "-p", "NTPSynchronized", "--value"]);
    Ok(match remote.run(&command).await?.stdout.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    })
}

/// It says the state and ends with 1 when that is not `running`.
async fn system(remote: &Remote<'_>) -> Result<String, ActionError> {
    let outcome = remote.run(&RemoteCommand::read("systemctl").args(["is-system-running"])).await?;
    let state = outcome.stdout.trim();
    Ok(if state.is_empty() { outcome.words() } else { state.to_owned() })
}

/// Any status is an answer; no certificate is checked, because whose it is says the one who uses the URL.
async fn reach(remote: &Remote<'_>, url: &str) -> Result<Reached, ActionError> {
    let arguments = ["-k", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", ANSWER_SECONDS, url];
    let curl = RemoteCommand::read("curl").args(arguments);
    let outcome = remote.run(&curl).await?;
    let answer = if outcome.is_success() {
        Answer::Some
    } else if outcome.failure(&curl).code.as_deref() == Some(NOT_INSTALLED) {
        Answer::NotAsked
    } else {
        // Its standard output is but the status: 000.
        Answer::None(outcome.stderr.trim().to_owned())
    };
    Ok(Reached { url: url.to_owned(), answer })
}

/// The value of a variable in a file of shell assignments.
fn entry(text: &str, name: &str) -> String {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
}

fn memory(meminfo: &str) -> Result<u64, ActionError> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|total| total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| unreadable("/proc/meminfo"))
}

/// A heading, and the number.
fn free(df: &str) -> Result<u64, ActionError> {
    df.lines().last().and_then(|bytes| bytes.trim().parse().ok()).ok_or_else(|| unreadable("df"))
}

fn cgroup(file_system: &str) -> &'static str {
    if file_system == "cgroup2fs" { "v2" } else { "v1" }
}

fn unreadable(what: &str) -> ActionError {
    ActionError::permanent(format!("{what} of the host says nothing that can be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hosts_print_is_read() {
        assert_eq!(entry("NAME=\"Ubuntu\"\nVERSION_ID=\"22.04\"\nID=ubuntu\n", "VERSION_ID"), "22.04");
        assert_eq!(entry("ID_LIKE=debian\nID=ubuntu\n", "ID"), "ubuntu");
        assert_eq!(memory("MemTotal:        4010420 kB\nMemFree: 1 kB\n").expect("memory"), 4_010_420 * 1024);
        assert_eq!(free("       Avail\n40105832448").expect("bytes"), 40_105_832_448);
        free("Avail").expect_err("no number");
        assert_eq!((cgroup("cgroup2fs"), cgroup("tmpfs")), ("v2", "v1"));
    }
}
