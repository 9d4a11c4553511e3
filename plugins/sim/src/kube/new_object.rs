use jiff::Timestamp;
use rand::RngExt as _;
use serde_json::{Value, json};

use super::defaults;
use super::json::{moment, remove, set};
use super::resource::Resource;

/// Letters of generated names: no vowels and no letters that look alike.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Returns five random letters, which end a generated name.
pub(crate) fn suffix() -> String {
    let mut random = rand::rng();
    (0..5).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect()
}

/// Gives a new object its identity, as the server does for every new object, and its defaults.
pub(crate) fn complete(resource: &Resource, object: &mut Value, now: Timestamp) {
    set(object, &["apiVersion"], json!(resource.api_version()));
    set(object, &["kind"], json!(resource.kind));
    remove(object, &["metadata", "resourceVersion"]);
    remove(object, &["metadata", "deletionTimestamp"]);
    set(object, &["metadata", "uid"], json!(crate::arm::uuid(&rand::random::<[u8; 16]>())));
    set(object, &["metadata", "creationTimestamp"], moment(now));
    if resource.has_generation {
        set(object, &["metadata", "generation"], json!(1));
    }
    defaults::complete(resource, object, now);
}
