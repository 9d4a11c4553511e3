use super::call::{REGULAR, is_special};
use crate::host::shell::interpreter::{Dialect, Flow, Run, Shell};

/// Reserved words, as `command -v` and `type` report them.
const RESERVED: [&str; 16] =
    ["!", "{", "}", "case", "do", "done", "elif", "else", "esac", "fi", "for", "if", "then", "until", "while", "in"];

/// Meaning of a command name.
enum CommandName {
    Reserved,
    Function,
    Builtin { special: bool },
    Program(String),
}

impl Shell<'_> {
    /// Runs `command -v NAME`, or `command NAME …`, which ignores functions.
    pub(super) fn run_command(&mut self, words: &[String]) -> Run {
        let words = words.strip_prefix(&["-p".to_owned()]).unwrap_or(words);
        match words {
            [] => Ok(0),
            [option, names @ ..] if option == "-v" => self.locate(names),
            [option, names @ ..] if option == "-V" => self.describe(names),
            words => match self.command_of(words) {
                // A builtin that `command` runs does not end the shell.
                Err(Flow::Abort(status)) if is_special(&words[0]) => Ok(status),
                other => other,
            },
        }
    }

    fn find(&self, name: &str) -> Result<Option<CommandName>, Flow> {
        Ok(if RESERVED.contains(&name) {
            Some(CommandName::Reserved)
        } else if self.functions.contains_key(name) {
            Some(CommandName::Function)
        } else if is_special(name) || REGULAR.contains(&name) {
            Some(CommandName::Builtin { special: is_special(name) })
        } else {
            self.process.program(name)?.map(|(path, _)| CommandName::Program(path))
        })
    }

    /// Runs `command -v`, which prints how each name would be run.
    fn locate(&mut self, names: &[String]) -> Run {
        let Some(name) = names.first() else { return Ok(0) };
        match self.find(name)? {
            Some(CommandName::Program(path)) => self.print(&format!("{path}\n")),
            Some(_) => self.print(&format!("{name}\n")),
            None => Ok(if self.dialect == Dialect::Dash { 127 } else { 1 }),
        }
    }

    /// Runs `type` and `command -V`.
    pub(super) fn describe(&mut self, names: &[String]) -> Run {
        let is_dash = self.dialect == Dialect::Dash;
        let mut status = 0;
        for name in names {
            let text = match self.find(name)? {
                Some(CommandName::Reserved) => format!("{name} is a shell keyword"),
                Some(CommandName::Function) if is_dash => format!("{name} is a shell function"),
                Some(CommandName::Function) => return Err(self.refuse("type of a function")),
                Some(CommandName::Builtin { special: true }) if is_dash => format!("{name} is a special shell builtin"),
                Some(CommandName::Builtin { .. }) => format!("{name} is a shell builtin"),
                Some(CommandName::Program(path)) => format!("{name} is {path}"),
                None if is_dash => {
                    status = 127;
                    format!("{name}: not found")
                }
                None => {
                    self.complain(&format!("type: {name}: not found"));
                    status = 1;
                    continue;
                }
            };
            self.print(&format!("{text}\n"))?;
        }
        Ok(status)
    }
}
