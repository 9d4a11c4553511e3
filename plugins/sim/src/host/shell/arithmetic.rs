/// Evaluator of `$((…))`: integers, variables, parentheses and the usual operators of C.
pub(super) struct Arithmetic<'a, V> {
    rest: &'a str,
    variable: V,
}

/// Operators by rank, the weakest first.
///
/// An operator comes before any other one that is its prefix.
const RANKS: [&[&str]; 6] = [&["||"], &["&&"], &["==", "!="], &["<=", ">=", "<", ">"], &["+", "-"], &["*", "/", "%"]];

impl<'a, V: Fn(&str) -> i64> Arithmetic<'a, V> {
    /// Returns an evaluator of `text`; `variable` returns the value of a name.
    pub(super) fn new(text: &'a str, variable: V) -> Self {
        Self { rest: text.trim(), variable }
    }

    /// Returns the value; `None` if the text is not an expression or divides by zero.
    pub(super) fn value(&mut self) -> Option<i64> {
        let value = self.ranked(0)?;
        self.rest.trim().is_empty().then_some(value)
    }

    /// Evaluates a chain of operators of at least the given rank, from left to right.
    fn ranked(&mut self, rank: usize) -> Option<i64> {
        let Some(operators) = RANKS.get(rank) else { return self.primary() };
        let mut left = self.ranked(rank + 1)?;
        loop {
            self.rest = self.rest.trim_start();
            let Some(operator) = operators.iter().find(|operator| self.rest.starts_with(**operator)) else {
                return Some(left);
            };
            self.rest = &self.rest[operator.len()..];
            let right = self.ranked(rank + 1)?;
            left = apply(left, operator, right)?;
        }
    }

    /// Evaluates a number, a variable, a parenthesis or an operator with one operand.
    fn primary(&mut self) -> Option<i64> {
        self.rest = self.rest.trim_start();
        if let Some(rest) = self.rest.strip_prefix('(') {
            self.rest = rest;
            let value = self.ranked(0)?;
            self.rest = self.rest.trim_start().strip_prefix(')')?;
            return Some(value);
        }
        if let Some(rest) = self.rest.strip_prefix('-') {
            self.rest = rest;
            return self.primary()?.checked_neg();
        }
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        match token.chars().next()? {
            '0'..='9' => token.parse().ok(),
            _ => Some((self.variable)(token)),
        }
    }
}

/// Applies an operator; `None` on overflow or division by zero. Comparisons yield 1 or 0.
fn apply(left: i64, operator: &str, right: i64) -> Option<i64> {
    match operator {
        "+" => left.checked_add(right),
        "-" => left.checked_sub(right),
        "*" => left.checked_mul(right),
        "/" => left.checked_div(right),
        "%" => left.checked_rem(right),
        "==" => Some(i64::from(left == right)),
        "!=" => Some(i64::from(left != right)),
        "<" => Some(i64::from(left < right)),
        ">" => Some(i64::from(left > right)),
        "<=" => Some(i64::from(left <= right)),
        ">=" => Some(i64::from(left >= right)),
        "&&" => Some(i64::from(left != 0 && right != 0)),
        _ => Some(i64::from(left != 0 || right != 0)),
    }
}
