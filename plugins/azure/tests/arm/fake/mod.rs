mod arm;
mod step;

pub(crate) use arm::{Answer, Arm, Style, group_id, id};
pub(crate) use step::Attempt;
