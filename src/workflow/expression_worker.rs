use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        mpsc::{Sender, channel},
    },
};

use cel::{ParseErrors, Program};

use super::{
    expression::ExpressionError,
    expression_tree::{self, Tree},
};

/// CEL's parser recurses deeply: 2 MiB, what threads usually have, overflow at a few dozen nested parentheses in a
/// debug build.
const STACK: usize = 16 << 20;

pub(super) struct Parsed {
    pub(super) program: Arc<Program>,
    pub(super) tree: Tree,
}

type Answer = Result<Parsed, ExpressionError>;

struct Request {
    source: String,
    answer: Sender<Answer>,
}

/// Parses and inspects `source` on a thread with a large stack that lives as long as the process.
pub(super) fn parse(source: &str) -> Answer {
    static WORKER: OnceLock<Option<Sender<Request>>> = OnceLock::new();
    let worker = WORKER.get_or_init(start).as_ref();
    let (answer, answers) = channel();
    worker
        .and_then(|worker| worker.send(Request { source: source.to_owned(), answer }).ok())
        .and_then(|()| answers.recv().ok())
        .unwrap_or_else(|| Err(ExpressionError::new("the thread that parses expressions could not be started", None)))
}

fn start() -> Option<Sender<Request>> {
    let (requests, inbox) = channel::<Request>();
    std::thread::Builder::new()
        .name("expressions".into())
        .stack_size(STACK)
        .spawn(move || {
            for Request { source, answer } in inbox {
                let parsed = catch_unwind(AssertUnwindSafe(|| parse_here(&source)))
                    .unwrap_or_else(|_| Err(ExpressionError::new("the expression cannot be parsed", None)));
                // Whoever asked may be gone; there is nobody else to tell.
                let _ = answer.send(parsed);
            }
        })
        .ok()?;
    Some(requests)
}

fn parse_here(source: &str) -> Answer {
    let program = Program::compile(source).map_err(|errors| syntax_error(source, &errors))?;
    let tree = expression_tree::inspect(source, &program)?;
    Ok(Parsed { program: Arc::new(program), tree })
}

fn syntax_error(source: &str, errors: &ParseErrors) -> ExpressionError {
    let Some(first) = errors.errors.first() else {
        return ExpressionError::new("the expression cannot be parsed", None);
    };
    // ANTLR lists every token that could have stood there; nobody reads that.
    let message = first.msg.split(" expecting ").next().unwrap_or_default().trim().to_lowercase();
    let message = message.strip_prefix("syntax error: ").unwrap_or(&message).to_owned();
    ExpressionError::new(format!("the expression cannot be parsed: {message}"), place(source, first.pos))
}

fn place(source: &str, (line, column): (isize, isize)) -> Option<std::ops::Range<usize>> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let column = usize::try_from(column).ok()?.saturating_sub(1);
    let begin: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    let (at, character) = source.get(begin..)?.char_indices().nth(column)?;
    Some(begin + at..begin + at + character.len_utf8())
}
