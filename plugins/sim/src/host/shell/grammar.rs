use std::sync::{Arc, OnceLock};

/// Commands that run one after the other.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct List(pub(super) Vec<AndOr>);

/// Pipelines joined by `&&` and `||`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AndOr {
    pub(super) first: Pipeline,
    pub(super) rest: Vec<(Connector, Pipeline)>,
    /// True if the list runs in the background, with `&`.
    pub(super) background: bool,
}

/// Operator between two pipelines: `&&` or `||`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connector {
    And,
    Or,
}

/// Commands whose outputs and inputs are connected, with an optional `!`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipeline {
    pub(super) negated: bool,
    pub(super) commands: Vec<Command>,
}

/// Command with its redirections.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Command {
    pub(super) kind: CommandKind,
    pub(super) redirects: Vec<Redirect>,
    /// Line of the script on which the command starts, for error messages.
    pub(super) line: usize,
}

/// Type of a command: simple, compound or the definition of a function.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum CommandKind {
    Simple { assignments: Vec<(String, Word)>, words: Vec<Word> },
    Group(List),
    Subshell(List),
    If { branches: Vec<(List, List)>, otherwise: Option<List> },
    While { until: bool, condition: List, body: List },
    For { name: String, words: Option<Vec<Word>>, body: List },
    Case { subject: Word, arms: Vec<(Vec<Word>, List)> },
    Function { name: String, body: Box<Command> },
}

/// Redirection of one file descriptor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Redirect {
    pub(super) descriptor: u32,
    pub(super) kind: RedirectKind,
}

/// Type of a redirection, with its target.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum RedirectKind {
    Read(Word),
    Write(Word),
    Append(Word),
    Duplicate(Word),
    Document(DocumentBody),
}

/// Lines of a here-document, which follow the command that announces it.
pub(super) type DocumentBody = Arc<OnceLock<Word>>;

/// Word that expands to zero or more arguments.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Word(pub(super) Vec<Part>);

/// Part of a word: text or an expansion.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Text {
        text: String,
        quoted: bool,
    },
    Parameter {
        name: String,
        operator: Option<(String, Word)>,
        length: bool,
        quoted: bool,
    },
    Substitution {
        list: List,
        quoted: bool,
    },
    Arithmetic {
        expression: Word,
        quoted: bool,
    },
    /// Parameter expansion that is not valid. It is an error only if it is expanded.
    BadSubstitution,
}
