/// The arguments of a command, and how a reader would type them.
pub(super) struct Line {
    pub(super) arguments: Vec<String>,
    pub(super) shown: Vec<String>,
}

impl Line {
    pub(super) fn new(arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { shown: arguments.clone(), arguments }
    }

    /// Adds an input each.
    pub(super) fn inputs(&mut self, inputs: &[(&str, &str)]) {
        for (name, value) in inputs {
            self.push("--input");
            self.push(&format!("{name}={value}"));
        }
    }

    pub(super) fn push(&mut self, argument: &str) {
        let is_plain = argument.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_=./:,@".contains(&b));
        let shown = if is_plain { argument.to_owned() } else { format!("'{argument}'") };
        self.push_as(argument, &shown);
    }

    /// Adds an argument that is shown differently.
    pub(super) fn push_as(&mut self, argument: &str, shown: &str) {
        self.arguments.push(argument.to_owned());
        self.shown.push(shown.to_owned());
    }
}
