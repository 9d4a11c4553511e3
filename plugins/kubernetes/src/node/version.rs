use std::str::FromStr;

use stargate_sdk::ActionError;

/// Maximum number of minor versions that a kubelet can be older than the API server (Kubernetes
/// documentation, "Version Skew Policy").
const MAX_MINOR_SKEW: u32 = 3;

/// Version of a Kubernetes component. Additions of distributions (`-aks.1`, `+k3s1`) are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct KubernetesVersion {
    major: u32,
    minor: u32,
    patch: u32,
}

impl FromStr for KubernetesVersion {
    type Err = ActionError;

    fn from_str(text: &str) -> Result<Self, ActionError> {
        let error = || ActionError::permanent(format!("{text:?} is not a version: expected a form like v1.33.5"));
        let core = text.strip_prefix('v').unwrap_or(text).split(['-', '+']).next().unwrap_or_default();
        let mut numbers = core.split('.').map(|number| number.parse().map_err(|_| error()));
        let mut next = || numbers.next().ok_or_else(error)?;
        Ok(Self { major: next()?, minor: next()?, patch: next()? })
    }
}

/// Checks that a kubelet is not newer than the API server, and at most [`MAX_MINOR_SKEW`] minor
/// versions older.
///
/// # Errors
/// `Permanent` if the versions do not fit, or one of them has another form.
pub(crate) fn check_version_skew(kubelet: &str, server: &str) -> Result<(), ActionError> {
    let (own, of_server): (KubernetesVersion, KubernetesVersion) = (kubelet.parse()?, server.parse()?);
    if own > of_server {
        return Err(ActionError::permanent(format!("kubelet {kubelet} is newer than the API server, {server}"))
            .with_hint("upgrade the cluster first, or give an older kubelet_version"));
    }
    if own.major != of_server.major || of_server.minor - own.minor > MAX_MINOR_SKEW {
        return Err(ActionError::permanent(format!(
            "kubelet {kubelet} is more than three minor versions older than the API server, {server}"
        ))
        .with_hint("give a newer kubelet_version"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_of_distributions_are_ignored() {
        let version: KubernetesVersion = "v1.33.5-aks.2".parse().expect("a version");
        assert_eq!(version, KubernetesVersion { major: 1, minor: 33, patch: 5 });
        assert!("v1.33".parse::<KubernetesVersion>().is_err());
    }

    #[test]
    fn a_kubelet_is_not_newer_and_not_much_older() {
        for fits in ["v1.33.5", "v1.33.4", "1.30.0", "v1.32.11"] {
            check_version_skew(fits, "v1.33.5").expect(fits);
        }
        for refused in ["v1.33.6", "v1.34.0", "v1.29.9", "v0.33.5", "latest"] {
            check_version_skew(refused, "v1.33.5").expect_err(refused);
        }
    }
}
