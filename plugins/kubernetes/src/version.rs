use std::str::FromStr;

use stargate_sdk::ActionError;

/// A version of Kubernetes. What a distribution adds to it (`-aks.1`, `+k3s1`) says nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) patch: u32,
}

impl FromStr for Version {
    type Err = ActionError;

    fn from_str(text: &str) -> Result<Self, ActionError> {
        let wrong = || ActionError::permanent(format!("{text:?} is no version: expected a form like v1.33.5"));
        let core = text.strip_prefix('v').unwrap_or(text).split(['-', '+']).next().unwrap_or_default();
        let mut parts = core.split('.').map(|part| part.parse().map_err(|_| wrong()));
        let mut next = || parts.next().ok_or_else(wrong)?;
        Ok(Self { major: next()?, minor: next()?, patch: next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_add_to_versions() {
        let version: Version = "v1.33.5-aks.2".parse().expect("a version");
        assert_eq!(version, Version { major: 1, minor: 33, patch: 5 });
        assert!("v1.33".parse::<Version>().is_err());
    }
}
