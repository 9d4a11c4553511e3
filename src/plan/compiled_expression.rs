use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use cel::Program;

use super::{
    PlanError, PlannedExpression, Reason, Template,
    error::EvaluationFailure,
    names::{IndexResolver, Resolved, resolve},
};
use crate::workflow::{Expression, ExpressionError, Reference};

/// A [`Template`] whose expressions are compiled.
pub(super) type CompiledTemplate = Template<CompiledExpression>;

/// A [`PlannedExpression`] that can be evaluated.
pub(super) struct CompiledExpression {
    /// Text of the expression, for messages.
    pub(super) source: String,
    pub(super) kind: CompiledKind,
    /// Condition that must hold as well and is evaluated first.
    pub(super) and: Option<Box<CompiledExpression>>,
}

/// Way in which an expression is evaluated.
pub(super) enum CompiledKind {
    /// A reference and nothing else: read from the JSON without CEL.
    Path(Resolved),
    /// Any other expression. CEL receives only the values that `reads` names.
    Program { program: Arc<Program>, reads: Vec<Read> },
}

/// A value that a program reads, with the names under which the program looks for it.
pub(super) struct Read {
    /// Names of the reference up to the first index, such as `steps`, `net`, `outputs`.
    pub(super) names: Vec<String>,
    /// Target of the reference, with the fields below it up to the first index.
    pub(super) resolved: Resolved,
    /// True if the program reads nothing but the size of the value.
    pub(super) is_sized_only: bool,
}

impl CompiledExpression {
    /// Creates the error of this expression if it needs outputs of `steps` that are not known yet.
    pub(super) fn unknown(&self, steps: BTreeSet<usize>) -> EvaluationFailure {
        EvaluationFailure { expression: self.source.clone(), reason: Reason::Unknown { steps } }
    }

    /// Creates the error of this expression with a message for people.
    pub(super) fn failure(&self, message: impl Into<String>) -> EvaluationFailure {
        EvaluationFailure { expression: self.source.clone(), reason: Reason::Failed(message.into()) }
    }
}

/// Compiles the expressions of one plan. Expressions with the same text are parsed once.
pub(super) struct Compiler<'a> {
    names: &'a IndexResolver,
    parsed: HashMap<String, Expression>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(names: &'a IndexResolver) -> Self {
        Self { names, parsed: HashMap::new() }
    }

    /// Compiles named templates, which cannot use a loop variable.
    pub(super) fn templates(
        &mut self,
        place: &str,
        templates: &[(String, Template)],
    ) -> Result<Vec<(String, CompiledTemplate)>, PlanError> {
        templates
            .iter()
            .map(|(name, template)| Ok((name.clone(), self.template(&format!("{place} {name:?}"), template, None)?)))
            .collect()
    }

    /// Compiles a template. `variable` is the name of the loop variable, if there is one.
    pub(super) fn template(
        &mut self,
        place: &str,
        template: &Template,
        variable: Option<&str>,
    ) -> Result<CompiledTemplate, PlanError> {
        template.try_map(&mut |expression| self.expression(place, expression, variable))
    }

    /// Compiles one expression. `place` names the step or output in an error.
    ///
    /// # Errors
    /// [`PlanError::Expression`] if the text cannot be parsed or a reference has no target in the
    /// plan.
    pub(super) fn expression(
        &mut self,
        place: &str,
        expression: &PlannedExpression,
        variable: Option<&str>,
    ) -> Result<CompiledExpression, PlanError> {
        let and = expression.and.as_ref().map(|and| self.expression(place, and, variable).map(Box::new)).transpose()?;
        let failed = |reason: String| PlanError::Expression {
            place: place.to_owned(),
            expression: expression.source.clone(),
            reason,
        };
        let parsed = self.parse(expression).map_err(|error| failed(error.to_string()))?;
        let mut resolved = Vec::with_capacity(parsed.references().len());
        for reference in parsed.references() {
            let found = resolve(self.names, expression.scope, variable, reference);
            resolved.push(found.map_err(|_| failed(format!("the plan has no {reference}")))?);
        }
        let kind = match (parsed.program(), resolved.as_slice()) {
            (None, [path]) => CompiledKind::Path(path.clone()),
            (None, _) => return Err(failed("it is not a single reference".into())),
            (Some(program), _) => {
                CompiledKind::Program { program: Arc::clone(program), reads: reads(parsed.references(), resolved) }
            }
        };
        Ok(CompiledExpression { source: expression.source.clone(), kind, and })
    }

    /// Parses an expression, unless it is parsed already or was parsed with the same text before.
    fn parse(&mut self, expression: &PlannedExpression) -> Result<Expression, ExpressionError> {
        if expression.is_parsed() {
            return expression.parse();
        }
        if let Some(parsed) = self.parsed.get(&expression.source) {
            return Ok(parsed.clone());
        }
        let parsed = expression.parse()?;
        self.parsed.insert(expression.source.clone(), parsed.clone());
        Ok(parsed)
    }
}

/// Returns the values that a program reads, each with its names up to the first index: from an
/// index on, the whole value is passed to CEL. A value inside another one is omitted.
fn reads(references: &[Reference], resolved: Vec<Resolved>) -> Vec<Read> {
    let mut all: Vec<Read> = references
        .iter()
        .zip(resolved)
        .map(|(reference, mut resolved)| {
            let fields = (0..reference.segments.len()).map_while(|at| reference.field(at).map(str::to_owned));
            let names: Vec<String> = fields.collect();
            resolved.rest.truncate(names.len().saturating_sub(resolved.depth));
            // The size of a value behind an index is not that of the whole value.
            let is_sized_only = reference.is_sized_only && names.len() == reference.segments.len();
            Read { names, resolved, is_sized_only }
        })
        .collect();
    all.sort_by(|a, b| a.names.cmp(&b.names));
    let mut kept: Vec<Read> = Vec::new();
    for read in all {
        match kept.last_mut() {
            Some(last) if read.names.starts_with(&last.names) => {
                last.is_sized_only &= read.is_sized_only && read.names == last.names;
            }
            _ => kept.push(read),
        }
    }
    kept
}
