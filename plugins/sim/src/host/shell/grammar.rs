/// Commands that run one after the other.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct List(pub(super) Vec<AndOr>);

/// Pipelines joined by `&&` and `||`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AndOr {
    pub(super) first: Pipeline,
    pub(super) rest: Vec<(Connector, Pipeline)>,
    /// Whether it ends with `&`.
    pub(super) background: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connector {
    And,
    Or,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipeline {
    pub(super) negated: bool,
    pub(super) commands: Vec<Command>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Command {
    pub(super) kind: CommandKind,
    pub(super) redirects: Vec<Redirect>,
    /// Line that it begins on, for messages.
    pub(super) line: usize,
}

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

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Redirect {
    pub(super) descriptor: u32,
    pub(super) kind: RedirectKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum RedirectKind {
    Read(Word),
    Write(Word),
    Append(Word),
    Duplicate(Word),
    Document(Word),
}

/// What becomes none, one or several arguments.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Word(pub(super) Vec<Part>);

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Text { text: String, quoted: bool },
    Parameter { name: String, operator: Option<(String, Word)>, length: bool, quoted: bool },
    Substitution { list: List, quoted: bool },
    Arithmetic { expression: Word, quoted: bool },
}
