/// Variables that an expression reads and assigns.
pub(super) trait ArithmeticVariables {
    /// Returns the value of a variable; `None` if it is not set.
    fn value(&self, name: &str) -> Option<String>;

    /// Assigns a variable.
    fn assign(&mut self, name: &str, value: i64);
}

/// Error of an expression, in dash's wording.
pub(super) type ArithmeticError = String;

/// Evaluator of `$((…))`: the operators of C on 64-bit integers, without `++` and `--`.
pub(super) struct Arithmetic<'a> {
    text: &'a str,
    rest: &'a str,
    variables: &'a mut dyn ArithmeticVariables,
    /// Number of operands around the current one whose value is not used: they assign nothing and
    /// cannot fail.
    skipped: usize,
    /// Number of operands that contain the current one.
    depth: usize,
}

/// Maximum depth of operands in each other. Evaluating them uses the stack.
const MAX_DEPTH: usize = 64;

/// Binary operators by rank, the weakest first, without `||` and `&&`.
///
/// An operator comes before any other one that is its prefix.
const RANKS: [&[&str]; 8] =
    [&["|"], &["^"], &["&"], &["==", "!="], &["<=", ">=", "<", ">"], &["<<", ">>"], &["+", "-"], &["*", "/", "%"]];

/// Assignment operators, each with the operator that it applies first.
const ASSIGNMENTS: [(&str, &str); 11] = [
    ("<<=", "<<"),
    (">>=", ">>"),
    ("*=", "*"),
    ("/=", "/"),
    ("%=", "%"),
    ("+=", "+"),
    ("-=", "-"),
    ("&=", "&"),
    ("^=", "^"),
    ("|=", "|"),
    ("=", ""),
];

impl<'a> Arithmetic<'a> {
    /// Creates an evaluator of `text`.
    pub(super) fn new(text: &'a str, variables: &'a mut dyn ArithmeticVariables) -> Self {
        Self { text, rest: text, variables, skipped: 0, depth: 0 }
    }

    /// Evaluates the whole text. An empty expression is 0.
    pub(super) fn value(&mut self) -> Result<i64, ArithmeticError> {
        self.blanks();
        if self.rest.is_empty() {
            return Ok(0);
        }
        let value = self.assignment()?;
        self.blanks();
        if self.rest.is_empty() { Ok(value) } else { Err(self.error("expecting EOF")) }
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn error(&self, what: &str) -> ArithmeticError {
        format!("arithmetic expression: {what}: \"{}\"", self.text)
    }

    /// Consumes an operator if it comes next.
    fn take(&mut self, operator: &str) -> bool {
        self.blanks();
        let rest = self.rest.strip_prefix(operator);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Evaluates an operand whose value is used only if `used` is true.
    fn only_if(
        &mut self,
        used: bool,
        operand: impl FnOnce(&mut Self) -> Result<i64, ArithmeticError>,
    ) -> Result<i64, ArithmeticError> {
        self.skipped += usize::from(!used);
        let value = operand(self);
        self.skipped -= usize::from(!used);
        value
    }

    /// Evaluates an operand that can contain others of its kind.
    ///
    /// # Errors
    /// More than [`MAX_DEPTH`] of them contain each other.
    fn nested(
        &mut self,
        operand: impl FnOnce(&mut Self) -> Result<i64, ArithmeticError>,
    ) -> Result<i64, ArithmeticError> {
        if self.depth == MAX_DEPTH {
            return Err(format!("arithmetic expression: more than {MAX_DEPTH} nested operands are not simulated"));
        }
        self.depth += 1;
        let value = operand(self);
        self.depth -= 1;
        value
    }

    /// Evaluates an assignment or a condition.
    fn assignment(&mut self) -> Result<i64, ArithmeticError> {
        self.blanks();
        let start = self.rest;
        let name = self.name();
        self.blanks();
        let assigns = |(operator, _): &&(&str, &str)| self.rest.starts_with(operator) && !self.rest.starts_with("==");
        let Some((operator, applied)) = ASSIGNMENTS.iter().find(assigns).filter(|_| !name.is_empty()) else {
            self.rest = start;
            return self.condition();
        };
        self.rest = &self.rest[operator.len()..];
        let right = self.nested(Self::assignment)?;
        let value = if applied.is_empty() {
            right
        } else {
            let left = self.variable(name)?;
            self.apply(left, applied, right)?
        };
        if self.skipped == 0 {
            self.variables.assign(name, value);
        }
        Ok(value)
    }

    /// Evaluates the conditional operator, `a ? b : c`.
    fn condition(&mut self) -> Result<i64, ArithmeticError> {
        let condition = self.alternative()?;
        if !self.take("?") {
            return Ok(condition);
        }
        let first = self.only_if(condition != 0, |inner| inner.nested(Self::assignment))?;
        if !self.take(":") {
            return Err(self.error("expecting ':'"));
        }
        let second = self.only_if(condition == 0, |inner| inner.nested(Self::condition))?;
        Ok(if condition != 0 { first } else { second })
    }

    /// Evaluates a chain of `||`.
    fn alternative(&mut self) -> Result<i64, ArithmeticError> {
        let mut left = self.conjunction()?;
        while self.take("||") {
            let right = self.only_if(left == 0, Self::conjunction)?;
            left = i64::from(left != 0 || right != 0);
        }
        Ok(left)
    }

    /// Evaluates a chain of `&&`.
    fn conjunction(&mut self) -> Result<i64, ArithmeticError> {
        let mut left = self.ranked(0)?;
        while self.take("&&") {
            let right = self.only_if(left != 0, |inner| inner.ranked(0))?;
            left = i64::from(left != 0 && right != 0);
        }
        Ok(left)
    }

    /// Evaluates a chain of operators of at least the given rank, from left to right.
    fn ranked(&mut self, rank: usize) -> Result<i64, ArithmeticError> {
        let Some(operators) = RANKS.get(rank) else { return self.primary() };
        let mut left = self.ranked(rank + 1)?;
        while let Some(operator) = self.binary(operators) {
            self.rest = &self.rest[operator.len()..];
            let right = self.ranked(rank + 1)?;
            left = self.apply(left, operator, right)?;
        }
        Ok(left)
    }

    /// Returns the binary operator that comes next, if it is one of `operators`.
    fn binary(&mut self, operators: &[&'static str]) -> Option<&'static str> {
        self.blanks();
        let operator = operators.iter().copied().find(|operator| self.rest.starts_with(operator))?;
        let after = &self.rest[operator.len()..];
        let is_other = match operator {
            "|" | "&" => after.starts_with(operator) || after.starts_with('='),
            "<" | ">" => after.starts_with(operator),
            "==" | "!=" | "<=" | ">=" => false,
            _ => after.starts_with('='),
        };
        (!is_other).then_some(operator)
    }

    /// Evaluates a number, a variable, a parenthesis or an operator with one operand.
    fn primary(&mut self) -> Result<i64, ArithmeticError> {
        if self.take("(") {
            let value = self.nested(Self::assignment)?;
            return if self.take(")") { Ok(value) } else { Err(self.error("expecting ')'")) };
        }
        for operator in ["-", "+", "!", "~"] {
            if self.take(operator) {
                let value = self.nested(Self::primary)?;
                return Ok(match operator {
                    "-" => value.wrapping_neg(),
                    "+" => value,
                    "!" => i64::from(value == 0),
                    _ => !value,
                });
            }
        }
        let name = self.name();
        if !name.is_empty() {
            return self.variable(name);
        }
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        let Some(value) = number(digits) else { return Err(self.error("expecting primary")) };
        self.rest = rest;
        Ok(value)
    }

    /// Consumes the name of a variable; empty if none starts here.
    fn name(&mut self) -> &'a str {
        let is_word = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        let end = if self.rest.starts_with(|c: char| c.is_ascii_digit()) { 0 } else { end };
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name
    }

    /// Returns the value of a variable; 0 if it is not set or empty.
    fn variable(&self, name: &str) -> Result<i64, ArithmeticError> {
        let Some(text) = self.variables.value(name).filter(|_| self.skipped == 0) else { return Ok(0) };
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Ok(0);
        }
        let (negative, digits) = trimmed.strip_prefix('-').map_or((false, trimmed), |digits| (true, digits));
        let value = number(digits.strip_prefix('+').unwrap_or(digits));
        let value = value.ok_or_else(|| format!("Illegal number: {text}"))?;
        Ok(if negative { value.wrapping_neg() } else { value })
    }

    /// Applies a binary operator. Overflow wraps around; comparisons yield 1 or 0.
    fn apply(&self, left: i64, operator: &str, right: i64) -> Result<i64, ArithmeticError> {
        let shift = u32::try_from(right & 63).unwrap_or_default();
        Ok(match operator {
            "+" => left.wrapping_add(right),
            "-" => left.wrapping_sub(right),
            "*" => left.wrapping_mul(right),
            "/" | "%" if right == 0 && self.skipped > 0 => 0,
            "/" | "%" if right == 0 => return Err(self.error("division by zero")),
            "/" => left.wrapping_div(right),
            "%" => left.wrapping_rem(right),
            "<<" => left.wrapping_shl(shift),
            ">>" => left.wrapping_shr(shift),
            "&" => left & right,
            "^" => left ^ right,
            "|" => left | right,
            "==" => i64::from(left == right),
            "!=" => i64::from(left != right),
            "<" => i64::from(left < right),
            ">" => i64::from(left > right),
            "<=" => i64::from(left <= right),
            _ => i64::from(left >= right),
        })
    }
}

/// Reads a decimal, octal (`0…`) or hexadecimal (`0x…`) number; the largest one if it is too large.
fn number(digits: &str) -> Option<i64> {
    let (digits, radix) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    Some(i64::from_str_radix(digits, radix).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct NoVariables;

    impl ArithmeticVariables for NoVariables {
        fn value(&self, _: &str) -> Option<String> {
            None
        }

        fn assign(&mut self, _: &str, _: i64) {}
    }

    #[test]
    fn operands_that_are_nested_too_deeply_are_refused() {
        let value = |text: &str| Arithmetic::new(text, &mut NoVariables).value();
        for [opening, closing] in [["(", ")"], ["-", ""], ["~ ", ""], ["a=", ""], ["1?", ":0"], ["0?1:", ""]] {
            let nested = |depth| format!("{}1{}", opening.repeat(depth), closing.repeat(depth));
            assert!(value(&nested(60)).is_ok(), "{opening}");
            assert!(value(&nested(100_000)).is_err_and(|error| error.contains("nested operands")), "{opening}");
        }
        assert_eq!(value(&format!("{}1", "1+".repeat(10_000))), Ok(10_001));
    }
}
