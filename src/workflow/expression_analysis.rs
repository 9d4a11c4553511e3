use cel::{
    IdedExpr, Program,
    common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators},
};

use super::{
    expression::{ExpressionError, PathKey, Reference, ResultType, Segment},
    expression_path::path_at,
    suggest::did_you_mean,
};

/// Maximum nesting of an expression. It bounds the stack that evaluation needs: 64 levels fit into
/// an eighth of the usual 2 MiB of a thread, in a debug build too.
pub(super) const MAX_DEPTH: usize = 64;

/// Functions that expressions can call.
const FUNCTIONS: [&str; 10] = ["size", "int", "uint", "double", "string", "bool", "bytes", "type", "dyn", "matches"];
/// Methods that expressions can call on a value.
const METHODS: [&str; 5] = ["contains", "startsWith", "endsWith", "matches", "size"];
/// Macros of CEL, which have a form of their own.
const MACROS: [&str; 6] = ["has", "all", "exists", "exists_one", "map", "filter"];

/// References and result type of a program.
#[derive(Debug)]
pub(super) struct ExpressionAnalysis {
    pub(super) references: Vec<Reference>,
    pub(super) result_type: ResultType,
}

/// Finds the references of a program.
///
/// # Errors
/// The program is too deep, calls an unknown function, or could cost more than one pass over a
/// list.
pub(super) fn analyse(source: &str, program: &Program) -> Result<ExpressionAnalysis, ExpressionError> {
    let mut collector = ReferenceCollector { source, program, bound: Vec::new(), references: Vec::new() };
    collector.visit(program.expression(), 0)?;
    Ok(ExpressionAnalysis { references: collector.references, result_type: result_type(program.expression()) })
}

/// Returns the place of the first division by a constant zero.
pub(super) fn division_by_zero(source: &str, program: &Program) -> Option<std::ops::Range<usize>> {
    let mut open = vec![program.expression()];
    while let Some(node) = open.pop() {
        if let Expr::Call(call) = &node.expr
            && [operators::DIVIDE, operators::MODULO].contains(&call.func_name.as_str())
            && call.args.get(1).is_some_and(is_zero)
        {
            let collector = ReferenceCollector { source, program, bound: Vec::new(), references: Vec::new() };
            return Some(collector.range(node.id).unwrap_or(0..source.len()));
        }
        match &node.expr {
            Expr::Call(call) => open.extend(call.target.iter().map(|target| &**target).chain(&call.args)),
            Expr::Comprehension(inner) => {
                open.extend([&inner.accu_init, &inner.loop_cond, &inner.loop_step, &inner.result]);
            }
            Expr::List(list) => open.extend(&list.elements),
            Expr::Map(map) => open.extend(map.entries.iter().filter_map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => Some(&entry.value),
                EntryExpr::StructField(_) => None,
            })),
            Expr::Select(select) => open.push(&select.operand),
            Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) | Expr::Struct(_) => {}
        }
    }
    None
}

/// True for the literal 0.
fn is_zero(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Literal(LiteralValue::Int(value)) => *value.inner() == 0,
        Expr::Literal(LiteralValue::UInt(value)) => *value.inner() == 0,
        Expr::Literal(LiteralValue::Double(value)) => *value.inner() == 0.0,
        _ => false,
    }
}

/// State of the walk over a program's syntax tree.
struct ReferenceCollector<'a> {
    source: &'a str,
    program: &'a Program,
    /// Variables of the enclosing comprehension, if there is one.
    bound: Vec<&'a str>,
    references: Vec<Reference>,
}

impl<'a> ReferenceCollector<'a> {
    /// Visits a node and all nodes below it. A chain of fields is one reference.
    fn visit(&mut self, node: &'a IdedExpr, depth: usize) -> Result<(), ExpressionError> {
        if depth > MAX_DEPTH {
            let hint = "compute it in an action".to_owned();
            return Err(ExpressionError::new(format!("more than {MAX_DEPTH} levels deep"), None).with_hint(hint));
        }
        if let Some(keys) = keys(node) {
            return self.add_reference(keys);
        }
        let depth = depth + 1;
        match &node.expr {
            Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) => Ok(()),
            Expr::Call(call) => self.call(node, call, depth),
            Expr::Comprehension(comprehension) => self.comprehension(node, comprehension, depth),
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.visit(element, depth)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.visit(&entry.key, depth)?;
                    self.visit(&entry.value, depth)
                }
                EntryExpr::StructField(field) => self.visit(&field.value, depth),
            }),
            Expr::Select(select) => self.visit(&select.operand, depth),
            Expr::Struct(_) => Err(ExpressionError::new("message values are not supported", self.range(node.id))),
        }
    }

    /// Adds a reference, unless its root is a variable of the enclosing comprehension. The places
    /// of its segments are read from the source again, because the syntax tree has none for fields.
    fn add_reference(&mut self, keys: Keys<'_>) -> Result<(), ExpressionError> {
        if keys.rest.len() > MAX_DEPTH {
            return Err(ExpressionError::new(format!("more than {MAX_DEPTH} levels deep"), self.range(keys.root_id)));
        }
        if self.bound.contains(&keys.root) {
            return Ok(());
        }
        let start = self.range(keys.root_id).map_or(0, |range| range.start);
        let written = path_at(self.source, start).map(|reference| reference.segments).unwrap_or_default();
        let whole = start..written.last().map_or(self.source.len(), |segment| segment.range.end);
        let mut all = vec![PathKey::Field(keys.root.to_owned())];
        all.extend(keys.rest);
        let place = |at: usize| written.get(at).map_or_else(|| whole.clone(), |segment| segment.range.clone());
        let segments = all.into_iter().enumerate().map(|(at, key)| Segment { key, range: place(at) }).collect();
        self.references.push(Reference { segments, is_sized_only: false });
        Ok(())
    }

    /// Visits target and arguments of a call, after the check of its function.
    fn call(&mut self, node: &'a IdedExpr, call: &'a CallExpr, depth: usize) -> Result<(), ExpressionError> {
        self.check_function(node, call)?;
        let first = self.references.len();
        call.target.iter().try_for_each(|target| self.visit(target, depth))?;
        call.args.iter().try_for_each(|argument| self.visit(argument, depth))?;
        let mut operands = call.target.iter().map(|target| &**target).chain(&call.args);
        if call.func_name == "size"
            && operands.all(|operand| keys(operand).is_some())
            && let [reference] = &mut self.references[first..]
        {
            reference.is_sized_only = true;
        }
        Ok(())
    }

    /// Checks that a function is one of those with bounded cost. Operators are always permitted.
    fn check_function(&self, node: &IdedExpr, call: &CallExpr) -> Result<(), ExpressionError> {
        let name = call.func_name.as_str();
        let known: &[&str] = if call.target.is_some() { &METHODS } else { &FUNCTIONS };
        let is_operator = !name.starts_with(|c: char| c.is_ascii_alphabetic());
        if is_operator || known.contains(&name) {
            return Ok(());
        }
        let hint = if MACROS.contains(&name) {
            Some(format!("write it as list.{name}(x, …), or has(a.b)"))
        } else {
            let all = known.iter().chain(&MACROS).copied();
            did_you_mean(name, all).or_else(|| Some("compute it in an action".to_owned()))
        };
        Err(ExpressionError::new(format!("unknown function \"{name}\""), self.range(node.id)).with_hint(hint))
    }

    /// Visits a macro such as `map`. Its list must be a reference, the result of another macro on
    /// one, or a list in the item that a filter has found there. Macros must not be nested
    /// otherwise, so that the cost is one pass over a list for each macro.
    fn comprehension(
        &mut self,
        node: &'a IdedExpr,
        comprehension: &'a ComprehensionExpr,
        depth: usize,
    ) -> Result<(), ExpressionError> {
        if !self.bound.is_empty() {
            return Err(ExpressionError::new("a macro inside a macro is not supported", self.range(node.id))
                .with_hint("compute it in an action".to_owned()));
        }
        match (&comprehension.iter_range.expr, keys(&comprehension.iter_range)) {
            (_, Some(range)) => self.add_reference(range)?,
            (Expr::Comprehension(_), None) if maps_in_chain(comprehension) <= 1 => {
                self.visit(&comprehension.iter_range, depth)?;
            }
            (_, None) if is_chosen(&comprehension.iter_range) => self.visit(&comprehension.iter_range, depth)?,
            (Expr::Comprehension(_), None) => {
                let message = "a chain of macros can have one map";
                return Err(ExpressionError::new(message, self.range(node.id))
                    .with_hint("write both as one, or compute it in an action".to_owned()));
            }
            (_, None) => {
                let message = "map, filter, all and exists work on a list of the inputs or of a step's outputs only";
                return Err(ExpressionError::new(message, self.range(node.id))
                    .with_hint("write it as inputs.NAME.all(x, …) or steps.NAME.outputs.FIELD.map(x, …)".to_owned()));
            }
        }
        self.bound = vec![&comprehension.iter_var, &comprehension.accu_var];
        self.bound.extend(comprehension.iter_var2.as_deref());
        let parts =
            [&comprehension.accu_init, &comprehension.loop_cond, &comprehension.loop_step, &comprehension.result];
        parts.into_iter().try_for_each(|part| self.visit(part, depth))?;
        self.bound.clear();
        Ok(())
    }

    /// Returns the bytes of a node. The parser counts characters.
    fn range(&self, id: u64) -> Option<std::ops::Range<usize>> {
        let (start, stop) = self.program.source_info().offset_for(id)?;
        let byte = |at: u32| self.source.char_indices().nth(at as usize).map(|(byte, _)| byte);
        let start = byte(start)?;
        Some(start..byte(stop + 1).unwrap_or(self.source.len()).max(start))
    }
}

/// Returns true for a list in an item that a filter has found, such as `list.filter(…)[0].field`.
fn is_chosen(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Select(select) => is_chosen(&select.operand),
        Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
            [list, key] if literal_key(key).is_some() => match &list.expr {
                Expr::Comprehension(filter) => is_choice(filter),
                _ => is_chosen(list),
            },
            _ => false,
        },
        _ => false,
    }
}

/// Returns the number of macros in a chain that make new items, and not a choice of the list's:
/// their values can grow with each of them.
fn maps_in_chain(comprehension: &ComprehensionExpr) -> usize {
    let before = match &comprehension.iter_range.expr {
        Expr::Comprehension(range) => maps_in_chain(range),
        _ => 0,
    };
    before + usize::from(!is_choice(comprehension))
}

/// Returns true unless the comprehension adds other values than its items to a list: it is a
/// `filter`, or has a value of its own as `all` and `exists` have.
fn is_choice(comprehension: &ComprehensionExpr) -> bool {
    let is = |node: &IdedExpr, name: &str| matches!(&node.expr, Expr::Ident(ident) if ident == name);
    let is_item = |node: &IdedExpr| match &node.expr {
        Expr::List(list) => matches!(list.elements.as_slice(), [item] if is(item, &comprehension.iter_var)),
        _ => false,
    };
    let step = match &comprehension.loop_step.expr {
        Expr::Call(call) if call.func_name == operators::CONDITIONAL => call.args.get(1),
        _ => Some(&comprehension.loop_step),
    };
    match step.map(|step| &step.expr) {
        Some(Expr::Call(call)) if call.func_name == operators::ADD => {
            matches!(call.args.as_slice(), [list, item] if is(list, &comprehension.accu_var) && is_item(item))
        }
        _ => !matches!(comprehension.accu_init.expr, Expr::List(_)),
    }
}

/// A reference in the form of CEL's syntax tree.
struct Keys<'a> {
    /// Name of the first segment.
    root: &'a str,
    /// Id of the node with that name, which has a place in the source.
    root_id: u64,
    /// Fields and indexes after the first segment.
    rest: Vec<PathKey>,
}

/// Returns the keys of a reference; `None` for any other expression.
pub(super) fn reference_keys(node: &IdedExpr) -> Option<Vec<PathKey>> {
    if matches!(&node.expr, Expr::Select(select) if select.test) {
        return None;
    }
    let Keys { root, rest, .. } = keys(node)?;
    Some(std::iter::once(PathKey::Field(root.to_owned())).chain(rest).collect())
}

/// Reads a chain of fields and literal indexes that starts with a name.
fn keys(node: &IdedExpr) -> Option<Keys<'_>> {
    let mut rest = Vec::new();
    let mut node = node;
    loop {
        match &node.expr {
            Expr::Ident(name) => {
                rest.reverse();
                return Some(Keys { root: name, root_id: node.id, rest });
            }
            Expr::Select(select) => {
                rest.push(PathKey::Field(select.field.clone()));
                node = &select.operand;
            }
            Expr::Call(call) if call.func_name == operators::INDEX && call.args.len() == 2 => {
                rest.push(literal_key(&call.args[1])?);
                node = &call.args[0];
            }
            _ => return None,
        }
    }
}

/// Returns a literal text or index inside brackets as a key.
fn literal_key(node: &IdedExpr) -> Option<PathKey> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(PathKey::Field(text.inner().to_owned())),
        Expr::Literal(LiteralValue::Int(index)) => usize::try_from(*index.inner()).ok().map(PathKey::Index),
        _ => None,
    }
}

/// Returns the type of a node's value, as far as its syntax shows it.
fn result_type(node: &IdedExpr) -> ResultType {
    match &node.expr {
        Expr::Select(select) if select.test => ResultType::Boolean,
        Expr::Literal(LiteralValue::Boolean(_)) => ResultType::Boolean,
        Expr::Literal(LiteralValue::String(_)) => ResultType::String,
        Expr::Literal(LiteralValue::Int(_)) => ResultType::Integer,
        Expr::List(_) => ResultType::List,
        Expr::Map(_) => ResultType::Object,
        Expr::Call(call) => call_result_type(call),
        _ => ResultType::Any,
    }
}

/// Returns the result type of a function or operator.
fn call_result_type(call: &CallExpr) -> ResultType {
    use operators::{
        EQUALS, GREATER, GREATER_EQUALS, IN, LESS, LESS_EQUALS, LOGICAL_AND, LOGICAL_NOT, LOGICAL_OR, NOT_EQUALS,
    };
    match call.func_name.as_str() {
        EQUALS | NOT_EQUALS | GREATER | GREATER_EQUALS | LESS | LESS_EQUALS | IN | LOGICAL_AND | LOGICAL_OR
        | LOGICAL_NOT | "contains" | "startsWith" | "endsWith" | "matches" => ResultType::Boolean,
        "string" => ResultType::String,
        "size" | "int" => ResultType::Integer,
        operators::CONDITIONAL => match call.args.as_slice() {
            [_, yes, no] if result_type(yes) == result_type(no) => result_type(yes),
            _ => ResultType::Any,
        },
        operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO => {
            arithmetic_result_type(call)
        }
        _ => ResultType::Any,
    }
}

/// Returns the type of an arithmetic operation. Both sides have the type of the result.
fn arithmetic_result_type(call: &CallExpr) -> ResultType {
    let known = call.args.iter().map(result_type).find(|side| matches!(side, ResultType::String | ResultType::Integer));
    known.unwrap_or(ResultType::Any)
}
