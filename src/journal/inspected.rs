/// Result of an inspection of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inspected {
    /// The journal does not exist and can be created.
    Absent,
    /// The journal is intact.
    Intact {
        /// Version of the journal's schema.
        schema: i64,
        /// Version to which opening the journal would migrate it.
        known: i64,
    },
}
