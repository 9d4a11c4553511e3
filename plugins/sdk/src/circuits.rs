use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use crate::ActionError;

/// Error code: an earlier step of the run has failed because the machine did not respond.
pub const NOT_TRIED_AGAIN: &str = "NotTriedAgain";

/// Machines that steps of a run could not reach.
///
/// A step repeats its attempts while a machine does not respond, since it may be booting. After a
/// step has failed for that reason, other steps of the run do not wait again: the circuit of the
/// machine is open until the run ends, or until an attempt reaches the machine.
#[derive(Debug, Default)]
pub struct Circuits(Mutex<BTreeMap<String, Circuit>>);

#[derive(Debug, Default)]
struct Circuit {
    /// Steps whose last attempt did not reach the machine.
    waiting: BTreeSet<String>,
    /// Error of the last attempt.
    error: String,
    /// Step that has failed because the machine did not respond.
    open: Option<String>,
}

impl Circuits {
    /// Records that an attempt of `step` did not reach `machine`.
    pub fn missed(&self, machine: &str, step: &str, error: &ActionError) {
        self.with(|circuits| {
            let circuit = circuits.entry(machine.to_owned()).or_default();
            circuit.waiting.insert(step.to_owned());
            circuit.error.clone_from(&error.message);
        });
    }

    /// Records that `machine` responds.
    pub fn reached(&self, machine: &str) {
        self.with(|circuits| drop(circuits.remove(machine)));
    }

    /// Records that `step` has failed: it opens the circuits of the machines that its last attempt
    /// did not reach.
    pub fn step_failed(&self, step: &str) {
        self.with(|circuits| {
            for circuit in circuits.values_mut().filter(|circuit| circuit.waiting.contains(step)) {
                circuit.open.get_or_insert_with(|| step.to_owned());
            }
        });
    }

    /// Checks that no step has failed because `machine` did not respond.
    ///
    /// # Errors
    /// `Permanent` with the code [`NOT_TRIED_AGAIN`], the name of the step and its error.
    pub fn check(&self, machine: &str) -> Result<(), ActionError> {
        self.with(|circuits| match circuits.get(machine) {
            Some(Circuit { open: Some(step), error, .. }) => Err(not_tried_again(step, error)),
            _ => Ok(()),
        })
    }

    fn with<T>(&self, use_circuits: impl FnOnce(&mut BTreeMap<String, Circuit>) -> T) -> T {
        use_circuits(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn not_tried_again(step: &str, error: &str) -> ActionError {
    ActionError::permanent(format!("not tried again after step {step}: {error}"))
        .with_code(NOT_TRIED_AGAIN)
        .with_hint("run the workflow again when the machine responds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_not_tried_again_after_a_step_has_failed() {
        let circuits = Circuits::default();
        let error = ActionError::transient("host a: connection refused");
        circuits.missed("a", "kernel[a]", &error);
        assert!(circuits.check("a").is_ok(), "the step tries again");
        circuits.step_failed("clamp[a]");
        assert!(circuits.check("a").is_ok(), "another step failed, for another reason");
        circuits.step_failed("kernel[a]");
        let open = circuits.check("a").expect_err("the step has failed");
        assert_eq!(open.message, "not tried again after step kernel[a]: host a: connection refused");
        assert!(circuits.check("b").is_ok());
        circuits.reached("a");
        assert!(circuits.check("a").is_ok(), "a step that was waiting has reached it");
    }
}
