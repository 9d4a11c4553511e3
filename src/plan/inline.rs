use std::{collections::HashMap, sync::Arc};

use stargate_sdk::Registry;

use super::{
    inlined_workflow::{ActionStep, InlinedWorkflow, LoopItem, ScopeInstance, WorkflowLoop},
    names::Binding,
};
use crate::workflow::{Diagnostic, InlineBody, Spanned, StepBody, Workflow, parse_sharing, suggest::did_you_mean};

/// Returns name and text of the file that a step's `workflow:` names, or the reason for which it
/// cannot be read.
pub type Loader<'a> = dyn Fn(Include<'_>) -> Result<(String, String), String> + 'a;

/// A workflow that a step inlines.
#[derive(Debug, Clone, Copy)]
pub struct Include<'a> {
    /// Path of the file that has the step, as in `path`; empty for the checked workflow.
    pub from: &'a str,
    /// File as the step names it.
    pub written: &'a str,
    /// Path relative to the folder of the checked workflow: the file as written, joined with the
    /// folder of `from`.
    pub path: &'a str,
}

/// Maximum nesting of workflows inside each other.
const MAX_DEPTH: usize = 8;
/// Maximum number of inlined workflows. A plan with more is too large for people to read.
const MAX_SCOPES: usize = 256;
/// Maximum number of steps with an action, those of inlined workflows included.
const MAX_STEPS: usize = 10_000;

/// Loads the workflows that `workflow` inlines and finds the actions. Errors are added to
/// `found`.
pub(super) fn inline(
    workflow: Workflow,
    registry: &Registry,
    loader: &Loader<'_>,
    found: &mut Vec<Diagnostic>,
) -> InlinedWorkflow {
    let (file, patterns) = (workflow.source.name().to_owned(), Arc::clone(&workflow.patterns));
    let inlined =
        InlinedWorkflow { scopes: Vec::new(), steps: Vec::new(), bindings: Vec::new(), loops: Vec::new(), patterns };
    let mut walk = Inliner { registry, loader, loaded: HashMap::new(), inlined, found };
    let (prefix, path) = (String::new(), String::new());
    let root = ScopeInstance { workflow: Arc::new(workflow), item: None, prefix, file: path, parent: None };
    walk.add_scope(root, &mut vec![file]);
    walk.inlined
}

/// State while the workflows are loaded.
struct Inliner<'a> {
    registry: &'a Registry,
    loader: &'a Loader<'a>,
    /// Workflows by the path of the file that names them and their own, each loaded once; `None` if
    /// that failed.
    loaded: HashMap<(String, String), Option<Arc<Workflow>>>,
    inlined: InlinedWorkflow,
    found: &'a mut Vec<Diagnostic>,
}

impl Inliner<'_> {
    /// Adds a workflow and all that it inlines; returns its scope. `files` are the names of the
    /// files around it.
    fn add_scope(&mut self, instance: ScopeInstance, files: &mut Vec<String>) -> usize {
        let scope = self.inlined.scopes.len();
        let workflow = Arc::clone(&instance.workflow);
        let prefix = instance.prefix.clone();
        self.inlined.scopes.push(instance);
        self.inlined.bindings.push(HashMap::with_capacity(workflow.steps.len()));
        for (index, step) in workflow.steps.iter().enumerate() {
            let binding = match &step.body {
                StepBody::Unknown => Binding::Unknown,
                StepBody::Action(body) => self.add_step(&workflow, scope, index, &body.uses),
                StepBody::Inline(body) => {
                    let name = format!("{prefix}{}", step.name.value);
                    self.inline(&workflow, body, name, (scope, index), files)
                }
            };
            self.inlined.bindings[scope].insert(step.name.value.clone(), binding);
        }
        scope
    }

    /// Adds a step with an action, which may be unknown. Returns the binding of its name.
    fn add_step(&mut self, workflow: &Workflow, scope: usize, index: usize, uses: &Spanned<String>) -> Binding {
        if self.inlined.steps.len() >= MAX_STEPS {
            let message = format!("the workflow has more than {MAX_STEPS} steps");
            self.report(workflow, uses, message, "exceeds the limit", None);
            return Binding::Unknown;
        }
        let action = self.registry.find(&uses.value).cloned();
        if action.is_none() {
            let names = self.registry.iter().map(|action| action.name());
            let hint = did_you_mean(&uses.value, names)
                .unwrap_or_else(|| "run `stargate actions` to list all actions".to_owned());
            let message = format!("there is no action {:?}", uses.value);
            self.report(workflow, uses, message, "unknown action", Some(hint));
        }
        self.inlined.steps.push(ActionStep { scope, index, action });
        Binding::Action(self.inlined.steps.len() - 1)
    }

    /// Adds the workflow of the step `name`. A loop over it gets one instance, which stands for all
    /// of them.
    fn inline(
        &mut self,
        workflow: &Workflow,
        body: &InlineBody,
        name: String,
        step: (usize, usize),
        files: &mut Vec<String>,
    ) -> Binding {
        let Some(each) = &body.for_each else {
            return self
                .inline_once(workflow, &body.file, format!("{name}/"), step, files)
                .map_or(Binding::Unknown, Binding::Inlined);
        };
        let item = LoopItem { variable: each.variable.value.clone(), value: None };
        let around = self.inlined.add_copy(step.0, item);
        let inlined = self.inline_once(workflow, &body.file, format!("{name}/"), (around, step.1), files);
        let Some(scope) = inlined else { return Binding::Unknown };
        self.inlined.loops.push(WorkflowLoop { name, step, limit: None, instances: vec![(String::new(), scope)] });
        Binding::Loop(self.inlined.loops.len() - 1)
    }

    fn inline_once(
        &mut self,
        workflow: &Workflow,
        file: &Spanned<String>,
        prefix: String,
        parent: (usize, usize),
        files: &mut Vec<String>,
    ) -> Option<usize> {
        if files.len() > MAX_DEPTH || self.inlined.scopes.len() >= MAX_SCOPES {
            let message =
                format!("too many inlined workflows: {MAX_SCOPES} in total and {MAX_DEPTH} levels are allowed");
            self.report(workflow, file, message, "not inlined", None);
            return None;
        }
        let from = self.inlined.scopes[parent.0].file.clone();
        let path = relative_path(&from, &file.value);
        let inner = self.load(workflow, file, &from, &path)?;
        let name = inner.source.name().to_owned();
        if files.contains(&name) {
            let cycle = format!("{} → {name}", files.join(" → "));
            self.report(workflow, file, format!("the workflow inlines itself: {cycle}"), "closes the cycle", None);
            return None;
        }
        if let Some(step) = inner.steps.iter().find(|step| step.is_finally) {
            let message = format!(
                "the workflow {:?} has steps under finally ({:?}), which only the workflow that is run can have",
                inner.name.value, step.name.value
            );
            self.report(workflow, file, message, "cannot be included", None);
            return None;
        }
        files.push(name);
        let instance = ScopeInstance { workflow: inner, item: None, prefix, file: path, parent: Some(parent) };
        let scope = self.add_scope(instance, files);
        files.pop();
        Some(scope)
    }

    /// Loads and parses a workflow, once for each pair of paths. A workflow with errors is returned
    /// as far as it could be read, so that more of them can be found.
    fn load(&mut self, workflow: &Workflow, file: &Spanned<String>, from: &str, path: &str) -> Option<Arc<Workflow>> {
        let key = (from.to_owned(), path.to_owned());
        if let Some(known) = self.loaded.get(&key) {
            return known.clone();
        }
        let loaded = match (self.loader)(Include { from, written: &file.value, path }) {
            Ok((name, text)) => {
                let parsed = parse_sharing(&name, &text, &self.inlined.patterns);
                self.found.extend(parsed.diagnostics);
                parsed.workflow.map(Arc::new)
            }
            Err(reason) => {
                let message = format!("the workflow {:?} cannot be read: {reason}", file.value);
                self.report(workflow, file, message, "named here", None);
                None
            }
        };
        self.loaded.insert(key, loaded.clone());
        loaded
    }

    /// Reports an error. The code depends on the hint: only unknown actions have one.
    fn report(
        &mut self,
        workflow: &Workflow,
        at: &Spanned<String>,
        message: String,
        label: &str,
        hint: Option<String>,
    ) {
        let code = if hint.is_some() { "plan::unknown_action" } else { "plan::inline" };
        self.found.push(Diagnostic::new(&workflow.source, code, at.span, message, label).with_hint(hint));
    }
}

/// Returns the path of `file`, as the file at `from` names it, without `.` and `..` where that is
/// possible.
fn relative_path(from: &str, file: &str) -> String {
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
    fn an_inlined_file_is_relative_to_the_file_that_names_it() {
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
            assert_eq!(relative_path(from, file), expected, "{file} in {from:?}");
        }
    }
}
