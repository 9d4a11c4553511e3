use crate::host::shell::interpreter::{Dialect, Run, Shell};
use crate::host::shell::variables::is_name;

impl Shell<'_> {
    /// Runs `export` or `readonly` with its assignments; without names it lists the variables.
    pub(super) fn declare(&mut self, kind: &str, words: &[String]) -> Run {
        let names: Vec<&String> = words.iter().filter(|word| !matches!(word.as_str(), "-p" | "--")).collect();
        if let Some(option) = names.iter().find(|word| word.starts_with('-')) {
            return Err(self.refuse(&format!("{kind} {option}")));
        }
        if names.is_empty() {
            return self.list_variables(kind);
        }
        for word in names {
            let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
            if !is_name(name) {
                return self.builtin_error(&format!("{kind}: {name}: bad variable name"));
            }
            if let Some(value) = value {
                self.assign(name, value.to_owned())?;
            }
            if kind == "export" {
                self.export(name);
            } else {
                self.variables.entry(name).readonly = true;
            }
        }
        Ok(0)
    }

    /// Lists the exported or read-only variables.
    fn list_variables(&self, kind: &str) -> Run {
        if self.dialect == Dialect::Bash {
            return Err(self.refuse(&format!("{kind} without names")));
        }
        let listed = self.variables.all().filter(|(_, variable)| match kind {
            "export" => variable.exported,
            _ => variable.readonly,
        });
        let lines = listed.map(|(name, variable)| match &variable.value {
            Some(value) => format!("{kind} {name}='{}'\n", value.replace('\'', "'\"'\"'")),
            None => format!("{kind} {name}\n"),
        });
        self.print(&lines.collect::<String>())
    }

    /// Runs `local`: the variables are restored at the end of the function.
    ///
    /// In dash a variable without an assignment keeps its value; in bash it has none.
    pub(super) fn declare_local(&mut self, words: &[String]) -> Run {
        if self.locals.is_empty() {
            return self.builtin_error("local: not in a function");
        }
        for word in words {
            let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
            if !is_name(name) {
                return self.builtin_error(&format!("local: {name}: bad variable name"));
            }
            let before = self.variables.get(name).cloned();
            if let Some(frame) = self.locals.last_mut() {
                frame.entry(name.to_owned()).or_insert(before);
            }
            match value {
                Some(value) => self.assign(name, value.to_owned())?,
                None if self.dialect == Dialect::Bash => self.restore(name, None),
                None => {}
            }
        }
        Ok(0)
    }

    /// Runs `unset`, for variables or, with `-f`, for functions.
    pub(super) fn unset(&mut self, words: &[String]) -> Run {
        let is_function = words.first().is_some_and(|word| word == "-f");
        for name in words.iter().filter(|word| !word.starts_with('-')) {
            if is_function {
                self.functions.remove(name);
            } else if self.variables.get(name).is_some_and(|variable| variable.readonly) {
                return self.builtin_error(&format!("unset: {name}: is read only"));
            } else {
                self.restore(name, None);
            }
        }
        Ok(0)
    }
}
