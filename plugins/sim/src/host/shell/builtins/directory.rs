use crate::host::shell::interpreter::{Dialect, Run, Shell};
use crate::host::state::Node;

impl Shell<'_> {
    /// Runs the builtin `cd`. `CDPATH` has no effect.
    pub(super) fn change_directory(&mut self, words: &[String]) -> Run {
        let words: Vec<&String> = words.iter().filter(|word| !matches!(word.as_str(), "-L" | "-P" | "--")).collect();
        let returns = words.first().is_some_and(|word| *word == "-");
        let variable = |name: &str| self.variables.value(name).map(str::to_owned);
        let target = match words.first() {
            None => variable("HOME").unwrap_or_default(),
            Some(_) if returns => variable("OLDPWD").unwrap_or_else(|| self.process.directory.clone()),
            Some(word) => (*word).clone(),
        };
        let path = self.process.path(&target);
        let is_directory = self.process.with(|place| place.machine.files.get(&path).is_some_and(Node::is_directory))?;
        if !is_directory {
            self.complain(&match self.dialect {
                Dialect::Dash => format!("cd: can't cd to {target}"),
                Dialect::Bash => format!("cd: {target}: No such file or directory"),
            });
            return Ok(if self.dialect == Dialect::Dash { 2 } else { 1 });
        }
        let before = std::mem::replace(&mut self.process.directory, path.clone());
        self.assign("OLDPWD", before)?;
        self.assign("PWD", path.clone())?;
        if returns { self.print(&format!("{path}\n")) } else { Ok(0) }
    }
}
