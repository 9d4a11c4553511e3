use super::field::{ShellField, is_pattern, pattern};
use crate::host::shell::interpreter::{Flow, Shell};
use crate::host::shell::pattern::matches;
use crate::host::state::{Files, Kind};

impl Shell<'_> {
    /// Returns the paths that match a field, sorted.
    ///
    /// A field that is not a pattern, or that matches nothing, is returned unchanged.
    pub(super) fn paths(&mut self, field: &ShellField) -> Result<Vec<String>, Flow> {
        if !field.is_pattern() || self.options.noglob {
            return Ok(vec![field.text()]);
        }
        let directory = self.process.directory.clone();
        let mut paths = self.process.with(|place| matching(&place.machine.files, &directory, field))?;
        paths.sort();
        Ok(if paths.is_empty() { vec![field.text()] } else { paths })
    }
}

/// Returns the paths that match a pattern, component by component.
fn matching(files: &Files, directory: &str, field: &ShellField) -> Vec<String> {
    let components: Vec<&[(char, bool)]> = field.characters.split(|(c, _)| *c == '/').collect();
    let mut paths = vec![String::new()];
    for (index, component) in components.iter().enumerate() {
        let slash = if index + 1 < components.len() { "/" } else { "" };
        let names = |path: &String| -> Vec<String> {
            if is_pattern(component) {
                return names_in(files, &Files::absolute(directory, path), component);
            }
            vec![component.iter().map(|(c, _)| c).collect()]
        };
        paths = paths
            .iter()
            .flat_map(|path| names(path).into_iter().map(move |name| format!("{path}{name}{slash}")))
            .collect();
    }
    paths.retain(|path| {
        let absolute = Files::absolute(directory, path);
        files.get(&absolute).is_some_and(|node| !path.ends_with('/') || matches!(node.kind, Kind::Directory))
    });
    paths
}

/// Returns the names in a directory that match a pattern.
///
/// A name that starts with a dot needs a pattern that does, too.
fn names_in(files: &Files, directory: &str, component: &[(char, bool)]) -> Vec<String> {
    let pattern = pattern(component);
    let Ok(directory) = files.resolve(directory, true) else { return Vec::new() };
    let is_hidden = pattern.starts_with('.');
    let own = [".", ".."].into_iter().filter(|_| is_hidden);
    let names = files.children(&directory).map(|(name, _)| name).chain(own);
    let names = names.filter(|name| is_hidden || !name.starts_with('.'));
    names.filter(|name| matches(&pattern, name)).map(str::to_owned).collect()
}
