//! Environment variables of the program: their names, and paths that begin with `~`.

use std::{
    ffi::OsString,
    path::{Component, Path, PathBuf},
};

use stargate::workflow::suggest_name;

use super::Failure;

/// Beginning of the names of all variables of the program.
const PREFIX: &str = "STARGATE_";
/// Variables that begin with [`PREFIX`].
const KNOWN: [&str; 14] = [
    "STARGATE_AZURE_CA",
    "STARGATE_AZURE_ENDPOINT",
    "STARGATE_AZURE_SUBSCRIPTION",
    "STARGATE_AZURE_TOKEN",
    "STARGATE_JOURNAL",
    "STARGATE_KUBECONFIG",
    "STARGATE_KUBE_CONTEXT",
    "STARGATE_LOG",
    "STARGATE_SSH_CONFIG",
    "STARGATE_TAILSCALE_CLIENT_ID",
    "STARGATE_TAILSCALE_CLIENT_SECRET",
    "STARGATE_TAILSCALE_ENDPOINT",
    "STARGATE_TAILSCALE_TAILNET",
    "STARGATE_TEST_LEASE_MS",
];
/// Beginnings of names that only tests and their scripts use.
const OF_TESTS: [&str; 2] = ["STARGATE_TEST_", "STARGATE_RIG"];

/// Environment variables, or a function that replaces them in tests.
pub(super) struct Environment<'a>(pub(super) &'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    /// Returns the value of a variable. An empty value counts as unset.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        debug_assert!(!name.starts_with(PREFIX) || KNOWN.contains(&name), "{name} is not listed");
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// Returns the value of a variable as a path, with `~` replaced.
    pub(super) fn path(&self, name: &str) -> Result<Option<PathBuf>, Failure> {
        self.text(name).map(|path| self.expanded(path.into(), name)).transpose()
    }

    /// Returns the value of a flag as a path, with `~` replaced, or else that of a variable.
    pub(super) fn path_setting(&self, flag: Option<PathBuf>, name: &str) -> Result<Option<PathBuf>, Failure> {
        match flag {
            Some(path) => self.expanded(path, "the command line").map(Some),
            None => self.path(name),
        }
    }

    /// Replaces `~` at the start of a path by the home folder, which a shell does not do in a unit,
    /// in a container, and in `--flag=~/file`.
    fn expanded(&self, path: PathBuf, place: &str) -> Result<PathBuf, Failure> {
        let mut parts = path.components();
        let Some(Component::Normal(first)) = parts.next() else { return Ok(path) };
        let name = first.to_string_lossy();
        let Some(user) = name.strip_prefix("sqlite:").unwrap_or(&name).strip_prefix('~') else { return Ok(path) };
        match self.text("HOME") {
            Some(home) if user.is_empty() => Ok(Path::new(&home).join(parts.as_path())),
            _ => Err(Failure::usage(
                format!("the path {} of {place} begins with ~, which cannot be replaced by a folder", path.display()),
                format!("write the whole path, or ./{} for a file of that name", path.display()),
            )),
        }
    }
}

/// Checks the names of the variables that begin with `STARGATE_`, and that their values are text.
/// Empty ones count as unset.
///
/// # Errors
/// A usage failure that names an unknown variable, and the most similar known one.
pub(super) fn check(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<(), Failure> {
    for (name, value) in variables.filter(|(_, value)| !value.is_empty()) {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        if KNOWN.contains(&name) {
            if value.to_str().is_none() {
                let message = format!("the variable {name} cannot be used: it is not UTF-8");
                return Err(Failure::usage(message, format!("run `unset {name}`, or set another value")));
            }
        } else if !OF_TESTS.iter().any(|known| name.starts_with(known)) && !is_of_service(name) {
            return Err(unknown(name));
        }
    }
    Ok(())
}

/// True for a variable that Kubernetes sets in each pod of a namespace with a service whose name
/// begins with `stargate`.
fn is_of_service(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_")
}

/// Creates the failure for an unknown variable. Its value, which could be a secret, is not
/// repeated.
fn unknown(name: &str) -> Failure {
    let hint = match suggest_name(name, KNOWN) {
        Some(near) => format!("set {near}, the most similar variable, or run `unset {name}`"),
        None => format!("run `unset {name}`, and `stargate --help` to see the variables"),
    };
    Failure::usage(format!("unknown variable {name}: names that begin with {PREFIX} are settings"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str) -> Option<(String, String)> {
        let variables = [("PATH", "/bin"), (name, "x")].map(|(name, value)| (name.into(), value.into()));
        check(variables.into_iter()).err().map(|failure| (failure.to_string(), failure.hint().to_owned()))
    }

    #[test]
    fn an_unknown_variable_is_refused_with_the_most_similar_one() {
        let (message, hint) = refused("STARGATE_JOURNL").expect("unknown");
        assert!(message.contains("STARGATE_JOURNL") && hint.contains("STARGATE_JOURNAL"), "{message} {hint}");
        assert!(refused("STARGATE_PROXY_SETTINGS").is_some());
        for name in [
            "STARGATE_JOURNAL",
            "STARGATE_TEST_LEASE_MS",
            "STARGATE_PORT_443_TCP_ADDR",
            "STARGATE_SERVICE_HOST",
            "STARGATE",
            "TZ",
        ] {
            assert_eq!(refused(name), None, "{name}");
        }
    }

    #[test]
    fn a_tilde_is_the_home_folder_and_a_user_is_refused() {
        let home = |name: &str| (name == "HOME").then(|| "/home/a".to_owned());
        let read = |path: &str| Environment(&home).expanded(path.into(), "STARGATE_JOURNAL");
        for (path, expected) in [
            ("~/j.db", "/home/a/j.db"),
            ("sqlite:~/j.db", "/home/a/j.db"),
            ("./~/j.db", "./~/j.db"),
            ("/~/j.db", "/~/j.db"),
            ("j~.db", "j~.db"),
        ] {
            assert_eq!(read(path).expect("a path"), Path::new(expected), "{path}");
        }
        assert!(read("~root/j.db").expect_err("a user").to_string().contains("~root/j.db of STARGATE_JOURNAL"));
        assert!(Environment(&|_| None).expanded("~/j.db".into(), "x").is_err(), "HOME is not set");
    }
}
