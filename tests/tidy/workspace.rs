//! The packages of the workspace with their roles, as Cargo reports them.

use std::{path::PathBuf, process::Command, sync::LazyLock};

use serde_json::Value;

use crate::sources::root;

/// A package of the workspace.
pub(crate) struct Package {
    pub(crate) name: String,
    /// `[package.metadata.stargate] role`: `product`, `contract`, `foundation`, `provider`,
    /// `simulator` or `test`.
    pub(crate) role: Option<String>,
    /// Names of its dependencies that are not for tests only.
    pub(crate) dependencies: Vec<String>,
    /// Path of the folder with its library, below the root of the repository.
    pub(crate) source_folder: PathBuf,
}

impl Package {
    /// Name of the library in Rust code.
    pub(crate) fn crate_name(&self) -> String {
        self.name.replace('-', "_")
    }
}

/// Every package of the workspace, from `cargo metadata`.
pub(crate) static PACKAGES: LazyLock<Vec<Package>> = LazyLock::new(|| {
    let arguments = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().iter().map(package).collect()
});

fn package(value: &Value) -> Package {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let dependencies = value["dependencies"].as_array().unwrap().iter();
    let dependencies =
        dependencies.filter(|dependency| dependency["kind"] != "dev").map(|d| text(&d["name"])).collect();
    let role = value.pointer("/metadata/stargate/role").map(text);
    let manifest = PathBuf::from(text(&value["manifest_path"]));
    let source_folder = manifest.parent().unwrap().strip_prefix(root()).unwrap().join("src");
    Package { name: text(&value["name"]), role, dependencies, source_folder }
}

/// Packages with this role.
pub(crate) fn with_role(role: &str) -> impl Iterator<Item = &'static Package> {
    PACKAGES.iter().filter(move |package| package.role.as_deref() == Some(role))
}

/// Package of this name, if it is one of the workspace.
pub(crate) fn find(name: &str) -> Option<&'static Package> {
    PACKAGES.iter().find(|package| package.name == name)
}
