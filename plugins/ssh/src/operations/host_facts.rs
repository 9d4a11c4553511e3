use stargate_sdk::ActionError;

use crate::client::{NOT_INSTALLED, Remote, RemoteCommand, SUDO_DENIED};

/// Timeout of a URL probe, in seconds, for curl.
const PROBE_TIMEOUT_SECONDS: &str = "10";

/// Properties of a host, as its own programs report them.
#[derive(Debug, Clone)]
pub(crate) struct HostFacts {
    pub(crate) hostname: String,
    /// Distribution, such as `ubuntu`.
    pub(crate) os: String,
    pub(crate) os_version: String,
    /// Machine hardware name, such as `x86_64`.
    pub(crate) architecture: String,
    /// Release of the kernel.
    pub(crate) kernel: String,
    pub(crate) machine_id: String,
    /// Total memory, in bytes.
    pub(crate) memory: u64,
    /// Free space of the file system of /var, in bytes.
    pub(crate) disk_free: u64,
    /// True if a swap area is in use.
    pub(crate) swap: bool,
    /// True if the clock is synchronised; `None` if the host does not report it.
    pub(crate) synchronised: Option<bool>,
    /// Message with which sudo refused the user; `None` if it did not.
    pub(crate) sudo_refusal: Option<String>,
    /// Time of the clock, in seconds since 1970; 0 if it is not known.
    pub(crate) clock_seconds: i64,
    /// Version of control groups: `v1` or `v2`.
    pub(crate) cgroup: String,
    /// State of the system, as `systemctl is-system-running` prints it.
    pub(crate) system: String,
    /// Probes of the requested URLs, in their order.
    pub(crate) probes: Vec<UrlProbe>,
}

/// Request of a URL from the host.
#[derive(Debug, Clone)]
pub(crate) struct UrlProbe {
    pub(crate) url: String,
    pub(crate) result: ProbeResult,
}

/// Result of a URL probe.
#[derive(Debug, Clone)]
pub(crate) enum ProbeResult {
    /// The server responded, with any HTTP status.
    Responded,
    /// There was no response, for the reason that curl printed.
    NoResponse(String),
    /// The request was not sent, because the host has no curl.
    NotSent,
}

impl HostFacts {
    /// Reads all properties and requests each of `urls`.
    ///
    /// # Errors
    /// If the host cannot be reached or prints something unexpected.
    pub(crate) async fn read(remote: &Remote<'_>, urls: &[String]) -> Result<Self, ActionError> {
        let release = file(remote, "/etc/os-release").await?;
        let (machine_id, sudo_refusal) = machine_id(remote).await?;
        let mut probes = Vec::new();
        for url in urls {
            probes.push(probe(remote, url).await?);
        }
        Ok(Self {
            hostname: line(remote, "hostname", &[]).await?,
            os: variable(&release, "ID"),
            os_version: variable(&release, "VERSION_ID"),
            architecture: line(remote, "uname", &["-m"]).await?,
            kernel: line(remote, "uname", &["-r"]).await?,
            machine_id,
            sudo_refusal,
            memory: parse_memory(&file(remote, "/proc/meminfo").await?)?,
            disk_free: parse_free(&line(remote, "df", &["-B1", "--output=avail", "/var"]).await?)?,
            // The first line is a heading.
            swap: file(remote, "/proc/swaps").await?.lines().count() > 1,
            synchronised: synchronised(remote).await?,
            cgroup: cgroup_version(&line(remote, "stat", &["-fc", "%T", "/sys/fs/cgroup"]).await?).into(),
            system: system_state(remote).await?,
            clock_seconds: line(remote, "date", &["+%s"]).await?.parse().unwrap_or_default(),
            probes,
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

/// Reads the machine id as root. Every user may read it, so that a failure shows that sudo refuses
/// the user.
async fn machine_id(remote: &Remote<'_>) -> Result<(String, Option<String>), ActionError> {
    let command = RemoteCommand::read("cat").args(["/etc/machine-id"]).with_root();
    let output = remote.run(&command).await?;
    if output.is_success() {
        return Ok((output.stdout.trim().to_owned(), None));
    }
    let error = output.to_error(&command);
    // The exit code is 127 if the machine has no sudo.
    if error.code.as_deref() == Some(SUDO_DENIED) || output.code == 127 {
        return Ok((String::new(), Some(output.text())));
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

/// Reads the state of the system. The exit code is 1 for any state but `running`.
async fn system_state(remote: &Remote<'_>) -> Result<String, ActionError> {
    let output = remote.run(&RemoteCommand::read("systemctl").args(["is-system-running"])).await?;
    let state = output.stdout.trim();
    Ok(if state.is_empty() { output.text() } else { state.to_owned() })
}

/// Requests `url`. Any status is a response, and the certificate is not checked: the program that
/// uses the URL does that.
async fn probe(remote: &Remote<'_>, url: &str) -> Result<UrlProbe, ActionError> {
    let arguments = ["-k", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", PROBE_TIMEOUT_SECONDS, url];
    let curl = RemoteCommand::read("curl").args(arguments);
    let output = remote.run(&curl).await?;
    let result = if output.is_success() {
        ProbeResult::Responded
    } else if output.to_error(&curl).code.as_deref() == Some(NOT_INSTALLED) {
        ProbeResult::NotSent
    } else {
        // Standard output contains only the status `000`.
        ProbeResult::NoResponse(output.stderr.trim().to_owned())
    };
    Ok(UrlProbe { url: url.to_owned(), result })
}

/// The value of a variable in a file of shell assignments; empty if it is not assigned.
fn variable(text: &str, name: &str) -> String {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
}

/// Total memory in bytes, from `/proc/meminfo`.
fn parse_memory(meminfo: &str) -> Result<u64, ActionError> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|total| total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| unexpected_output("/proc/meminfo"))
}

/// Free bytes, from the output of `df`: a heading and the number.
fn parse_free(df: &str) -> Result<u64, ActionError> {
    df.lines().last().and_then(|bytes| bytes.trim().parse().ok()).ok_or_else(|| unexpected_output("df"))
}

fn cgroup_version(file_system: &str) -> &'static str {
    if file_system == "cgroup2fs" { "v2" } else { "v1" }
}

fn unexpected_output(source: &str) -> ActionError {
    ActionError::permanent(format!("{source} of the host has an unexpected form"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_hosts_is_parsed() {
        assert_eq!(variable("NAME=\"Ubuntu\"\nVERSION_ID=\"22.04\"\nID=ubuntu\n", "VERSION_ID"), "22.04");
        assert_eq!(variable("ID_LIKE=debian\nID=ubuntu\n", "ID"), "ubuntu");
        assert_eq!(parse_memory("MemTotal:        4010420 kB\nMemFree: 1 kB\n").expect("memory"), 4_010_420 * 1024);
        assert_eq!(parse_free("       Avail\n40105832448").expect("bytes"), 40_105_832_448);
        parse_free("Avail").expect_err("no number");
        assert_eq!((cgroup_version("cgroup2fs"), cgroup_version("tmpfs")), ("v2", "v1"));
    }
}
