//! Certificate signing requests of kubelets: their content, and the rules for their approval.

mod approval;
mod content;
mod rules;

pub(crate) use approval::approve;
pub(crate) use content::CsrContent;
pub(crate) use rules::{CsrPurpose, CsrState, NodeIdentity, csr_purpose, csr_state, is_of_node};
