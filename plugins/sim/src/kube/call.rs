use axum::body::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::managed::Manager;
use super::state::User;
use super::status::Refusal;

/// What a path names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: Option<String>,
    pub(crate) plural: String,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

impl Target {
    /// Reads `/api/v1/…` or `/apis/GROUP/VERSION/…`; none for any other path.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        let segments: Vec<String> = path
            .trim_matches('/')
            .split('/')
            .map(|segment| percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let (group, version, rest) = match segments.as_slice() {
            [api, version, rest @ ..] if api == "api" => (String::new(), version, rest),
            [apis, group, version, rest @ ..] if apis == "apis" => (group.clone(), version, rest),
            _ => return None,
        };
        let base = Self { group, version: version.clone(), ..Self::default() };
        match rest {
            [namespaces, name, sub] if namespaces == "namespaces" && matches!(sub.as_str(), "status" | "finalize") => {
                Some(Self {
                    plural: namespaces.clone(),
                    name: Some(name.clone()),
                    subresource: Some(sub.clone()),
                    ..base
                })
            }
            [namespaces, namespace, plural, rest @ ..] if namespaces == "namespaces" => {
                Self { namespace: Some(namespace.clone()), ..base }.below(plural, rest)
            }
            [plural, rest @ ..] => base.below(plural, rest),
            [] => None,
        }
    }

    fn below(self, plural: &str, rest: &[String]) -> Option<Self> {
        let (name, subresource) = match rest {
            [] => (None, None),
            [name] => (Some(name.clone()), None),
            [name, sub] => (Some(name.clone()), Some(sub.clone())),
            _ => return None,
        };
        Some(Self { plural: plural.to_owned(), name, subresource, ..self })
    }
}

/// A request, once it is known who makes it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) content_type: String,
    pub(crate) accept: String,
    pub(crate) agent: String,
    pub(crate) body: Bytes,
    pub(crate) user: User,
    pub(crate) now: Timestamp,
}

impl Call {
    /// A request of something inside the world.
    pub(crate) fn inside(method: &str, path: &str, body: &Value, user: User, agent: &str, now: Timestamp) -> Self {
        let content_type = match method {
            "PATCH" => "application/strategic-merge-patch+json",
            _ => "application/json",
        };
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: Vec::new(),
            content_type: content_type.to_owned(),
            accept: "application/json".to_owned(),
            agent: agent.to_owned(),
            body: if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) },
            user,
            now,
        }
    }

    /// A parameter of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a parameter is set to a true value.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.parameter(name).is_some_and(|value| matches!(value, "true" | "1" | ""))
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        self.parameter("dryRun") == Some("All")
    }

    /// Whether it asks for a watch.
    pub(crate) fn is_watch(&self) -> bool {
        self.method == "GET" && self.is_set("watch")
    }

    /// Who the managed fields say wrote.
    pub(crate) fn manager<'a>(&'a self, subresource: &'a str) -> Manager<'a> {
        let agent = self.agent.split('/').next().filter(|name| !name.is_empty()).unwrap_or("unknown");
        let name = self.parameter("fieldManager").filter(|name| !name.is_empty()).unwrap_or(agent);
        Manager { name, subresource, now: self.now }
    }

    /// The body as JSON; YAML is read too where the content type says so.
    pub(crate) fn json(&self) -> Result<Value, Refusal> {
        let refused = |why: String| Refusal::bad_request(&format!("the object provided is unrecognized: {why}"));
        if self.content_type.contains("yaml") {
            let text = std::str::from_utf8(&self.body).map_err(|error| refused(error.to_string()))?;
            return serde_saphyr::from_str(text).map_err(|error| refused(error.to_string()));
        }
        if self.content_type.contains("protobuf") {
            return super::protobuf::to_json(&self.body).map_err(refused);
        }
        serde_json::from_slice(&self.body).map_err(|error| refused(error.to_string()))
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: 200, body }
    }

    pub(crate) fn created(body: Value) -> Self {
        Self { status: 201, body }
    }
}
