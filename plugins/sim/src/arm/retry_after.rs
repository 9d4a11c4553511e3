/// Speed from which `Retry-After` is 0.
///
/// Slower worlds answer at least 1: the Azure SDKs ignore 0 and then wait 30 seconds.
const NO_DELAY_SPEED: f64 = 25.0;

/// Returns the value of `Retry-After` for `seconds` of the real service: whole seconds, shorter in
/// a faster world.
pub(crate) fn retry_after(seconds: f64, speed: f64) -> String {
    if speed >= NO_DELAY_SPEED { "0".to_owned() } else { format!("{:.0}", (seconds / speed.max(1.0)).ceil()) }
}
