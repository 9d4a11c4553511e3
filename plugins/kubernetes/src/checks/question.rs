use serde_json::{Value, json};

/// A permission in the words of `kubectl auth can-i`: `VERB RESOURCE[.GROUP][/NAME]
/// [--subresource=S] [-n NAMESPACE]`. An absent part is empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AccessQuestion<'a> {
    /// Verb, such as `get`.
    pub(super) verb: &'a str,
    /// Plural of the kind, such as `pods`.
    pub(super) resource: &'a str,
    /// API group; empty for the core group.
    pub(super) group: &'a str,
    name: &'a str,
    /// Subresource, such as `status`.
    pub(super) subresource: &'a str,
    namespace: &'a str,
}

impl<'a> AccessQuestion<'a> {
    /// Parses a permission; `None` for another form.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut words = text.split(' ');
        let (verb, object) = (words.next()?, words.next()?);
        let (kind, name) = object.split_once('/').unwrap_or((object, ""));
        let (resource, group) = kind.split_once('.').unwrap_or((kind, ""));
        let mut question = Self { verb, resource, group, name, subresource: "", namespace: "" };
        while let Some(word) = words.next() {
            match word.strip_prefix("--subresource=") {
                Some(subresource) => question.subresource = subresource,
                None if word == "-n" => question.namespace = words.next()?,
                None => return None,
            }
        }
        Some(question)
    }

    /// The `SelfSubjectAccessReview` that asks the API server.
    pub(super) fn review(&self) -> Value {
        let Self { verb, resource, group, name, subresource, namespace } = self;
        let attributes = json!({
            "verb": verb, "group": group, "resource": resource, "subresource": subresource,
            "namespace": namespace, "name": name,
        });
        json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_parsed() {
        let signers = "approve signers.certificates.k8s.io/kubernetes.io/kubelet-serving";
        let question = AccessQuestion::parse(signers).expect("a question");
        assert_eq!(
            (question.resource, question.group, question.name),
            ("signers", "certificates.k8s.io", "kubernetes.io/kubelet-serving")
        );
        let question = AccessQuestion::parse("create pods --subresource=eviction -n web").expect("a question");
        assert_eq!((question.subresource, question.namespace, question.group), ("eviction", "web", ""));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "get", "get pods -n", "get pods --as=me"] {
            assert_eq!(AccessQuestion::parse(text), None, "{text}");
        }
    }
}
