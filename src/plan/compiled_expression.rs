use std::{collections::HashMap, sync::Arc};

use cel::Program;
use serde_json::Value;

use super::{
    Expression, Piece, Plan, PlanError, Template,
    evaluate::{Failure, Reason},
    names::{Names, Resolved},
};
use crate::workflow;

/// A [`Template`] whose expressions are compiled.
pub(super) enum CompiledTemplate {
    Literal(Value),
    Expression(Compiled),
    Text(Vec<CompiledPiece>),
    List(Vec<CompiledTemplate>),
    Map(Vec<(String, CompiledTemplate)>),
}

pub(super) enum CompiledPiece {
    Literal(String),
    Expression(Compiled),
}

/// An [`Expression`] ready to be evaluated.
pub(super) struct Compiled {
    pub(super) source: String,
    pub(super) kind: CompiledKind,
    pub(super) and: Option<Box<Compiled>>,
}

pub(super) enum CompiledKind {
    /// A reference and nothing else: read straight from the JSON.
    Path(Resolved),
    /// Anything more: only what `reads` names is handed to CEL.
    Program { program: Arc<Program>, reads: Vec<Read> },
}

/// Something that a program reads, and under which names it looks for it.
pub(super) struct Read {
    pub(super) names: Vec<String>,
    pub(super) resolved: Resolved,
}

impl Compiled {
    pub(super) fn failure(&self, message: impl Into<String>) -> Failure {
        Failure { expression: self.source.clone(), reason: Reason::Failed(message.into()) }
    }
}

/// Compiles the expressions of one plan; equal ones are parsed once.
pub(super) struct Compiler<'a> {
    plan: &'a Plan,
    names: Names,
    parsed: HashMap<String, workflow::Expression>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        let names = Names::new(plan.steps.iter().map(|step| step.name.as_str()), &plan.scopes);
        Self { plan, names, parsed: HashMap::new() }
    }

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

    pub(super) fn template(
        &mut self,
        place: &str,
        template: &Template,
        variable: Option<&str>,
    ) -> Result<CompiledTemplate, PlanError> {
        Ok(match template {
            Template::Literal(value) => CompiledTemplate::Literal(value.clone()),
            Template::Expression(expression) => {
                CompiledTemplate::Expression(self.expression(place, expression, variable)?)
            }
            Template::Text(pieces) => CompiledTemplate::Text(
                pieces.iter().map(|piece| self.piece(place, piece, variable)).collect::<Result<_, _>>()?,
            ),
            Template::List(items) => CompiledTemplate::List(
                items.iter().map(|item| self.template(place, item, variable)).collect::<Result<_, _>>()?,
            ),
            Template::Map(entries) => CompiledTemplate::Map(
                entries
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), self.template(place, value, variable)?)))
                    .collect::<Result<_, _>>()?,
            ),
        })
    }

    fn piece(&mut self, place: &str, piece: &Piece, variable: Option<&str>) -> Result<CompiledPiece, PlanError> {
        Ok(match piece {
            Piece::Literal(text) => CompiledPiece::Literal(text.clone()),
            Piece::Expression(expression) => CompiledPiece::Expression(self.expression(place, expression, variable)?),
        })
    }

    pub(super) fn expression(
        &mut self,
        place: &str,
        expression: &Expression,
        variable: Option<&str>,
    ) -> Result<Compiled, PlanError> {
        let and = expression.and.as_ref().map(|and| self.expression(place, and, variable).map(Box::new)).transpose()?;
        let failed = |reason: String| PlanError::Expression {
            place: place.to_owned(),
            expression: expression.source.clone(),
            reason,
        };
        let parsed = self.parse(&expression.source).map_err(|e| failed(e.to_string()))?;
        let mut resolved = Vec::new();
        for reference in parsed.references() {
            let prefix = &self.plan.scopes[expression.scope].prefix;
            let found = self.names.resolve(reference, expression.scope, prefix, variable);
            let root = reference.root();
            resolved.push(found.ok_or_else(|| failed(format!("{root:?} does not lead to anything in the plan")))?);
        }
        let kind = match (parsed.program(), resolved.as_slice()) {
            (None, [path]) => CompiledKind::Path(path.clone()),
            (None, _) => return Err(failed("it is no single reference".into())),
            (Some(program), _) => {
                CompiledKind::Program { program: Arc::clone(program), reads: reads(parsed.references(), resolved) }
            }
        };
        Ok(Compiled { source: expression.source.clone(), kind, and })
    }

    fn parse(&mut self, source: &str) -> Result<workflow::Expression, workflow::ExpressionError> {
        if let Some(parsed) = self.parsed.get(source) {
            return Ok(parsed.clone());
        }
        let parsed = workflow::Expression::parse(source)?;
        self.parsed.insert(source.to_owned(), parsed.clone());
        Ok(parsed)
    }
}

// Names up to the first index: from there on the whole value is handed over. What another one contains is left out.
fn reads(references: &[workflow::Reference], resolved: Vec<Resolved>) -> Vec<Read> {
    let mut all: Vec<Read> = references
        .iter()
        .zip(resolved)
        .map(|(reference, mut resolved)| {
            let fields = (0..reference.segments.len()).map_while(|at| reference.field(at).map(str::to_owned));
            let names: Vec<String> = fields.collect();
            resolved.rest.truncate(names.len().saturating_sub(resolved.depth));
            Read { names, resolved }
        })
        .collect();
    all.sort_by(|a, b| a.names.cmp(&b.names));
    let mut kept: Vec<Read> = Vec::new();
    for read in all {
        if !kept.last().is_some_and(|last| read.names.starts_with(&last.names)) {
            kept.push(read);
        }
    }
    kept
}
