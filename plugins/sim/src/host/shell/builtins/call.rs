use crate::host::process::ROOT_PATH;
use crate::host::shell::interpreter::{Dialect, Flow, Run, Shell};

/// Builtins whose errors end a script, and before which assignments last.
const SPECIAL: [&str; 15] = [
    ".", ":", "break", "continue", "eval", "exec", "exit", "export", "local", "readonly", "return", "set", "shift",
    "trap", "unset",
];

/// Other builtins of the simulated shell.
pub(super) const REGULAR: [&str; 14] =
    ["[", "cd", "command", "echo", "false", "printf", "pwd", "read", "test", "true", "type", "umask", "wait", "hash"];

/// Builtins that both shells have and that are not simulated.
const NOT_SIMULATED: [&str; 11] =
    ["alias", "bg", "fc", "fg", "getopts", "jobs", "kill", "times", "ulimit", "unalias", "chdir"];

/// Builtins of bash only that are not simulated.
const OF_BASH: [&str; 14] = [
    "bind",
    "builtin",
    "declare",
    "dirs",
    "disown",
    "enable",
    "let",
    "mapfile",
    "popd",
    "pushd",
    "readarray",
    "shopt",
    "suspend",
    "typeset",
];

/// Returns true for a special builtin.
pub(in crate::host::shell) fn is_special(name: &str) -> bool {
    SPECIAL.contains(&name)
}

impl Shell<'_> {
    /// Runs a builtin; `None` if no builtin has this name.
    pub(in crate::host::shell) fn builtin(&mut self, name: &str, words: &[String]) -> Option<Run> {
        let first = words.get(1).map(String::as_str);
        Some(match name {
            ":" | "hash" => Ok(0),
            "wait" => Ok(if words.len() > 1 { self.background.unwrap_or(127) } else { 0 }),
            "exit" => self.status_of(name, first).and_then(|status| Err(Flow::Exit(status))),
            "return" => self.status_of(name, first).and_then(|status| Err(Flow::Return(status))),
            "break" => self.leave(name, first, Flow::Break),
            "continue" => self.leave(name, first, Flow::Continue),
            "cd" => self.change_directory(&words[1..]),
            "pwd" => self.print(&format!("{}\n", self.process.directory)),
            "set" => self.set(&words[1..]),
            "shift" => self.shift(first),
            "export" | "readonly" => self.declare(name, &words[1..]),
            "local" => self.declare_local(&words[1..]),
            "unset" => self.unset(&words[1..]),
            "umask" => self.umask(first),
            "eval" => self.evaluate(&words[1..].join(" ")),
            "exec" => self.replace(&words[1..]),
            "command" => self.run_command(&words[1..]),
            "type" => self.describe(&words[1..]),
            "." => self.include(&words[1..]),
            "source" if self.dialect == Dialect::Bash => self.include(&words[1..]),
            "read" => self.read(&words[1..]),
            "trap" => self.set_trap(&words[1..]),
            "echo" => self.echo(&words[1..]),
            "true" | "false" | "test" | "[" | "printf" => self.program_of_the_shell(words),
            name if NOT_SIMULATED.contains(&name) => Err(self.refuse(name)),
            name if self.dialect == Dialect::Bash && OF_BASH.contains(&name) => Err(self.refuse(name)),
            _ => return None,
        })
    }

    /// Prints text to the standard output.
    pub(super) fn print(&self, text: &str) -> Run {
        self.process.print(&self.io, text)?;
        Ok(0)
    }

    /// Runs a builtin that is also a program. It does not depend on `PATH`.
    fn program_of_the_shell(&mut self, words: &[String]) -> Run {
        let path = self.process.environment.insert("PATH".to_owned(), ROOT_PATH.to_owned());
        let status = self.external(words);
        match path {
            Some(path) => drop(self.process.environment.insert("PATH".to_owned(), path)),
            None => drop(self.process.environment.remove("PATH")),
        }
        status
    }

    /// Returns the status that `exit` or `return` names; without one, the last status.
    fn status_of(&self, name: &str, word: Option<&str>) -> Run {
        let Some(word) = word else { return Ok(self.status) };
        match word.parse::<i32>() {
            Ok(status) if status >= 0 || self.dialect == Dialect::Bash => Ok(status),
            _ => {
                self.complain(&format!("{name}: Illegal number: {word}"));
                Err(Flow::Abort(2))
            }
        }
    }

    /// Ends or continues loops. Outside of a loop nothing happens.
    fn leave(&self, name: &str, word: Option<&str>, flow: fn(usize) -> Flow) -> Run {
        let levels = match word.map(str::parse::<usize>) {
            None => 1,
            Some(Ok(levels)) if levels > 0 => levels,
            _ => return self.builtin_error(&format!("{name}: Illegal number: {}", word.unwrap_or_default())),
        };
        if self.loops == 0 { Ok(0) } else { Err(flow(levels.min(self.loops))) }
    }

    /// Runs the builtin `eval`.
    fn evaluate(&mut self, script: &str) -> Run {
        self.source(script)
    }

    /// Runs the builtin `exec` with a program, which replaces the shell.
    fn replace(&mut self, words: &[String]) -> Run {
        if words.is_empty() {
            return Ok(0);
        }
        let status = self.external(words)?;
        self.trap = None;
        Err(Flow::Exit(status))
    }

    /// Runs a script file in this shell, as `.` does.
    ///
    /// A name without a slash is searched in `PATH`.
    fn include(&mut self, words: &[String]) -> Run {
        let Some(name) = words.first() else { return self.builtin_error(".: filename argument required") };
        let path = if name.contains('/') { self.process.path(name) } else { self.in_path(name)? };
        let actor = self.process.actor.clone();
        let bytes = self.process.with(|place| place.machine.read_file(&actor, &path))?;
        let Ok(bytes) = bytes else {
            return self.builtin_error(&format!(".: cannot open {name}: No such file"));
        };
        let (conditions, loops) = (std::mem::take(&mut self.conditions), std::mem::take(&mut self.loops));
        let outcome = self.source(&String::from_utf8_lossy(&bytes));
        (self.conditions, self.loops) = (conditions, loops);
        match outcome {
            Err(Flow::Return(status)) => Ok(status),
            other => other,
        }
    }

    /// Returns the path of a file in `PATH`. bash also searches the current directory.
    fn in_path(&self, name: &str) -> Result<String, Flow> {
        let path = self.process.environment.get("PATH").cloned().unwrap_or_default();
        let candidates: Vec<String> = path.split(':').map(|directory| format!("{directory}/{name}")).collect();
        let found = self.process.with(|place| {
            candidates.into_iter().find(|path| place.machine.files.get(path).is_some_and(|node| !node.is_directory()))
        })?;
        let other =
            if self.dialect == Dialect::Bash { self.process.path(name) } else { format!("/nonexistent/{name}") };
        Ok(found.unwrap_or(other))
    }

    /// Runs the builtin `trap`. Signals other than `EXIT` never arrive.
    fn set_trap(&mut self, words: &[String]) -> Run {
        let is_exit = |signal: &String| signal == "EXIT" || signal == "0";
        match words {
            [] => return Err(self.refuse("trap without arguments")),
            [only] if is_exit(only) => self.trap = None,
            [action, signals @ ..] if signals.iter().any(is_exit) => {
                self.trap = Some(action.clone()).filter(|action| action != "-");
            }
            _ => {}
        }
        Ok(0)
    }

    /// Runs the builtin `umask`, with an octal mask.
    fn umask(&mut self, mask: Option<&str>) -> Run {
        match mask.map(|mask| u32::from_str_radix(mask, 8)) {
            None => return self.print(&format!("{:04o}\n", self.process.umask)),
            Some(Ok(mask)) => self.process.umask = mask,
            Some(Err(_)) => return Err(self.refuse("symbolic umask")),
        }
        Ok(0)
    }
}
