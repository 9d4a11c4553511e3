use std::net::IpAddr;

use stargate_sdk::ActionError;

use super::file;
use crate::client::Remote;

/// File that the resolver of the C library reads, and a kubelet by default.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// File in which systemd-resolved lists the name servers that it forwards to.
const UPSTREAM: &str = "/run/systemd/resolve/resolv.conf";

/// Resolver file for the pods of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodResolver {
    /// Absolute path of the file, for `resolvConf` of a kubelet.
    pub(crate) path: String,
    /// Reason for which pods cannot use the file.
    pub(crate) problem: Option<String>,
    /// True if the file names no name server.
    pub(crate) is_empty: bool,
}

impl PodResolver {
    /// Reads the file that `named` names. Without a name it is `/etc/resolv.conf` or, if that one
    /// cannot be used, the file of systemd-resolved.
    pub(crate) async fn read(remote: &Remote<'_>, named: Option<&str>) -> Result<Self, ActionError> {
        if let Some(path) = named {
            file::check_path(path)?;
        }
        let path = named.unwrap_or(RESOLV_CONF);
        let first = Self::of(path, file::read(remote, path).await?.as_deref());
        if named.is_some() || first.problem.is_none() {
            return Ok(first);
        }
        let upstream = Self::of(UPSTREAM, file::read(remote, UPSTREAM).await?.as_deref());
        Ok(if upstream.problem.is_none() && !upstream.is_empty { upstream } else { first })
    }

    fn of(path: &str, content: Option<&str>) -> Self {
        let servers = content.map(name_servers).unwrap_or_default();
        let problem = match servers.iter().find(|server| is_own(server)) {
            _ if content.is_none() => Some(format!("the resolver file {path} does not exist")),
            Some(own) => {
                Some(format!("the resolver file {path} names the host itself ({own}), which for a pod is the pod"))
            }
            None => None,
        };
        Self { path: path.to_owned(), problem, is_empty: servers.is_empty() }
    }
}

/// Addresses of the lines `nameserver`.
fn name_servers(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::split_ascii_whitespace);
    lines.filter_map(|mut words| (words.next() == Some("nameserver")).then(|| words.next()).flatten()).collect()
}

/// True if the address is the host that asks: loopback, or not specified.
fn is_own(server: &str) -> bool {
    let address = server.split('%').next().unwrap_or(server).parse::<IpAddr>();
    address.is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(content: Option<&str>) -> Option<String> {
        PodResolver::of(RESOLV_CONF, content).problem
    }

    #[test]
    fn a_stub_is_refused_and_an_upstream_is_not() {
        assert_eq!(problem(Some("# nameserver 127.0.0.1\nnameserver 168.63.129.16\noptions edns0\n")), None);
        assert_eq!(problem(Some("nameserver fe80::1%eth0\n")), None);
        for stub in ["nameserver 127.0.0.53\n", "nameserver 10.0.0.2\nnameserver ::1\n", "nameserver 0.0.0.0\n"] {
            assert!(problem(Some(stub)).is_some_and(|problem| problem.contains("the host itself")), "{stub}");
        }
        assert!(problem(None).is_some_and(|problem| problem.ends_with("does not exist")));
        assert!(PodResolver::of(RESOLV_CONF, Some("search example\n")).is_empty);
    }
}
