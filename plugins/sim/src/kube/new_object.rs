use jiff::Timestamp;
use rand::RngExt as _;
use serde_json::{Value, json};

use super::defaults;
use super::json::{remove, rfc3339, set};
use super::resource::Resource;

/// Letters of generated names, without vowels and letters that look alike.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Returns five random letters for the end of a generated name.
pub(crate) fn suffix() -> String {
    let mut random = rand::rng();
    (0..5).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect()
}

/// Sets the identity of a new object, as the server does for each new object, and its defaults.
///
/// Identity that the client sent is overwritten.
pub(crate) fn complete(resource: &Resource, object: &mut Value, now: Timestamp) {
    set(object, &["apiVersion"], json!(resource.api_version()));
    set(object, &["kind"], json!(resource.kind));
    remove(object, &["metadata", "resourceVersion"]);
    remove(object, &["metadata", "deletionTimestamp"]);
    set(object, &["metadata", "uid"], json!(crate::arm::uuid(&rand::random::<[u8; 16]>())));
    set(object, &["metadata", "creationTimestamp"], rfc3339(now));
    if resource.has_generation {
        set(object, &["metadata", "generation"], json!(1));
    }
    defaults::complete(resource, object, now);
}
