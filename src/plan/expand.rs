use std::{collections::HashMap, sync::Arc};

use stargate_sdk::{DynAction, Registry};

use crate::workflow::{ActionBody, Body, Diagnostic, Spanned, Step, Workflow, nearest::did_you_mean, parse};

/// Gives the name and the text of a file that a step's `workflow:` names, or says why it cannot.
///
/// What a file inlines is beside it: paths are resolved before, and are relative to the folder of the first workflow.
pub type Loader<'a> = dyn Fn(&str) -> Result<(String, String), String> + 'a;

/// Deepest nesting of workflows in each other.
const MAX_DEPTH: usize = 8;
/// Most inlined workflows, and most steps in all: beyond that a plan is no longer something that people look at.
const MAX_SCOPES: usize = 256;
const MAX_STEPS: usize = 10_000;

/// A workflow at one place: the one that was asked for, or one that a step inlines.
pub(super) struct Place {
    pub(super) workflow: Arc<Workflow>,
    pub(super) prefix: String,
    /// Its file, relative to the folder of the first workflow's; empty for that one.
    pub(super) file: String,
    /// The scope and the index of the step that inlines it.
    pub(super) parent: Option<(usize, usize)>,
}

impl Place {
    /// Name that a step of this workflow has in the plan.
    pub(super) fn full_name(&self, step: &str) -> String {
        format!("{}{step}", self.prefix)
    }
}

/// What a name of a workflow's steps stands for.
pub(super) enum Meaning {
    /// The step of that index among all.
    Action(usize),
    /// The workflow in that scope.
    Inlined(usize),
    /// Something that could not be read or loaded, which has been reported.
    Unknown,
}

/// A step that runs an action.
pub(super) struct Unit<'r> {
    pub(super) scope: usize,
    /// Index among the steps of its workflow.
    pub(super) index: usize,
    /// `None` for an action that does not exist, which has been reported.
    pub(super) action: Option<&'r Arc<dyn DynAction>>,
}

/// A workflow with everything that it inlines.
pub(super) struct Expanded<'r> {
    pub(super) places: Vec<Place>,
    pub(super) units: Vec<Unit<'r>>,
    /// For each scope, what its steps' names mean.
    pub(super) meanings: Vec<HashMap<String, Meaning>>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl Expanded<'_> {
    pub(super) fn step(&self, unit: &Unit<'_>) -> &Step {
        &self.places[unit.scope].workflow.steps[unit.index]
    }

    /// The step's action part; units have one.
    pub(super) fn body(&self, unit: &Unit<'_>) -> &ActionBody {
        match &self.step(unit).body {
            Body::Action(body) => body,
            Body::Inline { .. } | Body::Unknown => unreachable!("only steps with an action are units"),
        }
    }

    /// The step that inlines a scope, and the scope it is in.
    pub(super) fn inliner(&self, scope: usize) -> Option<(usize, &Step)> {
        let (parent, index) = self.places[scope].parent?;
        Some((parent, &self.places[parent].workflow.steps[index]))
    }
}

/// Puts inlined workflows in their places and finds the actions.
pub(super) fn expand<'r>(workflow: &Workflow, registry: &'r Registry, loader: &Loader<'_>) -> Expanded<'r> {
    let mut expander = Expander {
        registry,
        loader,
        loaded: HashMap::new(),
        expanded: Expanded { places: Vec::new(), units: Vec::new(), meanings: Vec::new(), diagnostics: Vec::new() },
    };
    let root = Place { workflow: Arc::new(workflow.clone()), prefix: String::new(), file: String::new(), parent: None };
    expander.visit(root, &mut vec![workflow.source.name().to_owned()]);
    expander.expanded
}

struct Expander<'r, 'l> {
    registry: &'r Registry,
    loader: &'l Loader<'l>,
    loaded: HashMap<String, Option<Arc<Workflow>>>,
    expanded: Expanded<'r>,
}

impl Expander<'_, '_> {
    fn visit(&mut self, place: Place, files: &mut Vec<String>) -> usize {
        let scope = self.expanded.places.len();
        let workflow = Arc::clone(&place.workflow);
        let prefix = place.prefix.clone();
        self.expanded.places.push(place);
        self.expanded.meanings.push(HashMap::with_capacity(workflow.steps.len()));
        for (index, step) in workflow.steps.iter().enumerate() {
            let meaning = match &step.body {
                Body::Unknown => Meaning::Unknown,
                Body::Action(body) => self.action(&workflow, scope, index, &body.uses),
                Body::Inline { file } => {
                    let prefix = format!("{prefix}{}/", step.name.value);
                    self.inline(&workflow, file, prefix, (scope, index), files)
                }
            };
            self.expanded.meanings[scope].insert(step.name.value.clone(), meaning);
        }
        scope
    }

    fn action(&mut self, workflow: &Workflow, scope: usize, index: usize, uses: &Spanned<String>) -> Meaning {
        if self.expanded.units.len() >= MAX_STEPS {
            let message = format!("the workflow has more than {MAX_STEPS} steps");
            self.report(workflow, uses, message, "one too many", None);
            return Meaning::Unknown;
        }
        let action = self.registry.find(&uses.value);
        if action.is_none() {
            let names = self.registry.iter().map(|action| action.name());
            let hint =
                did_you_mean(&uses.value, names).unwrap_or_else(|| "`stargate actions` lists all there are".to_owned());
            let message = format!("there is no action {:?}", uses.value);
            self.report(workflow, uses, message, "unknown action", Some(hint));
        }
        self.expanded.units.push(Unit { scope, index, action });
        Meaning::Action(self.expanded.units.len() - 1)
    }

    fn inline(
        &mut self,
        workflow: &Workflow,
        file: &Spanned<String>,
        prefix: String,
        parent: (usize, usize),
        files: &mut Vec<String>,
    ) -> Meaning {
        if files.len() > MAX_DEPTH || self.expanded.places.len() >= MAX_SCOPES {
            let message =
                format!("too many workflows: {MAX_SCOPES} in all and {MAX_DEPTH} inside each other are allowed");
            self.report(workflow, file, message, "not inlined", None);
            return Meaning::Unknown;
        }
        let path = beside(&self.expanded.places[parent.0].file, &file.value);
        let Some(inner) = self.load(workflow, file, &path) else { return Meaning::Unknown };
        let name = inner.source.name().to_owned();
        if files.contains(&name) {
            let circle = format!("{} → {name}", files.join(" → "));
            self.report(workflow, file, format!("the workflow inlines itself: {circle}"), "closes the circle", None);
            return Meaning::Unknown;
        }
        files.push(name);
        let scope = self.visit(Place { workflow: inner, prefix, file: path, parent: Some(parent) }, files);
        files.pop();
        Meaning::Inlined(scope)
    }

    fn load(&mut self, workflow: &Workflow, file: &Spanned<String>, path: &str) -> Option<Arc<Workflow>> {
        if let Some(known) = self.loaded.get(path) {
            return known.clone();
        }
        let loaded = match (self.loader)(path) {
            Ok((name, text)) => {
                let parsed = parse(&name, &text);
                self.expanded.diagnostics.extend(parsed.diagnostics);
                parsed.workflow.map(Arc::new)
            }
            Err(reason) => {
                let message = format!("the workflow {:?} cannot be read: {reason}", file.value);
                self.report(workflow, file, message, "not found here", None);
                None
            }
        };
        self.loaded.insert(path.to_owned(), loaded.clone());
        loaded
    }

    fn report(
        &mut self,
        workflow: &Workflow,
        at: &Spanned<String>,
        message: String,
        label: &str,
        hint: Option<String>,
    ) {
        let code = if hint.is_some() { "plan::unknown_action" } else { "plan::inline" };
        let diagnostic = Diagnostic::new(&workflow.source, code, at.span, message, label).with_hint(hint);
        self.expanded.diagnostics.push(diagnostic);
    }
}

/// The path of `file`, as it is written in the file at `from`.
fn beside(from: &str, file: &str) -> String {
    if file.starts_with('/') {
        return file.to_owned();
    }
    let folder = from.rfind('/').map_or("", |end| &from[..=end]);
    let mut parts: Vec<&str> = Vec::new();
    let path = format!("{folder}{file}");
    for (at, part) in path.split('/').enumerate() {
        match part {
            "." => {}
            "" if at > 0 => {}
            ".." if parts.last().is_some_and(|last| !matches!(*last, "" | "..")) => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_inlines_is_beside_it() {
        let cases = [
            ("", "a.yaml", "a.yaml"),
            ("", "./sub/a.yaml", "sub/a.yaml"),
            ("sub/a.yaml", "b.yaml", "sub/b.yaml"),
            ("sub/a.yaml", "../b.yaml", "b.yaml"),
            ("sub/a.yaml", "../../b.yaml", "../b.yaml"),
            ("../a.yaml", "../b.yaml", "../../b.yaml"),
            ("/etc/a.yaml", "x/../b.yaml", "/etc/b.yaml"),
            ("sub/a.yaml", "/b.yaml", "/b.yaml"),
        ];
        for (from, file, expected) in cases {
            assert_eq!(beside(from, file), expected, "{file} in {from:?}");
        }
    }
}
