use crate::plan::FailureGroup;

/// Part of a run that a failure stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureReach {
    /// All that depends on the failed step. The run fails.
    Run,
    /// All in this group that depends on the failed step.
    Group(FailureGroup),
}

impl FailureReach {
    /// Returns the reach of a failure in the middle of these groups, the innermost first.
    pub(super) fn within(groups: &[FailureGroup]) -> Self {
        groups.first().map_or(Self::Run, |group| Self::Group(*group))
    }

    /// True if `allow_failure` of the failed step itself ends the failure.
    pub(super) fn is_of_step(self) -> bool {
        matches!(self, Self::Group(FailureGroup::Step(_)))
    }

    /// True if the failure stops a step that is inside these groups.
    pub(super) fn includes(self, groups: &[FailureGroup]) -> bool {
        match self {
            Self::Run => true,
            Self::Group(group) => groups.contains(&group),
        }
    }

    /// Returns the wider reach of two that include a step inside these groups.
    pub(super) fn or_wider(self, other: Self, groups: &[FailureGroup]) -> Self {
        let width = |reach| match reach {
            Self::Run => usize::MAX,
            Self::Group(group) => groups.iter().position(|each| *each == group).unwrap_or_default(),
        };
        if width(self) >= width(other) { self } else { other }
    }
}
