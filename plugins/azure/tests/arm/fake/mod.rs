mod arm;
mod step;

pub(crate) use arm::{FakeArm, FakeResponse, OperationStyle, group_id, id};
pub(crate) use step::TestAttempt;
