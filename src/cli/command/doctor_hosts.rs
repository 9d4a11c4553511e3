//! Checks of the registered machines, for `doctor --hosts`.

use std::sync::Arc;

use futures::{StreamExt, stream};
use serde_json::{Value, json};
use stargate::clock::{Clock, UnixMillis};
use stargate_sdk::{ActionError, Finding, Preview, Registry, Secrets};

use super::forecast::preview_action;

/// Number of machines that are checked at the same time.
const PARALLEL: usize = 8;
/// Difference of clocks that is reported, in milliseconds: certificates and leases bear more.
const MAX_CLOCK_DIFFERENCE: i64 = 5_000;
/// Time before the end of a key or certificate at which it is reported: 14 days, in milliseconds.
const SOON: i64 = 14 * 24 * 3600 * 1000;
/// Least memory and free space of a router, in MiB: it runs tailscaled and no pods.
const ROUTER_MIB: u64 = 256;
/// Certificates of a kubelet that has joined a cluster.
const CERTIFICATES: [&str; 2] =
    ["/var/lib/kubelet/pki/kubelet-client-current.pem", "/var/lib/kubelet/pki/kubelet-server-current.pem"];
const FIX: &str = "correct it on the machine, then run the same command again";

/// Finding about one machine.
pub(super) struct HostFinding {
    /// Id of the finding, such as `host worker-1`.
    pub(super) id: String,
    pub(super) finding: Finding,
}

impl HostFinding {
    pub(super) fn to_json(&self) -> Value {
        let Self { id, finding } = self;
        json!({
            "id": id, "summary": "The machine can be reached and is fit for its role.", "status": finding.status,
            "message": finding.message, "hint": finding.hint, "required": [],
        })
    }
}

/// Actions that only read.
struct ReadingActions<'a> {
    registry: &'a Registry,
    secrets: &'a Arc<Secrets>,
}

/// Checks of single machines.
struct HostChecks<'a> {
    actions: ReadingActions<'a>,
    /// Devices of the tailnet.
    devices: &'a [Value],
}

/// Checks each registered router and worker: preflight, clock, certificates, end of the device's
/// key.
pub(super) async fn check_hosts(registry: &Registry, secrets: &Arc<Secrets>) -> Vec<HostFinding> {
    let actions = ReadingActions { registry, secrets };
    let facts = async {
        let inventory = actions.read("kubernetes.inventory.read", json!({})).await?;
        Ok((inventory, actions.read("tailscale.devices.list", json!({})).await?))
    };
    let (inventory, listed) = match facts.await {
        Ok(facts) => facts,
        Err(error) => {
            let finding = Finding::of_error(error, "run `stargate doctor` without `--hosts` first");
            return vec![HostFinding { id: "hosts".into(), finding }];
        }
    };
    let devices = listed["devices"].as_array().map_or(&[][..], Vec::as_slice);
    let machines = |list: &str| inventory[list].as_array().cloned().unwrap_or_default().into_iter();
    let routers = machines("routers").map(|machine| (machine, true));
    let all: Vec<_> = routers.chain(machines("workers").map(|machine| (machine, false))).collect();
    let checks = &HostChecks { actions, devices };
    stream::iter(all).map(|(machine, is_router)| checks.check(machine, is_router)).buffered(PARALLEL).collect().await
}

impl ReadingActions<'_> {
    /// Output of an action that only reads.
    async fn read(&self, action: &str, input: Value) -> Result<Value, ActionError> {
        match preview_action(self.registry, self.secrets, action, input).await? {
            Preview::Unchanged { output } => Ok(output),
            _ => Err(ActionError::permanent(format!("{action} has no preview"))),
        }
    }
}

impl HostChecks<'_> {
    async fn check(&self, machine: Value, is_router: bool) -> HostFinding {
        let id = format!("host {}", machine["name"].as_str().unwrap_or_default());
        let finding = match self.problems(&machine, is_router).await {
            Err(error) => Finding::of_error(error, FIX),
            Ok((facts, warnings)) if warnings.is_empty() => Finding::ok(facts),
            Ok((_, warnings)) => Finding::warning(warnings.join("; "), FIX),
        };
        HostFinding { id, finding }
    }

    /// Words for a machine, and what deserves attention.
    async fn problems(&self, machine: &Value, is_router: bool) -> Result<(String, Vec<String>), ActionError> {
        let mut input = json!({ "host": machine["host"] });
        if is_router {
            input["minimum_memory_mib"] = ROUTER_MIB.into();
            input["minimum_disk_mib"] = ROUTER_MIB.into();
        }
        let before = Clock::system().now();
        let facts = self.actions.read("ssh.host.preflight", input).await?;
        let after = Clock::system().now();
        let known = facts["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut warnings: Vec<String> = known.map(str::to_owned).collect();
        warnings.extend(
            facts["clock_seconds"]
                .as_i64()
                .filter(|clock| *clock > 0)
                .and_then(|clock| clock_warning(clock, before, after)),
        );
        if is_router {
            warnings.extend(self.key_warning(machine, after));
        } else {
            warnings.extend(self.certificate_warnings(machine, after).await?);
        }
        let text = |field: &str| facts[field].as_str().unwrap_or_default().to_owned();
        let number = |field: &str| facts[field].as_u64().unwrap_or_default();
        let words = format!(
            "{} {}, {} MiB of memory, {} MiB free in /var",
            text("os"),
            text("os_version"),
            number("memory_mib"),
            number("disk_free_mib")
        );
        Ok((words, warnings))
    }

    /// Warning about the end of the key of a router's device.
    fn key_warning(&self, router: &Value, now: UnixMillis) -> Option<String> {
        let device = self.devices.iter().find(|device| device["node_id"] == router["node_id"]);
        let Some(device) = device else { return Some("the tailnet has no device with its recorded node id".into()) };
        let expires = device["key_expires"].as_str()?;
        let end: jiff::Timestamp = expires.parse().ok()?;
        (end.as_millisecond() < now.0 + SOON).then(|| format!("the key of its device ends at {expires}"))
    }

    /// Warnings about the certificates of a worker's kubelet. A worker that has not joined has
    /// none.
    async fn certificate_warnings(&self, worker: &Value, now: UnixMillis) -> Result<Vec<String>, ActionError> {
        let mut warnings = Vec::new();
        for path in CERTIFICATES {
            let input = json!({ "host": worker["host"], "path": path });
            let certificate = self.actions.read("ssh.certificate.read", input).await?;
            if certificate["exists"] != true {
                continue;
            }
            let end = certificate["not_after"].as_str().unwrap_or_default();
            if certificate["valid"] != true {
                warnings.push(format!("the certificate {path} is not valid (its end is {end})"));
            } else if ends_before(end, now.0 + SOON) {
                warnings.push(format!("the certificate {path} ends at {end}"));
            }
        }
        Ok(warnings)
    }
}

/// Warning about a clock, in Unix seconds, that was read between two times of this machine.
fn clock_warning(clock: i64, before: UnixMillis, after: UnixMillis) -> Option<String> {
    let (earliest, latest) = (clock * 1000, clock * 1000 + 999);
    let difference = (before.0 - latest).max(earliest - after.0).max(0);
    (difference > MAX_CLOCK_DIFFERENCE).then(|| {
        let side = if earliest > after.0 { "ahead of" } else { "behind" };
        format!("its clock is {} s {side} that of this machine", difference / 1000)
    })
}

/// True if a time as openssl prints it, such as `Jan  2 15:04:05 2027 GMT`, is before another one.
fn ends_before(text: &str, limit: i64) -> bool {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = jiff::civil::DateTime::strptime("%b %d %H:%M:%S %Y GMT", &text).ok();
    let end = end.and_then(|end| end.to_zoned(jiff::tz::TimeZone::UTC).ok());
    end.is_some_and(|end| end.timestamp().as_millisecond() < limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_compared_with_the_time_in_which_it_was_read() {
        let warning = |clock| clock_warning(clock, UnixMillis(100_000), UnixMillis(103_000));
        for clock in [95, 100, 103, 108] {
            assert_eq!(warning(clock), None, "{clock}");
        }
        assert_eq!(warning(93).as_deref(), Some("its clock is 6 s behind that of this machine"));
        assert_eq!(warning(109).as_deref(), Some("its clock is 6 s ahead of that of this machine"));
    }

    #[test]
    fn the_end_of_a_certificate_is_read_as_openssl_prints_it() {
        let end = "2027-01-02T15:04:05Z".parse::<jiff::Timestamp>().expect("a time").as_millisecond();
        assert!(ends_before("Jan  2 15:04:05 2027 GMT", end + 1));
        assert!(!ends_before("Jan  2 15:04:05 2027 GMT", end));
        assert!(!ends_before("soon", end));
    }
}
