//! Dependencies between steps: which steps are blocked, and by what.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{FailureReach, Listing, NodeProgress, RunState, StepId, StepState};
use crate::run::Shared;

/// Meaning of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EdgeKind {
    /// The dependent needs the step to succeed.
    Needs,
    /// The dependent waits for the end of the step, whatever its result.
    After,
    /// Each instance of the dependent needs the step's instance with the same key.
    NeedsEach,
}

/// A step that depends on another one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dependent {
    /// Index of the dependent in the plan.
    pub(super) node: usize,
    pub(super) kind: EdgeKind,
}

/// Change of an index over states.
#[derive(Debug, Clone, Copy)]
enum Change {
    Add,
    Remove,
}

impl Change {
    fn apply<T: Ord>(self, index: &mut BTreeSet<T>, item: T) {
        match self {
            Self::Add => index.insert(item),
            Self::Remove => index.remove(&item),
        };
    }
}

impl RunState {
    /// Changes a step's state together with each index over states.
    pub(super) fn set(&mut self, id: StepId, state: StepState) {
        let before = std::mem::replace(&mut self.instances[id.index()].state, StepState::Stopped);
        self.index(id, &before, Change::Remove);
        self.index(id, &state, Change::Add);
        self.instances[id.index()].state = state;
        self.count_slot(id, has_slot(&before));
    }

    /// Adds a step in this state to the index of the state, or removes it.
    fn index(&mut self, id: StepId, state: &StepState, change: Change) {
        self.count_failed_instance(id, state, change);
        let counter = match state {
            StepState::Ready => return change.apply(&mut self.ready, id),
            StepState::Unknown { .. } => return change.apply(&mut self.unknown, id),
            StepState::BackingOff { until, .. } => return change.apply(&mut self.backing_off, (*until, id)),
            StepState::Running { .. } => &mut self.running,
            StepState::AwaitingApproval { .. } => &mut self.awaiting_approval,
            StepState::InDoubt { .. } => &mut self.in_doubt,
            StepState::Failed { .. } if self.is_failure_allowed(id) => return,
            StepState::Failed { .. } => &mut self.failed,
            StepState::Blocked { .. }
            | StepState::Stopped
            | StepState::Dropped
            | StepState::Expanded { .. }
            | StepState::Succeeded { .. }
            | StepState::Skipped => return,
        };
        match change {
            Change::Add => *counter += 1,
            Change::Remove => *counter -= 1,
        }
    }

    /// Counts the instances of a `for_each` step that have failed or are in doubt.
    fn count_failed_instance(&mut self, id: StepId, state: &StepState, change: Change) {
        let is_failed = matches!(state, StepState::Failed { .. } | StepState::InDoubt { .. });
        if !is_failed || self.instances[id.index()].of.is_none() {
            return;
        }
        let node = self.node(id);
        match change {
            Change::Add => self.nodes[node].failed += 1,
            Change::Remove => self.nodes[node].failed -= 1,
        }
    }

    /// Counts the slots of a `for_each` step's instances after a change of one, and assigns a slot
    /// that became free.
    fn count_slot(&mut self, id: StepId, had_slot: bool) {
        if self.instances[id.index()].of.is_none() {
            return;
        }
        let node = self.node(id);
        match (had_slot, has_slot(self.state(id))) {
            (false, true) => self.nodes[node].slots_used += 1,
            (true, false) => {
                self.nodes[node].slots_used -= 1;
                self.assign_slots(node);
            }
            (false, false) | (true, true) => {}
        }
    }

    /// Makes waiting instances ready, as many as there are free slots. Once too many have failed,
    /// they are stopped instead.
    pub(super) fn assign_slots(&mut self, node: usize) {
        if self.nodes[node].has_too_many_failures() {
            return self.stop_waiting(node);
        }
        let limit = self.nodes[node].max_parallel.map_or(usize::MAX, |limit| limit.max(1) as usize);
        while self.nodes[node].slots_used < limit {
            let Some(next) = self.nodes[node].queue.pop_front() else { return };
            self.unblock(next);
        }
    }

    /// Stops the instances of a `for_each` step that have not started.
    fn stop_waiting(&mut self, node: usize) {
        let is_ready = |id: &StepId| *self.state(*id) == StepState::Ready;
        let ready: Vec<StepId> = self.nodes[node].instances.iter().copied().filter(is_ready).collect();
        // Their slots are not assigned again.
        for &id in &ready {
            self.index(id, &StepState::Ready, Change::Remove);
            self.instances[id.index()].state = StepState::Stopped;
            self.nodes[node].slots_used -= 1;
        }
        let reach = self.nodes[node].failure_reach();
        for id in ready {
            self.settle(id, Some(reach));
        }
        while let Some(id) = self.nodes[node].queue.pop_front() {
            self.stop(id, reach);
        }
    }

    /// Makes a step ready. A step that was interrupted returns to the state that it had.
    fn unblock(&mut self, id: StepId) {
        match self.instances[id.index()].kept.take() {
            Some(StepState::Succeeded { output }) => self.succeed(id, output),
            kept => self.set(id, kept.unwrap_or(StepState::Ready)),
        }
    }

    /// Makes a step ready if nothing blocks it.
    ///
    /// A step of which a dependency failed is stopped instead. A `for_each` step is ready even
    /// then: without items, nothing of it needs the dependency.
    pub(super) fn unblock_if_free(&mut self, id: StepId) {
        if !matches!(self.state(id), StepState::Blocked { by: 0 }) {
            return;
        }
        let node = &self.nodes[self.node(id)];
        match (node.failed_need, node.is_loop) {
            (None, _) => self.unblock(id),
            (Some(_), true) => self.set(id, StepState::Ready),
            (Some(reach), false) => self.stop(id, reach),
        }
    }

    /// Stops a step because of a failure with this reach.
    pub(super) fn stop(&mut self, id: StepId, reach: FailureReach) {
        self.set(id, StepState::Stopped);
        self.settle(id, Some(reach));
    }

    /// Makes an instance wait for a slot.
    pub(super) fn enqueue(&mut self, id: StepId) {
        let node = self.node(id);
        self.set(id, StepState::Blocked { by: 1 });
        self.nodes[node].queue.push_back(id);
        self.assign_slots(node);
    }

    /// Records the output of a step that succeeded.
    pub(super) fn succeed(&mut self, id: StepId, output: Shared<Value>) {
        self.set(id, StepState::Succeeded { output });
        self.settle(id, None);
    }

    /// Informs the dependents of a step or instance that has ended. `failure` is the reach of its
    /// failure, or of the one that has stopped it.
    pub(super) fn settle(&mut self, id: StepId, failure: Option<FailureReach>) {
        let node = self.node(id);
        match self.instances[id.index()].of.clone() {
            None => self.settle_node(node, failure),
            // The list of its step is not evaluated again yet.
            Some(_) if self.instances[id.index()].listing != Listing::Listed => {}
            Some((parent, key)) => {
                self.settle_counterparts(node, &key, failure);
                self.settle_instance(parent, id, failure);
            }
        }
    }

    fn settle_node(&mut self, node: usize, failure: Option<FailureReach>) {
        let before = std::mem::replace(&mut self.nodes[node].progress, NodeProgress::Settled);
        if before == NodeProgress::Settled {
            return;
        }
        self.close(node, failure);
        for dependent in self.nodes[node].dependents.clone() {
            match dependent.kind {
                EdgeKind::After => self.edge_settled(dependent.node, None),
                EdgeKind::NeedsEach if before == NodeProgress::Expanded => {}
                EdgeKind::Needs | EdgeKind::NeedsEach => self.edge_settled(dependent.node, failure),
            }
        }
    }

    /// Counts a step that has ended, unless the run fails because of it.
    pub(super) fn close(&mut self, node: usize, failure: Option<FailureReach>) {
        let open = if self.nodes[node].is_finally { &mut self.open_finally } else { &mut self.open };
        *open -= usize::from(failure != Some(FailureReach::Run));
    }

    /// Informs the dependents that wait for the instances of a `for_each` step.
    pub(super) fn node_expanded(&mut self, node: usize) {
        self.nodes[node].progress = NodeProgress::Expanded;
        for dependent in self.nodes[node].dependents.clone() {
            if dependent.kind == EdgeKind::NeedsEach {
                self.edge_settled(dependent.node, None);
            }
        }
    }

    fn edge_settled(&mut self, dependent: usize, failure: Option<FailureReach>) {
        if self.count_settled_edge(dependent, failure) {
            self.unblock_if_free(StepId::of(dependent));
        }
    }

    /// Counts a dependency of a blocked step that has ended. Returns `false` if the step is not
    /// blocked.
    pub(super) fn count_settled_edge(&mut self, dependent: usize, failure: Option<FailureReach>) -> bool {
        let StepState::Blocked { by } = &mut self.instances[dependent].state else { return false };
        *by -= 1;
        let node = &mut self.nodes[dependent];
        if let Some(failure) = failure.filter(|failure| failure.includes(&node.groups)) {
            let wider = node.failed_need.map_or(failure, |reach| reach.or_wider(failure, &node.groups));
            node.failed_need = Some(wider);
        }
        true
    }

    /// Informs the instances with the same key of the steps that need each instance of `node`.
    fn settle_counterparts(&mut self, node: usize, key: &str, failure: Option<FailureReach>) {
        for dependent in self.nodes[node].dependents.clone() {
            if dependent.kind == EdgeKind::NeedsEach
                && self.nodes[dependent.node].progress != NodeProgress::Pending
                && let Some(id) = self.instance(dependent.node, key)
            {
                let failure = failure.filter(|reach| reach.includes(&self.nodes[dependent.node].groups));
                self.counterpart_settled(id, failure);
            }
        }
    }

    fn counterpart_settled(&mut self, id: StepId, failure: Option<FailureReach>) {
        let StepState::Blocked { by } = &mut self.instances[id.index()].state else { return };
        *by -= 1;
        match (*by, failure) {
            (_, Some(reach)) => self.stop(id, reach),
            (1, None) => self.enqueue(id),
            (_, None) => {}
        }
    }

    fn settle_instance(&mut self, parent: StepId, id: StepId, failure: Option<FailureReach>) {
        let node = self.node(parent);
        let is_good = failure.is_none_or(FailureReach::is_of_step);
        if self.nodes[node].partial_outputs.is_some()
            && let (Some(key), StepState::Succeeded { output }) = (self.key(id), self.state(id))
        {
            let (key, output) = (key.to_owned(), Value::clone(output));
            self.nodes[node].partial_outputs.get_or_insert_default()[key] = output;
        }
        self.nodes[node].unsettled -= 1;
        if let StepState::Expanded { open } = &mut self.instances[parent.index()].state {
            *open -= usize::from(is_good);
        }
        self.settle_loop_if_ended(parent);
    }

    /// Ends a `for_each` step once all its instances have ended.
    pub(super) fn settle_loop_if_ended(&mut self, parent: StepId) {
        let node = self.node(parent);
        match self.state(parent) {
            StepState::Expanded { open: 0 } => {
                let output = self.collect_outputs(parent);
                self.succeed(parent, output.into());
            }
            StepState::Expanded { .. } if self.nodes[node].unsettled == 0 => {
                self.settle_node(node, Some(self.nodes[node].outer_reach()));
            }
            _ => {}
        }
    }

    /// Computes the outputs of the instances that have succeeded so far, if a step can read them.
    pub(super) fn collect_partial_outputs(&mut self, node: usize) {
        if self.nodes[node].partial_outputs.is_some() {
            self.nodes[node].partial_outputs = Some(self.collect_outputs(StepId::of(node)));
        }
    }

    /// Returns the outputs of a `for_each` step's instances by key. Skipped instances have none.
    fn collect_outputs(&self, parent: StepId) -> Value {
        let instances = self.nodes[self.node(parent)].instances.iter();
        let outputs = instances.filter_map(|&child| match self.state(child) {
            StepState::Succeeded { output } => Some((self.key(child)?.to_owned(), Value::clone(output))),
            _ => None,
        });
        Value::Object(outputs.collect::<Map<_, _>>())
    }

    /// Returns the number of counterparts that block an instance; `None` if one of them has failed
    /// and its step does not permit that.
    pub(super) fn open_counterparts(&self, node: usize, key: &str) -> Option<usize> {
        let mut open = 0;
        for &before in &self.nodes[node].needs_each {
            match self.instance(before, key).map(|id| self.state(id)) {
                None | Some(StepState::Succeeded { .. } | StepState::Skipped | StepState::Dropped) => {}
                Some(StepState::Failed { .. }) if self.nodes[before].permits_failures() => {}
                Some(StepState::Failed { .. } | StepState::Stopped) => return None,
                Some(_) => open += 1,
            }
        }
        Some(open)
    }

    /// Returns the listed instance of a `for_each` step with this key.
    fn instance(&self, node: usize, key: &str) -> Option<StepId> {
        let id = self.find(&format!("{}[{key}]", self.instances[node].name))?;
        (self.instances[id.index()].listing == Listing::Listed).then_some(id)
    }
}

/// True if an instance in this state counts against its step's `max_parallel`.
fn has_slot(state: &StepState) -> bool {
    match state {
        StepState::Ready | StepState::Running { .. } | StepState::BackingOff { .. } | StepState::Unknown { .. } => true,
        StepState::Blocked { .. }
        | StepState::Stopped
        | StepState::Dropped
        | StepState::Expanded { .. }
        | StepState::AwaitingApproval { .. }
        | StepState::InDoubt { .. }
        | StepState::Succeeded { .. }
        | StepState::Skipped
        | StepState::Failed { .. } => false,
    }
}
