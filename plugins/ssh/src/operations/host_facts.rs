use jiff::Timestamp;
use stargate_sdk::ActionError;

use crate::{command::RemoteCommand, remote::Remote};

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
    /// How far its clock is from ours, in seconds.
    pub(crate) clock_off: u64,
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
    /// What curl said when it did not.
    pub(crate) trouble: Option<String>,
}

impl HostFacts {
    /// Asks the host for all of it.
    pub(crate) async fn read(remote: &Remote<'_>, reach: &[String]) -> Result<Self, ActionError> {
        let release = file(remote, "/etc/os-release").await?;
        let mut reached = Vec::new();
        for url in reach {
            reached.push(self::reach(remote, url).await?);
        }
        Ok(Self {
            hostname: line(remote, "uname", &["-n"]).await?,
            os: entry(&release, "ID"),
            os_version: entry(&release, "VERSION_ID"),
            architecture: line(remote, "uname", &["-m"]).await?,
            kernel: line(remote, "uname", &["-r"]).await?,
            machine_id: file(remote, "/etc/machine-id").await?.trim().to_owned(),
            memory: memory(&file(remote, "/proc/meminfo").await?)?,
            disk_free: free(&line(remote, "df", &["-B1", "--output=avail", "/var"]).await?)?,
            // A heading, and a line for each.
            swap: file(remote, "/proc/swaps").await?.lines().count() > 1,
            clock_off: clock_off(&line(remote, "date", &["+%s"]).await?)?,
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

/// It says the state and ends with 1 when that is not `running`.
async fn system(remote: &Remote<'_>) -> Result<String, ActionError> {
    let outcome = remote.run(&RemoteCommand::read("systemctl").args(["is-system-running"])).await?;
    Ok(outcome.stdout.trim().to_owned())
}

/// Any status is an answer; no certificate is checked, because whose it is says the one who uses the URL.
async fn reach(remote: &Remote<'_>, url: &str) -> Result<Reached, ActionError> {
    let arguments = ["-k", "-sS", "-o", "/dev/null", "--max-time", ANSWER_SECONDS, url];
    let outcome = remote.run(&RemoteCommand::read("curl").args(arguments)).await?;
    Ok(Reached { url: url.to_owned(), trouble: (!outcome.is_success()).then(|| outcome.words()) })
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

fn clock_off(date: &str) -> Result<u64, ActionError> {
    let theirs: i64 = date.parse().map_err(|_| unreadable("date"))?;
    Ok(Timestamp::now().as_second().abs_diff(theirs))
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
