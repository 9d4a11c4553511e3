//! Lookup of workflows: by path, by name in ./workflows, and embedded in the program.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashSet},
    io,
    path::{Path, PathBuf},
};

use stargate::{
    plan::{Checked, Include, Outline, Plan},
    workflow::{Diagnostics, GivenInputs, parse},
};
use stargate_sdk::Registry;

use super::{
    Failure,
    exit::Exit,
    text_file::{self, STANDARD_INPUT},
};

/// Workflows that ship with the program, by name.
const EMBEDDED: &[(&str, &str)] = &[
    ("cluster-objects", include_str!("../../workflows/cluster-objects.yaml")),
    ("deploy", include_str!("../../workflows/deploy.yaml")),
    ("deploy-nodes", include_str!("../../workflows/deploy-nodes.yaml")),
    ("provision-aks-router", include_str!("../../workflows/provision-aks-router.yaml")),
    ("provision-dc", include_str!("../../workflows/provision-dc.yaml")),
    ("remove-aks-router", include_str!("../../workflows/remove-aks-router.yaml")),
    ("remove-site", include_str!("../../workflows/remove-site.yaml")),
    ("remove-worker", include_str!("../../workflows/remove-worker.yaml")),
    ("repave-site", include_str!("../../workflows/repave-site.yaml")),
    ("repave-worker", include_str!("../../workflows/repave-worker.yaml")),
    ("sync-pod-routes", include_str!("../../workflows/sync-pod-routes.yaml")),
    ("teardown", include_str!("../../workflows/teardown.yaml")),
    ("trace-path", include_str!("../../workflows/trace-path.yaml")),
    ("verify-connectivity", include_str!("../../workflows/verify-connectivity.yaml")),
];

/// Folder in which workflows are found by name.
const FOLDER: &str = "workflows";

/// Hint for errors in a workflow or an inputs file.
pub(crate) const CORRECT_HINT: &str = "correct the underlined text, then run the same command again";

/// Text of a workflow, with the place it was read from.
pub(crate) struct WorkflowText {
    name: String,
    yaml: String,
    /// Folder of the file; `None` for an embedded workflow.
    folder: Option<PathBuf>,
    /// Files that can be inlined.
    includes: IncludeScope,
}

/// Files that a workflow can inline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum IncludeScope {
    /// Those in the folder of the workflow's file, and below it.
    #[default]
    Folder,
    /// All files that the process can read.
    Anywhere,
}

impl WorkflowText {
    /// Reads the file `name`, or `workflows/NAME.yaml` in the working directory, or the embedded
    /// workflow of that name.
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

    /// Returns the embedded workflow of this name.
    pub(crate) fn shipped(name: &str) -> Result<Self, Failure> {
        embedded(name).ok_or_else(|| unknown(name))
    }

    /// Reads the workflow on standard input, which inlines files of the working directory.
    pub(crate) fn from_standard_input() -> Result<Self, Failure> {
        let yaml = text_file::read_standard_input().map_err(|error| {
            let message = format!("cannot read a workflow from standard input: {error}");
            Failure::new(Exit::Invalid, message, "pass the text of a workflow, or use the path of a YAML file")
        })?;
        Ok(Self { name: STANDARD_INPUT.into(), yaml, folder: Some(PathBuf::new()), includes: IncludeScope::Folder })
    }

    /// Reads the workflow in a file.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let yaml = text_file::read(path).map_err(|error| {
            let message = format!("cannot read workflow {}: {error}", path.display());
            Failure::new(Exit::Invalid, message, "use the path of a YAML file, or one of: ".to_owned() + &shipped())
        })?;
        let folder = path.parent().map(Path::to_owned);
        Ok(Self { name: path.display().to_string(), yaml, folder, includes: IncludeScope::Folder })
    }

    /// Lets the workflow inline these files.
    pub(crate) fn with_includes(self, includes: IncludeScope) -> Self {
        Self { includes, ..self }
    }

    /// Reads the workflow again from the same place.
    pub(crate) fn read_again(&self) -> Result<Self, Failure> {
        let name = self.name.as_str();
        match &self.folder {
            Some(_) => Ok(Self::read(Path::new(name))?.with_includes(self.includes)),
            None => embedded(name.trim_end_matches(".yaml")).ok_or_else(|| unknown(name)),
        }
    }

    /// Returns all embedded workflows.
    pub(crate) fn all_embedded() -> Vec<Self> {
        EMBEDDED.iter().filter_map(|(name, _)| embedded(name)).collect()
    }

    /// Returns the name that is shown to the user: the path, or the name of an embedded workflow
    /// with `.yaml`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns a name that is valid in each working directory: the absolute path, or the name of an
    /// embedded workflow.
    pub(crate) fn absolute_name(&self) -> Result<String, Failure> {
        if self.folder.is_none() {
            return Ok(self.name.trim_end_matches(".yaml").to_owned());
        }
        match std::path::absolute(&self.name) {
            Ok(path) => Ok(path.display().to_string()),
            Err(error) => Err(Failure::internal(format!("find the folder of {}: {error}", self.name))),
        }
    }

    /// Returns the text.
    pub(crate) fn yaml(&self) -> &str {
        &self.yaml
    }

    /// Returns the workflows that can be named, sorted by name: those of ./workflows, and those
    /// that ship and have no file there.
    pub(crate) fn known() -> Vec<(String, Result<Self, Failure>)> {
        let mut found = BTreeMap::new();
        for (name, _) in EMBEDDED {
            found.insert((*name).to_owned(), Self::shipped(name));
        }
        for path in Self::in_workflows_folder() {
            let path = Path::new(&path);
            if let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) {
                found.insert(name.to_owned(), Self::read(path));
            }
        }
        found.into_iter().collect()
    }

    /// True if the workflow ships with the program.
    pub(crate) fn is_embedded(&self) -> bool {
        self.folder.is_none()
    }

    /// Returns the paths of the YAML files in ./workflows, sorted.
    pub(crate) fn in_workflows_folder() -> Vec<String> {
        let entries = std::fs::read_dir(FOLDER).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut files: Vec<_> = entries.filter(|path| is_yaml(path)).map(|path| path.display().to_string()).collect();
        files.sort();
        files
    }

    /// Returns the names of the inputs that the workflow declares; none if it cannot be parsed.
    pub(crate) fn inputs(&self) -> Vec<String> {
        let workflow = parse(&self.name, &self.yaml).workflow;
        workflow.into_iter().flat_map(|workflow| workflow.inputs).map(|input| input.name.value).collect()
    }

    /// Parses and checks the workflow. Returns all errors that can be found without inputs.
    pub(crate) fn check(&self, registry: &Registry) -> Result<Checked, Diagnostics> {
        let inlined = RefCell::default();
        parse(&self.name, &self.yaml).check(registry, &|include| self.load(include, &inlined))
    }

    /// Like [`Self::check`], as a failure.
    pub(crate) fn validate(&self, registry: &Registry) -> Result<Checked, Failure> {
        self.check(registry).map_err(|diagnostics| Failure::invalid(diagnostics, CORRECT_HINT))
    }

    /// Creates the plan of a run with these inputs, with the errors as a failure: also those of
    /// steps that are known before the run.
    pub(crate) fn plan(checked: &Checked, inputs: &GivenInputs) -> Result<Plan, Failure> {
        let plan = checked.plan_given(inputs);
        let plan = plan.and_then(|plan| checked.errors_before_run(&plan, inputs).map_or(Ok(plan), Err));
        plan.map_err(|diagnostics| Failure::invalid(diagnostics, CORRECT_HINT))
    }

    /// Returns the outline of the workflow, which can be displayed without inputs.
    pub(crate) fn outline(&self, registry: &Registry) -> Result<Outline, Failure> {
        self.validate(registry).map(|checked| checked.outline())
    }

    /// Reads a workflow that this one inlines: a file in the same folder, with or without `.yaml`,
    /// or outside of it if that is allowed.
    ///
    /// A name without folder and extension is an embedded workflow if the folder has no such file.
    /// Embedded workflows, whose paths are in `inlined`, inline embedded ones only.
    fn load(&self, include: Include<'_>, inlined: &RefCell<HashSet<String>>) -> Result<(String, String), String> {
        let Some(folder) = &self.folder else { return inlined_embedded(include.written) };
        let embed = || {
            inlined.borrow_mut().insert(include.path.to_owned());
            inlined_embedded(include.written)
        };
        if inlined.borrow().contains(include.from) {
            return embed();
        }
        let has_extension = is_yaml(Path::new(include.path));
        let path = folder.join(if has_extension { include.path.to_owned() } else { format!("{}.yaml", include.path) });
        let is_name = !has_extension && !include.written.contains('/');
        if is_name && matches!(path.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound) {
            return embed().map_err(|reason| format!("{} does not exist, and {reason}", path.display()));
        }
        let text = match self.includes {
            IncludeScope::Folder => read_inside(folder, &path)?,
            IncludeScope::Anywhere => text_file::read(&path)?,
        };
        Ok((path.display().to_string(), text))
    }
}

/// Returns name and text of an embedded workflow.
fn inlined_embedded(file: &str) -> Result<(String, String), String> {
    let found = embedded(file.strip_suffix(".yaml").unwrap_or(file)).ok_or("no such workflow ships with stargate")?;
    Ok((found.name, found.yaml))
}

/// Reads a file that must be inside `folder`: links are followed before that is checked.
fn read_inside(folder: &Path, path: &Path) -> Result<String, String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let real = path.canonicalize().map_err(|error| error.to_string())?;
    let outer = folder.canonicalize().map_err(|error| error.to_string())?;
    if !real.starts_with(&outer) {
        return Err(format!("it is outside of {}; copy it there, or add `--outer-includes`", outer.display()));
    }
    text_file::read(&real)
}

/// Returns `name` as a path if it can only be a path or if the file exists.
fn as_file(name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    let is_path = name.contains('/') || is_yaml(path);
    (is_path || path.is_file()).then(|| path.to_owned())
}

/// True for a name that ends in `.yaml` or `.yml`.
pub(crate) fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "yaml" || end == "yml")
}

fn embedded(name: &str) -> Option<WorkflowText> {
    let (name, yaml) = EMBEDDED.iter().find(|(known, _)| *known == name)?;
    Some(WorkflowText {
        name: format!("{name}.yaml"),
        yaml: (*yaml).into(),
        folder: None,
        includes: IncludeScope::Folder,
    })
}

fn unknown(name: &str) -> Failure {
    let message =
        format!("there is no workflow {name:?}: no such file, not in ./{FOLDER}, and not shipped with stargate");
    Failure::usage(message, format!("use the path of a YAML file, or one of: {}", shipped()))
}

fn shipped() -> String {
    let names: Vec<_> = EMBEDDED.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_workflow_in_the_folder_is_embedded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
        let files = std::fs::read_dir(folder).expect("workflows").map(|entry| entry.expect("entry").path());
        for path in files.filter(|path| path.extension().is_some_and(|end| end == "yaml")) {
            let name = path.file_stem().expect("name").to_string_lossy().into_owned();
            assert!(EMBEDDED.iter().any(|(known, _)| *known == name), "{name} is not embedded");
        }
    }

    #[test]
    fn a_name_is_not_a_path() {
        assert_eq!(as_file("provision-aks-router"), None);
        assert!(as_file("./a").is_some() && as_file("a.yml").is_some());
        assert_eq!(WorkflowText::find("no-such").err().map(|failure| failure.exit()), Some(Exit::Usage));
    }
}
