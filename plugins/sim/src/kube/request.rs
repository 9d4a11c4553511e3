use axum::body::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::managed::Manager;
use super::state::User;
use super::status::Refusal;

/// Object, collection or subresource that a path names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// API group; empty for the core group.
    pub(crate) group: String,
    /// API version, such as `v1`.
    pub(crate) version: String,
    /// Namespace from the path; `None` for cluster-wide resources and for collections over all
    /// namespaces.
    pub(crate) namespace: Option<String>,
    /// Plural name of the resource, such as `pods`.
    pub(crate) plural: String,
    /// Name of the object; `None` for a collection.
    pub(crate) name: Option<String>,
    /// Name of the subresource, such as `status`.
    pub(crate) subresource: Option<String>,
}

impl Target {
    /// Parses `/api/v1/…` or `/apis/GROUP/VERSION/…`. Returns `None` for any other path.
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

    /// Completes the target with the segments after the plural name: at most a name and a
    /// subresource.
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

/// Request of an authenticated user to the API server.
#[derive(Debug, Clone)]
pub(crate) struct ApiRequest {
    /// Method in upper case; `HEAD` is treated as `GET`.
    pub(crate) method: String,
    /// Path without the query.
    pub(crate) path: String,
    /// Parameters of the query, decoded, in order.
    pub(crate) query: Vec<(String, String)>,
    /// Value of `Content-Type`; empty if absent.
    pub(crate) content_type: String,
    /// Value of `Accept`; empty if absent.
    pub(crate) accept: String,
    /// Value of `User-Agent`, which names the default field manager.
    pub(crate) agent: String,
    /// Body as it was received.
    pub(crate) body: Bytes,
    /// User that authentication has determined.
    pub(crate) user: User,
    /// Time of the request, used for all time stamps of its changes.
    pub(crate) now: Timestamp,
}

impl ApiRequest {
    /// Creates a request of a component inside the simulated world, which does not pass over HTTP.
    ///
    /// A null `body` is sent as an empty one; a `PATCH` is a strategic merge patch.
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

    /// Returns the first value of a query parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns true if a parameter is `true`, `1` or present without a value.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.parameter(name).is_some_and(|value| matches!(value, "true" | "1" | ""))
    }

    /// Returns true if the request must not change anything (`dryRun=All`).
    pub(crate) fn is_dry_run(&self) -> bool {
        self.parameter("dryRun") == Some("All")
    }

    /// Returns true if the request starts a watch.
    pub(crate) fn is_watch(&self) -> bool {
        self.method == "GET" && self.is_set("watch")
    }

    /// Returns the field manager of the request.
    ///
    /// Its name is the parameter `fieldManager`, or else the first part of the user agent, as on
    /// the real server.
    pub(crate) fn manager<'a>(&'a self, subresource: &'a str) -> Manager<'a> {
        let agent = self.agent.split('/').next().filter(|name| !name.is_empty()).unwrap_or("unknown");
        let name = self.parameter("fieldManager").filter(|name| !name.is_empty()).unwrap_or(agent);
        Manager { name, subresource, now: self.now }
    }

    /// Parses the body as JSON, or as YAML or protobuf if the content type names them.
    ///
    /// # Errors
    ///
    /// 400 `BadRequest` if the body cannot be parsed.
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

/// Response to a successful request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiResponse {
    /// Status code of HTTP.
    pub(crate) status: u16,
    /// Body as JSON; a string is sent as plain text.
    pub(crate) body: Value,
    /// Texts of the headers `Warning`.
    pub(crate) warnings: Vec<String>,
}

impl ApiResponse {
    /// Creates a reply with status 200.
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: 200, body, warnings: Vec::new() }
    }

    /// Creates a reply with status 201.
    pub(crate) fn created(body: Value) -> Self {
        Self { status: 201, body, warnings: Vec::new() }
    }

    /// Adds warnings to a reply.
    pub(crate) fn with_warnings(self, warnings: Vec<String>) -> Self {
        Self { warnings, ..self }
    }
}
