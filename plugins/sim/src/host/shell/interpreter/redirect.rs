use super::shell::{Descriptor, Dialect, Flow, Shell};
use crate::host::io::{Sink, Source};
use crate::host::shell::grammar::{Redirect, RedirectKind, Word};

impl Shell<'_> {
    /// Opens the targets of redirections. Returns the exit status if one cannot be opened.
    ///
    /// In dash an error in the expansion of a target is one of the redirection.
    pub(super) fn redirect(&mut self, redirects: &[Redirect]) -> Result<Option<i32>, Flow> {
        match self.open_all(redirects) {
            Err(Flow::Abort(status)) if self.dialect == Dialect::Dash => Ok(Some(status)),
            other => other,
        }
    }

    fn open_all(&mut self, redirects: &[Redirect]) -> Result<Option<i32>, Flow> {
        for redirect in redirects {
            let descriptor = redirect.descriptor;
            let is_open = match &redirect.kind {
                RedirectKind::Read(word) => self.open_input(descriptor, word)?,
                RedirectKind::Document(body) => {
                    let text = body.get().map_or(Ok(String::new()), |word| self.single(word))?;
                    self.set_input(descriptor, Source::bytes(text.into_bytes()))?;
                    true
                }
                RedirectKind::Write(word) => self.open_output(descriptor, word, false)?,
                RedirectKind::Append(word) => self.open_output(descriptor, word, true)?,
                RedirectKind::Duplicate(word) => self.duplicate(descriptor, word)?,
            };
            if !is_open {
                return Ok(Some(if self.dialect == Dialect::Dash { 2 } else { 1 }));
            }
        }
        Ok(None)
    }

    /// Opens a file for input.
    fn open_input(&mut self, descriptor: u32, word: &Word) -> Result<bool, Flow> {
        let name = self.target(word)?;
        let path = self.process.path(&name);
        let actor = self.process.actor.clone();
        match self.process.with(|place| place.machine.read_file(&actor, &path))? {
            Ok(bytes) => {
                self.set_input(descriptor, Source::bytes(bytes))?;
                Ok(true)
            }
            Err(error) => {
                let dash = dash(&error.to_string(), "No such file");
                self.complain_of_file(&format!("cannot open {name}: {dash}"), &format!("{name}: {error}"));
                Ok(false)
            }
        }
    }

    /// Opens a file as the target of an output.
    fn open_output(&mut self, descriptor: u32, word: &Word, append: bool) -> Result<bool, Flow> {
        let name = self.target(word)?;
        let path = self.process.path(&name);
        match path.as_str() {
            "/dev/null" => {
                self.set_output(descriptor, Sink::Null)?;
                return Ok(true);
            }
            "/dev/stdout" => return self.copy(descriptor, 1),
            "/dev/stderr" => return self.copy(descriptor, 2),
            _ => {}
        }
        let (actor, mode) = (self.process.actor.clone(), 0o666 & !self.process.umask);
        let opened = self.process.change("file", |place| place.machine.write_file(&actor, &path, b"", append, mode))?;
        match opened {
            Ok(()) => {
                self.set_output(descriptor, Sink::File(path))?;
                Ok(true)
            }
            Err(error) => {
                let dash = dash(&error.to_string(), "Directory nonexistent");
                self.complain_of_file(&format!("cannot create {name}: {dash}"), &format!("{name}: {error}"));
                Ok(false)
            }
        }
    }

    /// Expands the target of a redirection: patterns are not expanded to paths.
    fn target(&mut self, word: &Word) -> Result<String, Flow> {
        self.single(word)
    }

    /// Reports a file that cannot be opened.
    ///
    /// For a command line, bash then prints no line number.
    fn complain_of_file(&self, dash: &str, bash: &str) {
        match self.dialect {
            Dialect::Dash => self.complain(dash),
            Dialect::Bash if self.name != "bash" => self.complain(bash),
            Dialect::Bash => {
                self.process.write(&self.io.error, format!("bash: {bash}\n").as_bytes()).unwrap_or_default();
            }
        }
    }

    /// Sets the origin of an input.
    fn set_input(&mut self, descriptor: u32, source: Source) -> Result<(), Flow> {
        match descriptor {
            0 => self.io.input = source,
            1 | 2 => return Err(self.refuse(&format!("input at descriptor {descriptor}"))),
            other => drop(self.descriptors.insert(other, Descriptor::Input(source))),
        }
        Ok(())
    }

    /// Sets the destination of an output.
    fn set_output(&mut self, descriptor: u32, sink: Sink) -> Result<(), Flow> {
        match descriptor {
            0 => return Err(self.refuse("output at descriptor 0")),
            1 => self.io.output = sink,
            2 => self.io.error = sink,
            other => drop(self.descriptors.insert(other, Descriptor::Output(sink))),
        }
        Ok(())
    }

    /// Duplicates or closes a file descriptor, as `2>&1` and `3>&-` do.
    ///
    /// Output to a closed descriptor is discarded.
    fn duplicate(&mut self, descriptor: u32, word: &Word) -> Result<bool, Flow> {
        let target = self.target(word)?;
        match target.parse() {
            Ok(target) => self.copy(descriptor, target),
            Err(_) if target == "-" => {
                match descriptor {
                    0 => self.io.input = Source::empty(),
                    1 | 2 => self.set_output(descriptor, Sink::Null)?,
                    other => drop(self.descriptors.remove(&other)),
                }
                Ok(true)
            }
            Err(_) if self.dialect == Dialect::Bash => Err(self.refuse(&format!(">&{target}"))),
            Err(_) => Err(self.abort("Syntax error: Bad fd number")),
        }
    }

    /// Makes `descriptor` the same as `target`. Returns false if `target` is not open.
    fn copy(&mut self, descriptor: u32, target: u32) -> Result<bool, Flow> {
        let open = match target {
            0 => Some(Descriptor::Input(self.io.input.clone())),
            1 => Some(Descriptor::Output(self.io.output.clone())),
            2 => Some(Descriptor::Output(self.io.error.clone())),
            other => self.descriptors.get(&other).cloned(),
        };
        match open {
            Some(Descriptor::Input(source)) => self.set_input(descriptor, source)?,
            Some(Descriptor::Output(sink)) => self.set_output(descriptor, sink)?,
            None => {
                self.complain(&format!("{target}: Bad file descriptor"));
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Returns dash's wording for a missing file or directory.
fn dash(error: &str, missing: &str) -> String {
    if error == "No such file or directory" { missing } else { error }.to_owned()
}
