use std::collections::BTreeMap;

/// Variable of a shell, with its attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Variable {
    /// Value; `None` for a name that only has attributes.
    pub(super) value: Option<String>,
    /// True if programs get the variable in their environment.
    pub(super) exported: bool,
    /// True if the variable cannot be changed.
    pub(super) readonly: bool,
}

/// Variables of a shell, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables(BTreeMap<String, Variable>);

impl Variables {
    /// Creates the variables of a shell that starts with this environment.
    pub(super) fn of_environment(environment: &BTreeMap<String, String>) -> Self {
        let exported = environment.iter().map(|(name, value)| {
            (name.clone(), Variable { value: Some(value.clone()), exported: true, readonly: false })
        });
        let mut variables = Self(exported.collect());
        for (name, value) in [("IFS", " \t\n"), ("OPTIND", "1")] {
            variables.0.insert(name.to_owned(), Variable { value: Some(value.to_owned()), ..Variable::default() });
        }
        variables
    }

    /// Returns the value of a variable; `None` if it is not set.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.value.as_deref()
    }

    /// Returns the variable with this name, if it has a value or an attribute.
    pub(super) fn get(&self, name: &str) -> Option<&Variable> {
        self.0.get(name)
    }

    /// Returns the variable with this name for a change, and creates it if necessary.
    pub(super) fn entry(&mut self, name: &str) -> &mut Variable {
        self.0.entry(name.to_owned()).or_default()
    }

    /// Replaces or removes the variable with this name.
    pub(super) fn replace(&mut self, name: &str, variable: Option<Variable>) {
        match variable {
            Some(variable) => drop(self.0.insert(name.to_owned(), variable)),
            None => drop(self.0.remove(name)),
        }
    }

    /// Returns all variables, sorted by name.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Variable)> {
        self.0.iter().map(|(name, variable)| (name.as_str(), variable))
    }
}

/// Returns true if the text is a valid name of a variable.
pub(super) fn is_name(text: &str) -> bool {
    let is_word = |c: char| c == '_' || c.is_ascii_alphanumeric();
    text.chars().all(is_word) && text.starts_with(|c: char| !c.is_ascii_digit())
}
