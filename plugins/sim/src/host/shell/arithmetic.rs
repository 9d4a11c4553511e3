/// A calculation of `$((…))`: whole numbers, variables, parentheses and the operators of C that scripts use.
pub(super) struct Arithmetic<'a, V> {
    rest: &'a str,
    variable: V,
}

/// Operators by rank, the weakest first; a longer one before the one that it begins with.
const RANKS: [&[&str]; 6] = [&["||"], &["&&"], &["==", "!="], &["<=", ">=", "<", ">"], &["+", "-"], &["*", "/", "%"]];

impl<'a, V: Fn(&str) -> i64> Arithmetic<'a, V> {
    pub(super) fn new(text: &'a str, variable: V) -> Self {
        Self { rest: text.trim(), variable }
    }

    /// The value, unless the text is no expression or divides by zero.
    pub(super) fn value(&mut self) -> Option<i64> {
        let value = self.ranked(0)?;
        self.rest.trim().is_empty().then_some(value)
    }

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
