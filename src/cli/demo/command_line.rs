//! Command lines of the demonstration.

/// Command of the demonstration: its arguments, and their form in a shell.
pub(in crate::cli) struct DemoCommand {
    pub(in crate::cli) arguments: Vec<String>,
    pub(in crate::cli) shown: Vec<String>,
}

impl DemoCommand {
    pub(in crate::cli) fn new(arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { shown: arguments.clone(), arguments }
    }

    /// Adds one `--input` flag per entry.
    pub(in crate::cli) fn inputs(&mut self, inputs: &[(&str, &str)]) {
        for (name, value) in inputs {
            self.push("--input");
            self.push(&format!("{name}={value}"));
        }
    }

    /// Adds an argument, quoted for display if a shell would need it.
    pub(in crate::cli) fn push(&mut self, argument: &str) {
        let is_plain = argument.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_=./:,@".contains(&b));
        let shown = if is_plain { argument.to_owned() } else { format!("'{argument}'") };
        self.push_as(argument, &shown);
    }

    /// Adds an argument that is shown in another form.
    pub(in crate::cli) fn push_as(&mut self, argument: &str, shown: &str) {
        self.arguments.push(argument.to_owned());
        self.shown.push(shown.to_owned());
    }
}
