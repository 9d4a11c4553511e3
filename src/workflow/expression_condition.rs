//! Structure of conditions: alternatives and terms, as the syntax tree has them.

use cel::{
    IdedExpr,
    common::ast::{EntryExpr, Expr, operators},
};

use super::{
    expression::{Expression, PathKey},
    expression_analysis::reference_keys,
};

/// A condition, or a part of one. Two are equal if they are written with the same names, values and
/// operators; blanks and brackets do not count.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition(Node);

#[derive(Debug, Clone, PartialEq)]
enum Node {
    /// A reference and nothing else.
    Reference(Vec<PathKey>),
    /// Any other expression, whose nodes have no ids.
    Expression(IdedExpr),
}

impl Condition {
    /// The whole expression.
    pub(crate) fn of(expression: &Expression) -> Self {
        Self(match (expression.program(), expression.as_reference()) {
            (Some(program), _) => Node::of(program.expression()),
            (None, reference) => Node::Reference(reference.map(|reference| reference.keys_from(0)).unwrap_or_default()),
        })
    }

    /// Conditions of which one must hold.
    pub(crate) fn alternatives(&self) -> Vec<Self> {
        self.operands(operators::LOGICAL_OR)
    }

    /// Conditions that must all hold.
    pub(crate) fn terms(&self) -> Vec<Self> {
        self.operands(operators::LOGICAL_AND)
    }

    /// Keys of the reference that this condition negates, if it is nothing else.
    pub(crate) fn negated_reference(&self) -> Option<Vec<PathKey>> {
        match &self.0 {
            Node::Expression(IdedExpr { expr: Expr::Call(call), .. }) if call.func_name == operators::LOGICAL_NOT => {
                call.args.first().and_then(reference_keys)
            }
            _ => None,
        }
    }

    /// Keys of the references whose presence the condition tests with `has`.
    pub(crate) fn presence_tests(&self) -> Vec<Vec<PathKey>> {
        let mut found = Vec::new();
        let mut open: Vec<&IdedExpr> = match &self.0 {
            Node::Reference(_) => Vec::new(),
            Node::Expression(node) => vec![node],
        };
        while let Some(node) = open.pop() {
            if let Expr::Select(select) = &node.expr
                && select.test
            {
                found.extend(reference_keys(&select.operand));
            }
            open.extend(children(&node.expr));
        }
        found
    }

    /// Operands of a chain of one operator; the condition itself if it is none.
    fn operands(&self, operator: &str) -> Vec<Self> {
        let mut found = Vec::new();
        let mut open = match &self.0 {
            Node::Reference(_) => return vec![self.clone()],
            Node::Expression(node) => vec![node],
        };
        while let Some(node) = open.pop() {
            match &node.expr {
                Expr::Call(call) if call.func_name == operator => open.extend(call.args.iter().rev()),
                _ => found.push(Self(Node::of(node))),
            }
        }
        found
    }
}

impl Node {
    fn of(node: &IdedExpr) -> Self {
        match reference_keys(node) {
            Some(keys) => Self::Reference(keys),
            None => Self::Expression(without_ids(node)),
        }
    }
}

/// Nodes directly below another one.
fn children(expression: &Expr) -> Vec<&IdedExpr> {
    match expression {
        Expr::Call(call) => call.target.iter().map(|target| &**target).chain(&call.args).collect(),
        Expr::Comprehension(inner) => {
            vec![&inner.iter_range, &inner.accu_init, &inner.loop_cond, &inner.loop_step, &inner.result]
        }
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|entry| entry_nodes(&entry.expr)).collect(),
        Expr::Struct(value) => value.entries.iter().flat_map(|entry| entry_nodes(&entry.expr)).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) => Vec::new(),
    }
}

fn entry_nodes(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
        EntryExpr::StructField(field) => vec![&field.value],
    }
}

/// Returns a copy of the tree whose ids, which depend on the place in the source, are 0.
fn without_ids(node: &IdedExpr) -> IdedExpr {
    let mut expr = node.expr.clone();
    match &mut expr {
        Expr::Call(call) => {
            call.target.iter_mut().for_each(|target| **target = without_ids(target));
            call.args.iter_mut().for_each(|argument| *argument = without_ids(argument));
        }
        Expr::Comprehension(inner) => {
            for part in [
                &mut inner.iter_range,
                &mut inner.accu_init,
                &mut inner.loop_cond,
                &mut inner.loop_step,
                &mut inner.result,
            ] {
                *part = without_ids(part);
            }
        }
        Expr::List(list) => list.elements.iter_mut().for_each(|element| *element = without_ids(element)),
        Expr::Map(map) => {
            for entry in &mut map.entries {
                entry.id = 0;
                entry_without_ids(&mut entry.expr);
            }
        }
        Expr::Struct(value) => {
            for entry in &mut value.entries {
                entry.id = 0;
                entry_without_ids(&mut entry.expr);
            }
        }
        Expr::Select(select) => *select.operand = without_ids(&select.operand),
        Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) => {}
    }
    IdedExpr { id: 0, expr }
}

fn entry_without_ids(entry: &mut EntryExpr) {
    match entry {
        EntryExpr::MapEntry(entry) => {
            entry.key = without_ids(&entry.key);
            entry.value = without_ids(&entry.value);
        }
        EntryExpr::StructField(field) => field.value = without_ids(&field.value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(source: &str) -> Condition {
        Condition::of(&Expression::parse(source).expect("an expression"))
    }

    fn all(sources: &[&str]) -> Vec<Condition> {
        sources.iter().map(|source| condition(source)).collect()
    }

    #[test]
    fn blanks_and_brackets_do_not_count_and_all_else_does() {
        let same = [
            "inputs.a && inputs.b == 'x  y'",
            "inputs.a&&(inputs.b=='x  y')",
            "(inputs.a) && ((inputs.b == \"x  y\"))",
        ];
        assert!(same.iter().all(|source| condition(source) == condition(same[0])));
        for other in
            ["inputs.a && inputs.b == 'x y'", "inputs.a || inputs.b == 'x  y'", "inputs.a && inputs.c == 'x  y'"]
        {
            assert_ne!(condition(other), condition(same[0]), "{other}");
        }
        assert_eq!(condition("inputs.a"), condition("( inputs['a'] )"));
        assert_eq!(condition("inputs.l.exists(x, x > 1)"), condition("inputs.l.exists( x, (x > 1) )"));
        assert_ne!(condition("has(inputs.a.b)"), condition("inputs.a.b"));
    }

    #[test]
    fn a_condition_is_split_at_its_own_operators() {
        let terms = condition("inputs.a && (inputs.b || inputs.c) && ((inputs.d)) && 'x && y' == inputs.e").terms();
        assert_eq!(terms, all(&["inputs.a", "inputs.b || inputs.c", "inputs.d", "'x && y' == inputs.e"]));
        let alternatives = condition("(inputs.a) || (inputs.b && inputs.c) || inputs.d").alternatives();
        assert_eq!(alternatives, all(&["inputs.a", "inputs.b && inputs.c", "inputs.d"]));
        assert_eq!(condition("(inputs.a) && (inputs.b)").alternatives(), all(&["inputs.a && inputs.b"]));
        assert_eq!(condition("string(inputs.a && inputs.b) == ''").terms().len(), 1);
        assert_eq!(condition("inputs.a").terms(), all(&["inputs.a"]));
    }

    #[test]
    fn negations_and_tests_of_presence_are_found() {
        let field = |name: &str| PathKey::Field(name.to_owned());
        let skipped = vec![field("steps"), field("a"), field("skipped")];
        assert_eq!(condition("! (steps.a.skipped)").negated_reference(), Some(skipped));
        assert_eq!(condition("!(steps.a.skipped || inputs.b)").negated_reference(), None);
        let tested = condition("inputs.b && (!has( steps.a.outputs.x ) || 'has(steps.c.y)' == '')").presence_tests();
        assert_eq!(tested, [vec![field("steps"), field("a"), field("outputs")]]);
    }
}
