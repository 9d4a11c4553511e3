use stargate_sdk::ActionError;

/// Returns the share that permits every removal, the default of `max_prune_share`.
pub fn whole_share() -> f64 {
    1.0
}

/// Checks that `stale` of `managed` entries are not more than the share that one run may remove.
///
/// A listing that failed or was incomplete makes many entries look stale. `what` names them, such
/// as `approved routes`.
///
/// # Errors
/// `Permanent`, with both numbers and the share.
pub fn check_share(what: &str, stale: usize, managed: usize, max_share: f64) -> Result<(), ActionError> {
    let count = |n: usize| u32::try_from(n).map_or(f64::from(u32::MAX), f64::from);
    if managed == 0 || count(stale) / count(managed) <= max_share {
        return Ok(());
    }
    Err(ActionError::permanent(format!(
        "{stale} of its {managed} managed {what} would be removed, more than the share {max_share}"
    ))
    .with_hint("check why these prefixes are no longer desired; raise `max_prune_share` if they are not"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_share_is_refused() {
        for (stale, managed, share, fits) in
            [(0, 0, 0.0, true), (1, 2, 0.5, true), (2, 3, 0.5, false), (3, 3, 1.0, true), (1, 9, 0.0, false)]
        {
            assert_eq!(check_share("routes", stale, managed, share).is_ok(), fits, "{stale} of {managed}, {share}");
        }
    }
}
