use stargate_sdk::Permission;

/// Something that `kubectl auth can-i` can be asked, in its words.
pub(crate) const fn may(question: &'static str) -> Permission {
    Permission::new("kubernetes", question)
}
