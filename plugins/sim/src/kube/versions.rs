use std::collections::BTreeMap;

use super::resource::Resource;
use super::state::Kube;

/// Version that the server reports, which is that of the recorded cluster.
pub(crate) const VERSION: &str = "v1.33.5";

/// Group, plural and kind of the reviews, which are answered and not stored.
pub(crate) const REVIEWS: [(&str, &str, &str); 5] = [
    ("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
    ("authentication.k8s.io", "tokenreviews", "TokenReview"),
    ("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    ("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
    ("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview"),
];

/// Returns the served resources by group and version.
pub(crate) fn by_version(kube: &Kube) -> BTreeMap<(String, String), Vec<Resource>> {
    let mut versions: BTreeMap<(String, String), Vec<Resource>> = BTreeMap::new();
    for resource in kube.resources() {
        versions.entry((resource.group.clone(), resource.version.clone())).or_default().push(resource);
    }
    for (group, _, _) in REVIEWS {
        versions.entry((group.to_owned(), "v1".to_owned())).or_default();
    }
    versions
}
