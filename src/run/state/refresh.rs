//! Acquisition of a run: what is stale is obtained again.

use super::{
    ApprovalDecision, FailureReach, Listing, NodeProgress, RunState, StepId, StepInstance, StepState, edges::EdgeKind,
};
use crate::{clock::UnixMillis, run::Attempt};

impl RunState {
    /// Makes the outcome of each running attempt unknown. The retry budgets begin anew.
    pub(super) fn interrupt_attempts(&mut self, at: UnixMillis) {
        for id in self.steps() {
            match &mut self.instances[id.index()].state {
                StepState::Running { attempt, .. } => {
                    let attempt = Attempt { failures: 0, since: at, ..*attempt };
                    self.set(id, StepState::Unknown { attempt });
                    self.count_unconfirmed_changes(id);
                }
                StepState::BackingOff { attempt, .. } | StepState::Unknown { attempt } => {
                    *attempt = Attempt { failures: 0, since: at, ..*attempt };
                }
                StepState::Blocked { .. }
                | StepState::Stopped
                | StepState::Dropped
                | StepState::Ready
                | StepState::Expanded { .. }
                | StepState::AwaitingApproval { .. }
                | StepState::InDoubt { .. }
                | StepState::Succeeded { .. }
                | StepState::Skipped
                | StepState::Failed { .. } => {}
            }
        }
    }

    /// Discards what may have become stale: results of repeatable steps, conditions, lists of items
    /// and open questions. Approvals stay. Results that must be kept count again once all that the
    /// step depends on has been obtained again: what follows acts on facts of now.
    pub(super) fn discard_stale_results(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.queue.clear());
        for id in self.steps() {
            let is_loop = self.instances[id.index()].of.is_none() && self.nodes[self.node(id)].is_loop;
            let is_repeatable = is_loop || self.nodes[self.node(id)].is_repeatable;
            match self.state(id) {
                state @ (StepState::Unknown { attempt } | StepState::BackingOff { attempt, .. }) => {
                    let (number, kept) = (attempt.number, (!is_repeatable).then(|| state.clone()));
                    self.instances[id.index()].interrupted = Some(number);
                    self.instances[id.index()].kept = kept;
                }
                state @ StepState::Succeeded { .. } if !is_repeatable => {
                    self.instances[id.index()].kept = Some(state.clone());
                }
                StepState::InDoubt { .. } if !is_repeatable => continue,
                StepState::Failed { .. } if self.is_refused(id) => continue,
                _ => {}
            }
            self.set(id, StepState::Blocked { by: 0 });
        }
        for instance in &mut self.instances {
            instance.listing = if instance.of.is_none() { Listing::Listed } else { Listing::Unlisted };
            instance.decision = instance.decision.take().map(ApprovalDecision::before);
        }
        for node in &mut self.nodes {
            node.former_instances.append(&mut node.instances);
        }
        self.rebuild_dependencies();
    }

    fn is_refused(&self, id: StepId) -> bool {
        self.instances[id.index()].decision == Some(ApprovalDecision::Refused)
    }

    /// Computes anew what blocks each step that has not started.
    pub(super) fn rebuild_dependencies(&mut self) {
        let count = self.nodes.len();
        for node in &mut self.nodes {
            node.queue.clear();
            node.failed_need = None;
            node.progress = NodeProgress::Pending;
        }
        for index in 0..count {
            let id = StepId::of(index);
            if matches!(self.state(id), StepState::Blocked { .. } | StepState::Stopped | StepState::Ready) {
                let by = self.nodes[index].predecessors;
                self.set(id, StepState::Blocked { by });
            }
            if matches!(self.state(id), StepState::Expanded { .. }) {
                self.block_unstarted_instances(index);
            }
        }
        let is_open = |index: &usize| !is_good(&self.instances[*index].state);
        (self.open_finally, self.open) = {
            let (finally, others): (Vec<usize>, Vec<usize>) =
                (0..count).filter(is_open).partition(|&index| self.nodes[index].is_finally);
            (finally.len(), others.len())
        };
        if self.finally.is_some() {
            for index in self.finally_nodes() {
                self.count_settled_edge(index, None);
            }
        }
        // In the order of the plan, each step's dependencies are settled before the step itself.
        for index in 0..count {
            self.release_dependents(index);
        }
    }

    fn block_unstarted_instances(&mut self, node: usize) {
        for id in self.nodes[node].instances.clone() {
            if matches!(self.state(id), StepState::Blocked { .. } | StepState::Stopped | StepState::Ready) {
                self.set(id, StepState::Blocked { by: 0 });
            }
        }
    }

    /// Releases a step that nothing blocks, or the dependents of one that has ended.
    fn release_dependents(&mut self, index: usize) {
        let id = StepId::of(index);
        match self.state(id) {
            StepState::Blocked { .. } => self.unblock_if_free(id),
            StepState::Succeeded { .. } | StepState::Skipped => self.release_edges(index, None),
            StepState::Failed { .. } => {
                let reach = self.nodes[index].failure_reach();
                self.close(index, Some(reach));
                self.release_edges(index, Some(reach));
            }
            StepState::Expanded { .. } => self.release_instances(index),
            _ => {}
        }
    }

    /// Settles the edges to later steps of the plan, whose own states are computed afterwards.
    fn release_edges(&mut self, index: usize, failure: Option<FailureReach>) {
        if std::mem::replace(&mut self.nodes[index].progress, NodeProgress::Settled) == NodeProgress::Settled {
            return;
        }
        for dependent in self.nodes[index].dependents.clone() {
            let failure = failure.filter(|_| dependent.kind != EdgeKind::After);
            self.count_settled_edge(dependent.node, failure);
        }
    }

    /// Counts the instances of a `for_each` step, releases its dependents, and makes the instances
    /// wait for their counterparts or for a slot.
    pub(super) fn release_instances(&mut self, node: usize) {
        let parent = StepId::of(node);
        let instances = self.nodes[node].instances.clone();
        let ended = |state: &StepState| is_good(state) || matches!(state, StepState::Failed { .. });
        let permits_failures = self.nodes[node].permits_failures();
        let is_closed = |state: &StepState| is_good(state) || permits_failures && ended(state);
        let open = instances.iter().filter(|&&id| !is_closed(self.state(id))).count();
        self.nodes[node].unsettled = instances.iter().filter(|&&id| !ended(self.state(id))).count();
        self.set(parent, StepState::Expanded { open });
        self.collect_partial_outputs(node);
        self.node_expanded(node);
        for id in instances {
            if matches!(self.state(id), StepState::Blocked { .. }) {
                self.block_by_counterparts(id);
            }
        }
        self.settle_loop_if_ended(parent);
    }

    /// Gives a `for_each` step its instances: those that it has had with these keys, and new ones.
    ///
    /// Instances that are no longer listed are dropped. They remain visible if they have changed
    /// something, or may have.
    pub(super) fn list_instances(&mut self, parent: StepId, keys: &[String]) {
        let node = self.node(parent);
        for key in keys {
            let id = self.find_or_add_instance(parent, key);
            self.instances[id.index()].listing = Listing::Listed;
            if *self.state(id) == StepState::Dropped {
                self.set(id, StepState::Blocked { by: 0 });
            }
            self.nodes[node].instances.push(id);
        }
        for id in std::mem::take(&mut self.nodes[node].former_instances) {
            let instance = &mut self.instances[id.index()];
            if instance.listing == Listing::Unlisted && (instance.has_changed || instance.interrupted.is_some()) {
                instance.listing = Listing::Dropped;
                if matches!(instance.state, StepState::Blocked { .. }) {
                    self.set(id, StepState::Dropped);
                }
            }
        }
        self.set(parent, StepState::Expanded { open: keys.len() });
        self.release_instances(node);
    }

    fn find_or_add_instance(&mut self, parent: StepId, key: &str) -> StepId {
        let name = format!("{}[{key}]", self.name(parent));
        if let Some(id) = self.find(&name) {
            return id;
        }
        let id = StepId::of(self.instances.len());
        self.names.insert(name.clone(), id);
        let of = Some((parent, key.to_owned()));
        self.instances.push(StepInstance::new(name, self.node(parent), of, StepState::Blocked { by: 0 }));
        id
    }

    /// Blocks an instance by its counterparts, or makes it wait for a slot.
    pub(super) fn block_by_counterparts(&mut self, id: StepId) {
        let node = self.node(id);
        let key = self.key(id).unwrap_or_default().to_owned();
        match self.open_counterparts(node, &key) {
            Some(0) => self.enqueue(id),
            Some(open) => self.set(id, StepState::Blocked { by: open + 1 }),
            None => {
                let reach = self.nodes[node].outer_reach();
                self.stop(id, reach);
            }
        }
    }
}

fn is_good(state: &StepState) -> bool {
    matches!(state, StepState::Succeeded { .. } | StepState::Skipped)
}

impl ApprovalDecision {
    /// Returns the decision as it counts after the run was acquired.
    fn before(self) -> Self {
        match self {
            Self::Approved { question } | Self::ApprovedBefore { question } => Self::ApprovedBefore { question },
            Self::Refused => Self::Refused,
        }
    }
}
