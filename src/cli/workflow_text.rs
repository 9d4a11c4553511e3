use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use stargate::{
    plan::{Checked, Outline, Plan},
    workflow::{Diagnostics, parse},
};
use stargate_sdk::Registry;

use super::{Failure, exit::Exit};

/// The workflows that ship with the program.
const EMBEDDED: &[(&str, &str)] = &[
    ("cluster-objects", include_str!("../../workflows/cluster-objects.yaml")),
    ("provision-aks-router", include_str!("../../workflows/provision-aks-router.yaml")),
    ("provision-dc", include_str!("../../workflows/provision-dc.yaml")),
    ("remove-worker", include_str!("../../workflows/remove-worker.yaml")),
    ("repave-worker", include_str!("../../workflows/repave-worker.yaml")),
    ("sync-pod-routes", include_str!("../../workflows/sync-pod-routes.yaml")),
];

/// Where workflows of one's own are looked for.
const FOLDER: &str = "workflows";

/// What to do about mistakes.
const CORRECT_HINT: &str = "correct what is underlined, then run the same command again";

/// A workflow's text, and where it is from.
pub(crate) struct WorkflowText {
    name: String,
    yaml: String,
    folder: Option<PathBuf>,
}

impl WorkflowText {
    /// Reads the file that `name` names, or `workflows/NAME.yaml` here, or one that ships with the program.
    pub(crate) fn find(name: &str) -> Result<Self, Failure> {
        if let Some(path) = as_file(name) {
            return Self::read(&path);
        }
        let here = Path::new(FOLDER).join(format!("{name}.yaml"));
        if here.exists() {
            return Self::read(&here);
        }
        embedded(name).ok_or_else(|| unknown(name))
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let yaml = std::fs::read_to_string(path).map_err(|error| {
            let message = format!("the workflow {} cannot be read: {error}", path.display());
            Failure::new(Exit::Invalid, message, "give the path of a YAML file, or one of: ".to_owned() + &shipped())
        })?;
        Ok(Self { name: path.display().to_string(), yaml, folder: path.parent().map(Path::to_owned) })
    }

    /// Every workflow that ships with the program.
    pub(crate) fn all_embedded() -> Vec<Self> {
        EMBEDDED.iter().filter_map(|(name, _)| embedded(name)).collect()
    }

    /// What people know it as.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What finds it again from any folder: its full path, or the name of one that ships.
    pub(crate) fn absolute_name(&self) -> Result<String, Failure> {
        if self.folder.is_none() {
            return Ok(self.name.trim_end_matches(".yaml").to_owned());
        }
        match std::path::absolute(&self.name) {
            Ok(path) => Ok(path.display().to_string()),
            Err(error) => Err(Failure::internal(format!("find the folder of {}: {error}", self.name))),
        }
    }

    /// Whether it ships with the program.
    pub(crate) fn is_embedded(&self) -> bool {
        self.folder.is_none()
    }

    /// Names of the workflows in ./workflows.
    pub(crate) fn in_workflows_folder() -> Vec<String> {
        let entries = std::fs::read_dir(FOLDER).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut files: Vec<_> = entries.filter(|path| is_yaml(path)).map(|path| path.display().to_string()).collect();
        files.sort();
        files
    }

    /// Reports every mistake that can be seen without inputs.
    pub(crate) fn check(&self, registry: &Registry) -> Result<Checked, Diagnostics> {
        parse(&self.name, &self.yaml).check(registry, &|file| self.load(file))
    }

    /// Like [`Self::check`], as a failure.
    pub(crate) fn validate(&self, registry: &Registry) -> Result<Checked, Failure> {
        self.check(registry).map_err(|diagnostics| Failure::invalid(diagnostics, CORRECT_HINT))
    }

    /// Makes the plan of a run with these inputs.
    pub(crate) fn plan(checked: &Checked, inputs: Map<String, Value>) -> Result<Plan, Failure> {
        checked.plan(inputs).map_err(|diagnostics| Failure::invalid(diagnostics, CORRECT_HINT))
    }

    /// Returns the outline of the workflow, which can be displayed without inputs.
    pub(crate) fn outline(&self, registry: &Registry) -> Result<Outline, Failure> {
        self.validate(registry).map(|checked| checked.outline())
    }

    /// A workflow that this one inlines: a file beside its own, with or without `.yaml`, or one that ships.
    fn load(&self, file: &str) -> Result<(String, String), String> {
        let beside = self.folder.as_ref().map(|folder| read_beside(folder, file));
        if let Some(Ok(found)) = beside {
            return Ok(found);
        }
        let name = file.strip_suffix(".yaml").unwrap_or(file);
        match embedded(name.rsplit('/').next().unwrap_or(name)) {
            Some(found) => Ok((found.name, found.yaml)),
            None => Err(match beside {
                Some(Err(reason)) => format!("{reason}, and no such workflow ships with stargate"),
                _ => "no such workflow ships with stargate".into(),
            }),
        }
    }
}

fn read_beside(folder: &Path, file: &str) -> Result<(String, String), String> {
    let path = folder.join(file);
    let path = if is_yaml(&path) { path } else { folder.join(format!("{file}.yaml")) };
    let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
    Ok((path.display().to_string(), text))
}

/// The path, if `name` can only be one, or is one.
fn as_file(name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    let looks_like_one = name.contains('/') || is_yaml(path);
    (looks_like_one || path.is_file()).then(|| path.to_owned())
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "yaml" || end == "yml")
}

fn embedded(name: &str) -> Option<WorkflowText> {
    let (name, yaml) = EMBEDDED.iter().find(|(known, _)| *known == name)?;
    Some(WorkflowText { name: format!("{name}.yaml"), yaml: (*yaml).into(), folder: None })
}

fn unknown(name: &str) -> Failure {
    let message = format!("there is no workflow {name:?}: no file of that name, none in ./{FOLDER}, none that ships");
    Failure::usage(message, format!("give the path of a YAML file, or one of: {}", shipped()))
}

fn shipped() -> String {
    let names: Vec<_> = EMBEDDED.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workflow_of_the_folder_ships() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
        let files = std::fs::read_dir(folder).expect("workflows").map(|entry| entry.expect("entry").path());
        for path in files.filter(|path| path.extension().is_some_and(|end| end == "yaml")) {
            let name = path.file_stem().expect("name").to_string_lossy().into_owned();
            assert!(EMBEDDED.iter().any(|(known, _)| *known == name), "{name} is not embedded");
        }
    }

    #[test]
    fn a_name_is_no_file() {
        assert_eq!(as_file("provision-aks-router"), None);
        assert!(as_file("./a").is_some() && as_file("a.yml").is_some());
        assert_eq!(WorkflowText::find("no-such").err().map(|failure| failure.exit()), Some(Exit::Usage));
    }
}
