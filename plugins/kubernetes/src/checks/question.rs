use serde_json::{Value, json};

/// A question as `kubectl auth can-i` takes it: `VERB RESOURCE[.GROUP][/NAME] [--subresource=S] [-n NAMESPACE]`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question<'a> {
    pub(super) verb: &'a str,
    pub(super) resource: &'a str,
    pub(super) group: &'a str,
    name: &'a str,
    pub(super) subresource: &'a str,
    namespace: &'a str,
}

impl<'a> Question<'a> {
    /// Takes it apart; `None` if it is none.
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

    /// The question as the API server takes it.
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
    fn every_part_finds_its_place() {
        let signers = "approve signers.certificates.k8s.io/kubernetes.io/kubelet-serving";
        let question = Question::parse(signers).expect("a question");
        assert_eq!(
            (question.resource, question.group, question.name),
            ("signers", "certificates.k8s.io", "kubernetes.io/kubelet-serving")
        );
        let question = Question::parse("create pods --subresource=eviction -n web").expect("a question");
        assert_eq!((question.subresource, question.namespace, question.group), ("eviction", "web", ""));
    }

    #[test]
    fn what_is_no_question_is_none() {
        for text in ["", "get", "get pods -n", "get pods --as=me"] {
            assert_eq!(Question::parse(text), None, "{text}");
        }
    }
}
